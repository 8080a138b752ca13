//! Starts threads, up to a limit.
//!
//! On Linux, a thread takes four memory maps: its stack, the signal stack on which
//! a stack overflow is handled, and a guard page for each. The system limits the
//! maps of a process. If no maps are left for a thread that the standard library
//! has started, the process aborts. A server's peers decide how many threads it
//! runs, so the library stops well below that limit, and returns an error.

use crate::sync::thread;
use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

/// How many memory maps a thread takes.
const MAPS: usize = 4;

/// The threads of this process that were started here and are still running.
static RUNNING: Running = Running(AtomicUsize::new(0));

/// The limit on [`RUNNING`].
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Running(AtomicUsize);

#[derive(Debug, thiserror::Error)]
#[error(
    "{0} threads run, which is as many as this process has memory maps for (on Linux, see \
     `sysctl vm.max_map_count`)"
)]
struct LimitReached(usize);

/// Starts a thread.
///
/// # Errors
///
/// When the system refuses; [`io::ErrorKind::OutOfMemory`] when the limit is
/// reached.
pub(crate) fn spawn(
    builder: thread::Builder,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    start(builder, Box::new(work))
}

/// Starts a thread. Not generic, so that the standard library's code for starting a
/// thread is compiled once and not for each kind of work, which saves some
/// kilobytes.
fn start(builder: thread::Builder, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let permit = RUNNING.permit(LIMIT.load(Ordering::Relaxed))?;
    builder.spawn(move || {
        work();
        drop(permit);
    })?;
    Ok(())
}

/// The permission for one thread to run, given back on drop.
struct ThreadPermit(&'static Running);

impl Running {
    fn permit(&'static self, limit: usize) -> io::Result<ThreadPermit> {
        let one_more = |running| (running < limit).then_some(running + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        match self.0.fetch_update(set, fetch, one_more) {
            Ok(_) => Ok(ThreadPermit(self)),
            // The error is the number of threads, which is the limit.
            Err(_) => Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                LimitReached(limit),
            )),
        }
    }
}

impl Drop for ThreadPermit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Limits the number of threads from now on. Servers call this. A program that
/// only dials runs a few threads, and does not link this code.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn limit_threads() {
    // Some sandboxes hide this file. In that case, the system's default is assumed.
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let maps = limit.and_then(|limit| limit.trim().parse().ok());
    let limit = threads_within(maps.unwrap_or(65_530));
    LIMIT.store(limit, Ordering::Relaxed);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn limit_threads() {}

/// Returns how many threads to run with this many memory maps. A sixteenth of the
/// maps is left for the rest of the program.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))]
fn threads_within(maps: usize) -> usize {
    (maps - maps / 16) / MAPS
}

#[cfg(test)]
mod tests {
    use super::*;

    static FEW: Running = Running(AtomicUsize::new(0));

    #[test]
    fn a_thread_beyond_the_limit_is_an_error_until_another_ends() {
        let first = FEW.permit(2).unwrap();
        let _second = FEW.permit(2).unwrap();
        let error = FEW.permit(2).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        let text = error.to_string();
        assert!(text.starts_with("2 threads run, ") && text.contains("max_map_count"));
        drop(first);
        FEW.permit(2).unwrap();
    }

    #[test]
    fn threads_leave_some_memory_maps_to_the_rest_of_the_program() {
        assert_eq!(threads_within(65_530), 15_358);
        assert_eq!(threads_within(1 << 20), 245_760);
        assert_eq!(threads_within(0), 0);
    }
}
