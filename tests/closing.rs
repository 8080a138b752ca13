//! How wires and sessions end: in order where that is possible, on time always.

mod support;

#[path = "closing/cut.rs"]
mod cut;
#[path = "closing/inside.rs"]
mod inside;
#[path = "closing/moments.rs"]
mod moments;
#[path = "closing/order.rs"]
mod order;
#[path = "closing/over.rs"]
mod over;
#[path = "closing/sessions.rs"]
mod sessions;
#[path = "closing/waiting.rs"]
mod waiting;

use std::time::Duration;
use support::wires::Told;
use wirenet::{Error, Session, yamux};

const SHORT: Duration = Duration::from_millis(100);

/// More than anything takes that does not wait, and less than a close that
/// waits as long as it may by default.
const SOON: Duration = Duration::from_secs(4);

/// As long as no test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// Waits until this side knows that the other one is going away, or has said
/// so itself: until then there is a refusal for each question.
fn await_closing(session: &Session) {
    while matches!(session.open_stream("nobody"), Err(Error::Refused { .. })) {}
    assert!(session.is_closing());
}

/// That new streams are not wanted is the error.
fn is_going_away(error: &Error) -> bool {
    matches!(error, Error::Connection(yamux::Error::GoingAway))
}

/// Of what is told, what was not told because somebody asked for a name that
/// nobody has.
fn without_questions(told: Vec<Told>) -> Vec<Told> {
    let question = wirenet::Operation::OpenStream("nobody".into());
    told.into_iter()
        .filter(|(operation, _)| *operation != question)
        .collect()
}
