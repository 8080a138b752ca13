//! What a program holds of the system's: descriptors and threads.

use crate::program::{DEADLINE, Program};
use std::{fs, thread, time::Instant};

/// What the threads of handlers are called. They wait for the next one for ten
/// seconds.
const HANDLER: &str = "wirenet-handler";

#[derive(Debug, PartialEq, Eq)]
pub struct Holdings {
    descriptors: usize,
    /// Without those of handlers.
    threads: usize,
}

/// With the number of the handlers' threads.
pub fn holdings(program: &Program) -> (Holdings, usize) {
    let proc = format!("/proc/{}", program.id());
    let descriptors = fs::read_dir(format!("{proc}/fd")).expect("it runs").count();
    let tasks = fs::read_dir(format!("{proc}/task")).expect("it runs");
    // One that ends meanwhile has no name any more.
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let (handlers, others): (Vec<_>, Vec<_>) = names.partition(|name| name.trim() == HANDLER);
    let threads = others.len();
    let holdings = Holdings {
        descriptors,
        threads,
    };
    (holdings, handlers.len())
}

/// Waits until a process has what it had, and no more. Of a thread's end
/// nothing tells outside of the process: so this looks.
pub fn await_holdings(program: &Program, expected: &Holdings, handlers: usize) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (now, handlers_now) = holdings(program);
        if now == *expected && handlers_now <= handlers {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{now:?} and {handlers_now} handlers, not {expected:?} and {handlers}"
        );
        thread::yield_now();
    }
}

/// What a process has when all that it did has ended. It may be about to end
/// something, so that the least of what is seen counts.
pub fn settled(program: &Program) -> Holdings {
    let mut least = holdings(program).0;
    for _ in 0..200 {
        let now = holdings(program).0;
        least.descriptors = least.descriptors.min(now.descriptors);
        least.threads = least.threads.min(now.threads);
        thread::yield_now();
    }
    least
}
