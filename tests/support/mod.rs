//! Shared code of the integration tests.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod both_ways;
pub mod call_path;
pub mod checksum;
pub mod encoding;
pub mod fault_proxy;
pub mod file;
pub mod frames;
pub mod namespaces;
pub mod narrow;
pub mod pattern;
pub mod peer;
pub mod process;
pub mod random;
pub mod reads;
pub mod refusing;
pub mod threads;
pub mod tls;
pub mod unreachable;
pub mod wires;

use crossbeam_channel::{RecvTimeoutError, bounded};
use std::{panic::resume_unwind, thread, time::Duration};

/// Far longer than any wait of these tests takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `work` on a thread of its own and returns its result. Fails the test if
/// that takes longer than [`PATIENCE`]; the thread is then left running.
pub fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    within(PATIENCE, work)
}

/// Like [`in_time`], with another limit.
pub fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, outcome) = bounded(1);
    let worker = thread::spawn(move || {
        let value = work();
        // The receiver is gone only when the test has failed already.
        let _ = sender.send(value);
    });
    match outcome.recv_timeout(limit) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("not done within {limit:?}"),
        Err(RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => resume_unwind(panic),
            Ok(()) => unreachable!("it sends its value or panics"),
        },
    }
}
