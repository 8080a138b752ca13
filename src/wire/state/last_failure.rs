//! Why a wire has no session, as far as it knows: for the errors of calls that wait for one.

use super::wire_state::WireState;
use crate::{error::Error, sync};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// What has prevented a session since the last one was established.
#[derive(Default)]
pub(super) enum LastFailure {
    /// No attempt has been made.
    #[default]
    Nothing,
    /// The first attempt is in progress.
    InProgress(Step, Instant),
    /// The last attempt failed, or the session ended.
    Failed(Error),
}

/// What a client waits for during an attempt.
pub(crate) enum Step {
    /// The server at this address accepts the connection.
    Dial(String),
    /// The server answers the handshake.
    Handshake,
}

impl LastFailure {
    /// Returns the error for a caller that no longer waits for a session.
    pub(super) fn error(&self) -> Option<Error> {
        match self {
            Self::Nothing => None,
            Self::InProgress(step, since) => Some(step.error(*since)),
            Self::Failed(error) => Some(error.clone()),
        }
    }
}

impl Step {
    fn error(&self, since: Instant) -> Error {
        match self {
            Self::Dial(addr) => {
                let cause = io::Error::new(io::ErrorKind::TimedOut, "no answer yet");
                let (addr, cause) = (addr.clone(), Arc::new(cause));
                Error::Dial { addr, cause }
            }
            Self::Handshake => {
                let elapsed = sync::now().saturating_duration_since(since).as_millis();
                let elapsed = Duration::from_millis(u64::try_from(elapsed).unwrap_or(u64::MAX));
                Error::timed_out("session handshake", elapsed)
            }
        }
    }
}

impl WireState {
    /// Notes that an attempt to open a session has reached `step`, unless an earlier
    /// attempt has failed: then its error says more.
    pub(crate) fn note_step(&self, step: Step) {
        let last = &mut self.data.lock().last_failure;
        if !matches!(last, LastFailure::Failed(_)) {
            *last = LastFailure::InProgress(step, sync::now());
        }
    }

    /// Notes why an attempt to open a session has failed, or why the session has ended.
    /// Returns the previous error, if no session was established since.
    pub(crate) fn note_failure(&self, error: Error) -> Option<Error> {
        let last = &mut self.data.lock().last_failure;
        match std::mem::replace(last, LastFailure::Failed(error)) {
            LastFailure::Failed(previous) => Some(previous),
            LastFailure::Nothing | LastFailure::InProgress(..) => None,
        }
    }

    pub(crate) fn last_failure(&self) -> Option<Error> {
        self.data.lock().last_failure.error()
    }
}
