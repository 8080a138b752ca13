//! The threads of this process, found by their names.

use super::PATIENCE;
use std::{fs, thread, time::Instant};

/// The names of the threads that begin with `prefix`. Linux keeps 15 bytes of a name.
pub fn named(prefix: &str) -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("the process has threads");
    tasks
        // A thread that has just ended has no name.
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

/// The id of a thread whose name begins with `prefix`.
pub fn number_of(prefix: &str) -> Option<u32> {
    let tasks = fs::read_dir("/proc/self/task").expect("the process has threads");
    tasks.filter_map(Result::ok).find_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let number = task.file_name().to_str()?.parse().ok()?;
        name.starts_with(prefix).then_some(number)
    })
}

/// Waits until no name begins with `prefix`. This polls, because a thread that was
/// joined leaves the kernel a little later, and nothing reports that.
pub fn await_none(prefix: &str) {
    await_names(prefix, |names| names.is_empty());
}

/// Waits until a name begins with `prefix`.
pub fn await_one(prefix: &str) {
    await_names(prefix, |names| !names.is_empty());
}

fn await_names(prefix: &str, enough: impl Fn(&[String]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let names = named(prefix);
        if enough(&names) {
            return;
        }
        assert!(Instant::now() < deadline, "still {names:?}");
        thread::yield_now();
    }
}

/// The number of descriptors of this process, including the one that this opens.
pub fn descriptors() -> usize {
    let all = fs::read_dir("/proc/self/fd").expect("the process has descriptors");
    all.count()
}
