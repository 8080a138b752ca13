//! A client reconnects by itself: after every failure that may be temporary, at its own
//! pace, and until it is closed.

mod support;

#[path = "reconnect/closing.rs"]
mod closing;
#[path = "reconnect/giving_up.rs"]
mod giving_up;
#[path = "reconnect/now.rs"]
mod now;
#[path = "reconnect/policies.rs"]
mod policies;
#[path = "reconnect/retrying.rs"]
mod retrying;
#[path = "reconnect/servers.rs"]
mod servers;
#[path = "reconnect/waits.rs"]
mod waits;

use crossbeam_channel::unbounded;
use std::{net::SocketAddr, thread, time::Duration};
use support::wires::starting;
use wirenet::{Error, Wire};

const SHORT: Duration = Duration::from_millis(100);

/// Longer than anything takes that does not wait, and less than any default.
const SOON: Duration = Duration::from_secs(5);

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// A client with endless waits, during the first of them.
fn waiting(addr: SocketAddr) -> (Wire, thread::JoinHandle<Result<(), Error>>) {
    let (failed, fails) = unbounded();
    let client = Wire::join(addr.to_string())
        .retry_policy(|_| Some(NEVER))
        .session_close_timeout(Duration::ZERO)
        .on_error(move |_| {
            // Only the first is received.
            let _ = failed.send(());
        });
    let client = client.build().unwrap();
    let starter = starting(&client);
    fails.recv().unwrap();
    (client, starter)
}
