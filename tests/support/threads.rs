//! The threads of this process, by their names.

use super::PATIENCE;
use std::{fs, thread, time::Instant};

/// The names of those that begin so; Linux keeps 15 bytes of a name.
pub fn named(prefix: &str) -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("the process has threads");
    tasks
        // One that ends meanwhile has no name any more.
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

/// The number of the one that begins so.
pub fn number_of(prefix: &str) -> Option<u32> {
    let tasks = fs::read_dir("/proc/self/task").expect("the process has threads");
    tasks.filter_map(Result::ok).find_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let number = task.file_name().to_str()?.parse().ok()?;
        name.starts_with(prefix).then_some(number)
    })
}

/// Waits until none begins so. A thread that has done its work and was waited
/// for has yet to leave the kernel, of which nothing tells: so this looks.
pub fn await_none(prefix: &str) {
    await_names(prefix, |names| names.is_empty());
}

/// Waits until there is one.
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

/// How many descriptors the process has, the one that looks among them.
pub fn descriptors() -> usize {
    let all = fs::read_dir("/proc/self/fd").expect("the process has descriptors");
    all.count()
}
