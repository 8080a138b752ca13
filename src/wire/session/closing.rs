//! How sessions close: they accept no new streams, open streams may end until a deadline,
//! and the rest is cut.

use super::{
    session::Session,
    wire_threads::{StillRunning, Threads},
};
use crate::{
    error::{CutSession, ShutdownError},
    sync,
    time::deadline,
};
use std::{sync::Arc, time::Instant};

/// How many names of a session's streams are listed.
const MAX_NAMED: usize = 8;

/// Closing.
impl Session {
    /// Ends the session gracefully, as [`Wire::close`] ends all sessions of a wire.
    ///
    /// Announces the end to the peer, so that both sides open no new streams. Waits up to
    /// [`Builder::session_close_timeout`], by default 5 seconds, for
    /// [running streams](#running-streams) to end and for the peer to acknowledge what was
    /// sent. Then cuts what is left.
    ///
    /// A client whose session ends reconnects. To end it permanently, close its wire.
    ///
    /// Closing a session again does no harm. Neither does a call from a handler, hook or
    /// validator. It does not wait for the handler's own stream, which is cut: answer before
    /// closing. What was written before still arrives if the peer receives it in time.
    ///
    /// # Running streams
    ///
    /// A stream that the peer opened runs until its handler returns, even if its caller has
    /// left: the handler may be at work on what the caller sent.
    ///
    /// A stream that this side opened runs until it is closed or dropped on this side, or
    /// until the peer ends it while no message is being sent. Thus a stream that was read to
    /// its end, and is still held, delays no close and is not cut. What the peer sent before
    /// it ended the stream can be read to its end even after the close; writes fail then.
    /// While a message is being sent, the stream runs even if the peer has ended it, because
    /// ending it here would truncate the message.
    ///
    /// On a hub, a relayed stream runs until the owner's handler returns, or until both sides
    /// have left.
    ///
    /// [`Wire::close`]: crate::Wire::close
    /// [`Builder::session_close_timeout`]: crate::Builder::session_close_timeout
    ///
    /// # Errors
    ///
    /// [`ShutdownError`] if streams were cut, or the peer did not acknowledge everything in
    /// time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let server = wirenet::Wire::mount("127.0.0.1:0").build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # client.start()?;
    /// # let session = server.wait_session(Duration::from_secs(5))?;
    /// if let Err(error) = session.close() {
    ///     eprintln!("{error}");
    /// }
    /// assert!(session.is_closed());
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias = "disconnect")]
    #[doc(alias = "shutdown")]
    pub fn close(&self) -> Result<(), ShutdownError> {
        let deadline = deadline(self.settings().close_timeout);
        let sessions = std::slice::from_ref(self);
        let cut = close_sessions(self.threads(), sessions, deadline);
        shutdown_result(cut, StillRunning::default())
    }
}

/// Closes all `sessions` at the same time. Returns those that were cut, or whose peer did
/// not acknowledge everything by the deadline.
pub(crate) fn close_sessions(
    threads: &Threads,
    sessions: &[Session],
    deadline: Instant,
) -> Vec<CutSession> {
    // A session that has ended already has reported its end itself.
    let mut sessions = sessions.to_vec();
    sessions.retain(|session| !session.connection().is_over());
    let own = threads.current_streams();
    for session in &sessions {
        // A handler that closes its own session is not waited for.
        for stream in &own {
            session.connection().retire(stream);
        }
        session.connection().close_when_idle();
        session.connection().ask_for_acknowledgement();
    }
    // What is sent meanwhile needs another ping, whose answer takes time.
    let now = sync::now();
    let ask_again = now + deadline.saturating_duration_since(now) / 2;
    for session in &sessions {
        session.connection().wait_closed(ask_again);
        session.connection().ask_for_acknowledgement();
    }
    // All are counted before any is cut: on a hub, a cut ends streams of other sessions.
    let mut cut = Vec::new();
    for session in &sessions {
        let streams = session.connection().wait_closed(deadline);
        let unacknowledged = session.connection().unacknowledged();
        if !streams.is_empty() || unacknowledged > 0 {
            cut.push(CutSession {
                id: session.id(),
                identification: session.identification().into(),
                peer_addr: session.peer_addr(),
                streams: streams.len(),
                stream_names: first_names(&streams),
                unacknowledged,
            });
        }
    }
    for session in &sessions {
        session.connection().cut();
    }
    cut
}

/// Returns the first names of streams, in order, each once.
fn first_names(streams: &[Option<Arc<str>>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in streams.iter().flatten() {
        if let Err(index) = names.binary_search_by(|other| (**other).cmp(name)) {
            names.insert(index, String::from(&**name));
            names.truncate(MAX_NAMED);
        }
    }
    names
}

/// Returns the result of a close that cut `sessions`, and left `running` tasks running.
pub(crate) fn shutdown_result(
    sessions: Vec<CutSession>,
    running: StillRunning,
) -> Result<(), ShutdownError> {
    if sessions.is_empty() && running.count == 0 {
        return Ok(());
    }
    Err(ShutdownError {
        sessions,
        running: running.count,
        operations: running.operations,
    })
}
