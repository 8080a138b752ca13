//! Why a wire has no session, as far as it knows: for the errors of calls that wait for one.

use super::wire_state::WireState;
use crate::{error::Error, yamux};
use std::{io, sync::Arc};

/// What has prevented a session since the last one was established.
#[derive(Default)]
pub(super) enum LastFailure {
    /// No attempt has been made.
    #[default]
    Nothing,
    /// The first attempt is in progress.
    InProgress(Step),
    /// The last attempt failed, or the session ended.
    Failed(Error),
}

/// What a client waits for during an attempt.
pub(crate) enum Step {
    /// That the server at this address accepts the connection.
    Dial(String),
    /// That the server at this address answers the handshake.
    Handshake(String),
}

impl LastFailure {
    /// Returns the error for a caller that no longer waits for a session.
    pub(super) fn error(&self) -> Option<Error> {
        match self {
            Self::Nothing => None,
            Self::InProgress(step) => Some(step.error()),
            Self::Failed(error) => Some(error.clone()),
        }
    }
}

impl Step {
    fn error(&self) -> Error {
        match self {
            Self::Dial(addr) => {
                let cause = io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no answer yet; check the address, and firewalls on the way",
                );
                let (addr, cause) = (addr.clone(), Arc::new(cause));
                Error::Dial { addr, cause }
            }
            Self::Handshake(addr) => {
                let text = format!(
                    "the server at {addr} accepted the connection, but has not answered yet (is \
                     it a wirenet server?)"
                );
                Error::from(yamux::Error::timed_out()).explained(text)
            }
        }
    }
}

impl WireState {
    /// Notes that an attempt to open a session has reached `step`, unless an earlier
    /// attempt has failed: then its error says more.
    pub(crate) fn note_step(&self, step: Step) {
        let mut data = self.data.lock();
        let (Step::Dial(addr) | Step::Handshake(addr)) = &step;
        data.server_addr.get_or_insert_with(|| addr.clone());
        let last = &mut data.last_failure;
        if !matches!(last, LastFailure::Failed(_)) {
            *last = LastFailure::InProgress(step);
        }
    }

    /// Notes why an attempt to open a session has failed, or why the session has ended.
    /// Returns the previous error, if no session was established since.
    pub(crate) fn note_failure(&self, error: Error) -> Option<Error> {
        let last = &mut self.data.lock().last_failure;
        match std::mem::replace(last, LastFailure::Failed(error)) {
            LastFailure::Failed(previous) => Some(previous),
            LastFailure::Nothing | LastFailure::InProgress(_) => None,
        }
    }

    /// Returns the address of a client's server, as it was given, once the client has
    /// dialled it.
    pub(crate) fn server_addr(&self) -> Option<String> {
        self.data.lock().server_addr.clone()
    }

    /// Returns why the run of a client that has had a session has ended.
    pub(crate) fn why_ended(&self) -> Option<Error> {
        let data = self.data.lock();
        data.life.failure().or_else(|| data.last_failure.error())
    }
}
