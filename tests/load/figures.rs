//! What a process takes, as the system sees it.

use crate::{counts::Counts, support::threads};
use crossbeam_channel::never;
use std::{fs, time::Duration};

/// A thread of the pool that has nothing to do ends after 10 s, of which
/// nothing tells; large buffers that nobody needs are let go of before.
const IDLE: Duration = Duration::from_secs(11);

/// In kB: `resident`, and `own`, the part of it that is not of files. Also
/// `threads` and `descriptors`, and `cpu` in milliseconds.
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

/// By how many kB what is resident differs by chance: pages of which little is
/// used. What the process has allocated does not.
const CHANCE: u64 = 512;

/// Whether `name`, in kB, is within 5 % of what it was.
pub fn is_as_before(name: &str, before: &Counts, after: &Counts) -> bool {
    let chance = if name == "resident" { CHANCE } else { 0 };
    after[name] <= before[name] + chance.max(before[name] / 20)
}

/// Of this process: also `heap`, what it has allocated in kB, and not counting
/// the descriptor that counting takes.
pub fn own() -> Counts {
    let heap = crate::HEAP.current_usage() as u64;
    let mut figures = of(std::process::id());
    figures.set("heap", heap / 1024);
    figures.set("descriptors", figures["descriptors"] - 1);
    figures
}

/// The same, when the wire's threads that have nothing more to do have gone, and
/// readers have found that nothing comes.
pub fn at_rest() -> Counts {
    // Nobody sends: this is how long it takes.
    let _ = never::<()>().recv_timeout(IDLE);
    threads::await_none("wirenet-handler");
    threads::await_none("wirenet-writer");
    held()
}

/// The same, when malloc has given back what was freed. glibc's keeps it for
/// later, wherever it lies; so what is resident tells what is held, and not what
/// was.
pub fn held() -> Counts {
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

/// Of which Linux lets a process have 65,530 by default: a thread takes two.
pub fn maps(process: u32) -> usize {
    read(process, "maps").lines().count()
}

/// Processor time of all its threads, in milliseconds.
fn cpu(process: u32) -> u64 {
    const MILLIS_PER_TICK: u64 = 10;
    let stat = read(process, "stat");
    // The name in brackets may hold anything; user and system time are the
    // 12th and 13th field after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * MILLIS_PER_TICK
}
