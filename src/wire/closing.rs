//! How a wire or a session closes: no new streams; those that run may end, up
//! to a deadline; then what is left is cut.

use super::{session::Session, shared::Shared};
use crate::{
    error::{CutSession, ShutdownError},
    sync,
    time::deadline,
};
use std::time::{Duration, Instant};

/// How long after everything is cut the threads have to notice.
const GRACE: Duration = Duration::from_secs(1);

/// Closes a wire, all its sessions side by side, and waits for its threads.
pub(super) fn close_wire(wire: &Shared) -> Result<(), ShutdownError> {
    let closing = wire.begin_close();
    let (sessions, deadline) = wire.stop();
    for session in &sessions {
        session.connection().go_away();
    }
    // On a hub, an opening that was let in opens a stream of another session.
    wire.threads.wait_openings(deadline);
    let cut = close_all(wire, &sessions, deadline);
    let running = wire.threads.join(deadline.max(sync::now()) + GRACE);
    wire.pool.close();
    let outcome = outcome(cut, running);
    closing.end(&outcome);
    outcome
}

/// Closes one session.
pub(super) fn close_session(
    wire: Option<&Shared>,
    session: &Session,
    timeout: Duration,
) -> Result<(), ShutdownError> {
    let sessions = std::slice::from_ref(session);
    let deadline = deadline(timeout);
    let cut = match wire {
        Some(wire) => close_all(wire, sessions, deadline),
        // The wire is gone, and its sessions closed.
        None => Vec::new(),
    };
    outcome(cut, 0)
}

fn close_all(wire: &Shared, sessions: &[Session], deadline: Instant) -> Vec<CutSession> {
    // What became of a session that is over already was told when it ended.
    let mut sessions = sessions.to_vec();
    sessions.retain(|session| !session.connection().is_over());
    let own = wire.threads.streams_here();
    for session in &sessions {
        // A handler that closes what it runs on need not end first.
        for stream in &own {
            session.connection().retire(stream);
        }
        session.connection().close_when_idle();
    }
    // All are counted before any is cut: on a hub a cut ends streams of others.
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

fn outcome(sessions: Vec<CutSession>, running: usize) -> Result<(), ShutdownError> {
    if sessions.is_empty() && running == 0 {
        return Ok(());
    }
    Err(ShutdownError { sessions, running })
}
