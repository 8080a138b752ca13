//! The resources of a process, as the system reports them.

use crate::{counts::Counts, support::threads};
use crossbeam_channel::never;
use std::{fs, time::Duration};

/// An idle thread of the pool ends after 10 s, without any notification; unused
/// large buffers are freed earlier.
const IDLE: Duration = Duration::from_secs(11);

/// Returns, in kB, `resident` memory and its part `own` that is not backed by files;
/// also the numbers of `threads` and `descriptors`, and `cpu` time in milliseconds.
pub fn of(process: u32) -> Counts {
    let status = read(process, "status");
    let number = |field: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let word = line.and_then(|rest| rest.split_whitespace().next());
        let number = word.and_then(|word| word.parse().ok());
        number.unwrap_or_else(|| panic!("no {field} of process {process}"))
    };
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("it has some");
    Counts::from([
        ("resident", number("VmRSS:")),
        ("own", number("RssAnon:")),
        ("threads", number("Threads:")),
        ("descriptors", descriptors.count() as u64),
        ("cpu", cpu(process)),
    ])
}

/// By how many kB resident memory varies by chance, because of pages that are partly
/// used. Allocated memory does not vary.
const VARIATION: u64 = 512;

/// Returns whether the figure `name`, in kB, has grown by no more than 5 %.
pub fn is_as_before(name: &str, before: &Counts, after: &Counts) -> bool {
    let variation = if name == "resident" { VARIATION } else { 0 };
    after[name] <= before[name] + variation.max(before[name] / 20)
}

/// Returns the figures of this process, with `heap`, its allocated memory in kB. The
/// descriptor that the count itself needs is not counted.
pub fn own() -> Counts {
    let heap = crate::HEAP.current_usage() as u64;
    let mut figures = of(std::process::id());
    figures.set("heap", heap / 1024);
    figures.set("descriptors", figures["descriptors"] - 1);
    figures
}

/// Returns the figures of this process after idle threads of the wire have ended and
/// readers have freed their large buffers.
pub fn at_rest() -> Counts {
    // Nothing is ever sent: this sleeps.
    let _ = never::<()>().recv_timeout(IDLE);
    threads::await_none("wirenet-handler");
    threads::await_none("wirenet-writer");
    trimmed()
}

/// Returns the figures of this process after malloc has returned freed memory. glibc's
/// malloc would keep it, and resident memory would include what was freed.
pub fn trimmed() -> Counts {
    // SAFETY: it has no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    own()
}

fn read(process: u32, name: &str) -> String {
    let path = format!("/proc/{process}/{name}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the number of a process's memory maps. Linux allows a process 65,530 by
/// default; a thread takes four.
pub fn maps(process: u32) -> usize {
    read(process, "maps").lines().count()
}

/// Returns the processor time of all threads of a process, in milliseconds.
fn cpu(process: u32) -> u64 {
    const MILLIS_PER_TICK: u64 = 10;
    let stat = read(process, "stat");
    // The name in brackets may contain anything. User and system time are the
    // 12th and the 13th field after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * MILLIS_PER_TICK
}
