//! The system resources of a program: descriptors and threads.

use crate::program::{DEADLINE, Program};
use std::{
    fs,
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

/// The name of handler threads. An idle one ends after ten seconds.
const HANDLER: &str = "wirenet-handler";

/// The time between two looks at a program. Without it, a wait for ten seconds would take the
/// processor away from the tests beside it.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub struct Resources {
    descriptors: usize,
    /// Without handler threads.
    threads: usize,
}

/// Returns the resources of a program, and its number of handler threads.
pub fn resources(program: &Program) -> (Resources, usize) {
    let proc = format!("/proc/{}", program.id());
    let descriptors = fs::read_dir(format!("{proc}/fd")).expect("it runs").count();
    let tasks = fs::read_dir(format!("{proc}/task")).expect("it runs");
    // A thread that ends meanwhile no longer has a name.
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let (handlers, others): (Vec<_>, Vec<_>) = names.partition(|name| name.trim() == HANDLER);
    let threads = others.len();
    let resources = Resources {
        descriptors,
        threads,
    };
    (resources, handlers.len())
}

/// Waits until a program has no more than the expected resources, and at most
/// `handlers` handler threads. It may have fewer, since [`settled`] may have counted
/// something that was about to end. It has to poll, as nothing outside the process
/// reports the end of a thread.
pub fn await_resources(program: &Program, expected: &Resources, handlers: usize) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (now, handlers_now) = resources(program);
        if now.descriptors <= expected.descriptors
            && now.threads <= expected.threads
            && handlers_now <= handlers
        {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{now:?} and {handlers_now} handlers, not {expected:?} and {handlers}"
        );
        let (_sender, nothing) = channel::<()>();
        nothing.recv_timeout(PAUSE).unwrap_err();
    }
}

/// Returns the resources of an idle program. Something may still be about to end,
/// so this samples many times and returns the minimum.
pub fn settled(program: &Program) -> Resources {
    let mut least = resources(program).0;
    for _ in 0..200 {
        let now = resources(program).0;
        least.descriptors = least.descriptors.min(now.descriptors);
        least.threads = least.threads.min(now.threads);
        thread::yield_now();
    }
    least
}
