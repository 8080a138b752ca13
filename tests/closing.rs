//! How wires and sessions close: gracefully if possible, and always in time.

mod support;

#[path = "closing/cut.rs"]
mod cut;
#[path = "closing/ended_by_peer.rs"]
mod ended_by_peer;
#[path = "closing/graceful.rs"]
mod graceful;
#[path = "closing/own_code.rs"]
mod own_code;
#[path = "closing/return_of_connect.rs"]
mod return_of_connect;
#[path = "closing/sessions.rs"]
mod sessions;
#[path = "closing/timing.rs"]
mod timing;
#[path = "closing/wait_inside.rs"]
mod wait_inside;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use support::wires::Told;
use wirenet::{Error, Session, Wire, yamux};

const SHORT: Duration = Duration::from_millis(100);

/// Longer than any operation that does not wait, and shorter than the default
/// session close timeout.
const SOON: Duration = Duration::from_secs(4);

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(3600);

/// The wire, for code that must exist before the wire is built.
type LateWire = Arc<OnceLock<Wire>>;

/// Waits until this session is closing, by either side. Until then, opening a
/// stream that has no handler is refused.
fn await_closing(session: &Session) {
    while matches!(session.open_stream("missing"), Err(Error::Refused { .. })) {}
    assert!(session.is_closing());
}

/// Returns whether the error says that the connection takes no new streams.
fn is_going_away(error: &Error) -> bool {
    matches!(error, Error::Connection(yamux::Error::GoingAway { .. }))
}

/// Removes the errors that [`await_closing`] has caused.
fn without_probes(told: Vec<Told>) -> Vec<Told> {
    let probe = wirenet::Operation::OpenStream("missing".into());
    told.into_iter()
        .filter(|(operation, _)| *operation != probe)
        .collect()
}
