//! Socket options that a connection works without.
//!
//! Not every system has all of them: old kernels, WSL 1 and gVisor lack some of TCP's. A
//! connection whose socket does not take one of these is slower, or notices later that its
//! peer is gone, but it works, so the refusal is only logged. A connection that has just ended
//! refuses options too; then the next read returns the reason.
//!
//! | option | without it |
//! |---|---|
//! | `TCP_NODELAY` | small frames may be delayed |
//! | `SO_KEEPALIVE` and its times, `TCP_USER_TIMEOUT` | yamux still detects a dead peer, by its pings and write timeouts |
//! | `SO_SNDBUF`, `SO_RCVBUF` | the kernel's sizes; a kernel that takes the option also adapts the value |
//! | `SO_REUSEADDR` | a server may have to wait before it can listen again, which the bind reports |
//!
//! Blocking mode, `SO_RCVTIMEO` and `SO_SNDTIMEO` are not in this list, because nothing can
//! replace them. Nor is `IPV6_V6ONLY`: where both versions of IP cannot share a socket, a
//! server listens with IPv4.

use crate::user_code;
use parking_lot::Mutex;
use std::io;

/// The options whose refusal was logged. The list belongs to the process, not to one run of
/// a model.
static LOGGED: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

/// Continues without an option that the system refuses. Logs that once per option and
/// process.
pub(crate) fn best_effort(option: &'static str, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        log_once(option, &error);
    }
}

#[cold]
fn log_once(option: &'static str, error: &io::Error) {
    let mut logged = LOGGED.lock();
    if logged.contains(&option) {
        return;
    }
    logged.push(option);
    drop(logged);
    user_code::log(|| log::debug!("the system refuses {option}, continuing without it: {error}"));
}
