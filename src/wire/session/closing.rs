//! How sessions close: no new streams; streams that are open may end, up to a
//! deadline; then the rest is cut.

use super::{session::Session, threads::Threads};
use crate::error::{CutSession, ShutdownError};
use std::time::Instant;

/// Closes sessions side by side. Returns those that were cut, or whose peer did not
/// acknowledge everything by the deadline.
pub(crate) fn close_sessions(
    threads: &Threads,
    sessions: &[Session],
    deadline: Instant,
) -> Vec<CutSession> {
    // A session that has ended already has reported its end itself.
    let mut sessions = sessions.to_vec();
    sessions.retain(|session| !session.connection().is_over());
    let own = threads.streams_here();
    for session in &sessions {
        // A handler that closes its own session is not waited for.
        for stream in &own {
            session.connection().retire(stream);
        }
        session.connection().close_when_idle();
    }
    // All are counted before any is cut: on a hub, a cut ends streams of other sessions.
    let mut cut = Vec::new();
    for session in &sessions {
        let streams = session.connection().wait_closed(deadline);
        let unacknowledged = session.connection().unacknowledged();
        if streams > 0 || unacknowledged > 0 {
            cut.push(CutSession {
                id: session.id(),
                identification: session.identification().into(),
                peer_addr: session.peer_addr(),
                streams,
                unacknowledged,
            });
        }
    }
    for session in &sessions {
        session.connection().cut();
    }
    cut
}

/// The result of a close that cut these sessions, and left this many threads running.
pub(crate) fn shutdown_result(
    sessions: Vec<CutSession>,
    running: usize,
) -> Result<(), ShutdownError> {
    if sessions.is_empty() && running == 0 {
        return Ok(());
    }
    Err(ShutdownError { sessions, running })
}
