//! Retry policies that record how they are called.

use crossbeam_channel::{Receiver, Sender, unbounded};
use std::time::{Duration, Instant};
use wirenet::{Error, Retry};

/// A call of a policy: the number of failures in a row, the cause, and the default
/// wait.
#[derive(Debug)]
pub struct Asked {
    pub attempt: u32,
    pub cause: Error,
    pub wait: Option<Duration>,
    pub at: Instant,
}

/// A policy that retries at once where the client would retry at all, and the calls of
/// it.
pub fn at_once() -> (
    impl Fn(&Retry<'_>) -> Option<Duration> + Send + Sync + 'static,
    Receiver<Asked>,
) {
    let (sender, asked) = unbounded();
    let policy = move |retry: &Retry<'_>| {
        tell(&sender, retry);
        retry.wait.map(|_| Duration::ZERO)
    };
    (policy, asked)
}

pub fn tell(to: &Sender<Asked>, retry: &Retry<'_>) {
    // The test may no longer receive.
    let _ = to.send(Asked {
        attempt: retry.attempt,
        cause: retry.cause.clone(),
        wait: retry.wait,
        at: Instant::now(),
    });
}
