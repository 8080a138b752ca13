//! Starting threads: no more than the process can bear.
//!
//! On Linux a thread of Rust's takes four memory maps: its stack, the stack on
//! which an overflow of that is handled, and a guard page of each. Where a
//! process has all the maps that it may have, the standard library cannot set up
//! a thread that has begun already, and aborts. A server's peers decide how many
//! threads there are, so the library stops well before, with an error.

use crate::sync::thread;
use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Memory maps of a thread.
const MAPS: usize = 4;

/// Those of the whole process that were started here.
static RUNNING: Running = Running(AtomicUsize::new(0));

/// How many of them there may be.
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Running(AtomicUsize);

/// There are as many threads as there may be.
#[derive(Debug, thiserror::Error)]
#[error("{0} threads of wirenet run, and more could take the last of the process's memory maps")]
struct TooMany(usize);

/// Starts a thread.
///
/// # Errors
///
/// The system's; [`io::ErrorKind::OutOfMemory`] when too many run.
pub(crate) fn spawn(
    builder: thread::Builder,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    start(builder, Box::new(work))
}

/// Apart, so that what the standard library does to start a thread is there
/// once, not for each kind of work: some kilobytes for a small box.
fn start(builder: thread::Builder, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let place = RUNNING.take(MOST.load(Ordering::Relaxed))?;
    builder.spawn(move || {
        work();
        drop(place);
    })?;
    Ok(())
}

/// A thread's place among those that may run.
struct Place(&'static Running);

impl Running {
    fn take(&'static self, most: usize) -> io::Result<Place> {
        let room = |running| (running < most).then_some(running + 1);
        match self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
        {
            Ok(_) => Ok(Place(self)),
            // The only error is that `room` has none.
            Err(_) => Err(io::Error::new(io::ErrorKind::OutOfMemory, TooMany(most))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bounds the threads from now on. For who accepts connections: a program that
/// only dials has a few, and need not have this in it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn bound() {
    // Where it cannot be read, as in some sandboxes, it is taken to be the default.
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let maps = limit.and_then(|limit| limit.trim().parse().ok());
    let most = threads_within(maps.unwrap_or(65_530));
    MOST.store(most, Ordering::Relaxed);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn bound() {}

/// A sixteenth is left to the rest of the program.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))]
fn threads_within(maps: usize) -> usize {
    (maps - maps / 16) / MAPS
}

#[cfg(test)]
mod tests {
    use super::*;

    static FEW: Running = Running(AtomicUsize::new(0));

    #[test]
    fn one_thread_too_many_is_an_error_until_another_has_ended() {
        let first = FEW.take(2).unwrap();
        let _second = FEW.take(2).unwrap();
        let error = FEW.take(2).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().starts_with("2 threads"), "{error}");
        drop(first);
        FEW.take(2).unwrap();
    }

    #[test]
    fn threads_leave_some_of_the_memory_maps_to_others() {
        assert_eq!(threads_within(65_530), 15_358);
        assert_eq!(threads_within(1 << 20), 245_760);
        assert_eq!(threads_within(0), 0);
    }
}
