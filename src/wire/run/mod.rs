//! The work of a wire's threads.
//!
//! The files, in reading order:
//!
//! 1. `server` accepts connections, `client` dials with `dial`; both implement [`Runner`].
//!    `addr` and `socket` are their addresses and socket options.
//! 2. `connect` makes a connection's transport: TCP, or TLS over it.
//! 3. `handshake` opens a session on a connection.
//! 4. `serving` registers the session, reads it until it ends, and passes its streams to
//!    the pool; `inbound` answers one such stream, and runs its handler or relays it.
//! 5. `hooks` runs the hooks of a session; `reports` calls hooks, the error
//!    handler, and the logger.
//! 6. `close` ends the wire.

use super::{
    session::session::Session,
    state::{error_context::ErrorContext, wire_state::WireState},
};
use crate::error::{Error, OpError, Operation};
use std::sync::Arc;

pub(crate) mod addr;
pub(crate) mod client;
pub(crate) mod close;
pub(crate) mod connect;
pub(crate) mod dial;
pub(crate) mod handshake;
pub(crate) mod hooks;
pub(crate) mod inbound;
pub(crate) mod reports;
pub(crate) mod server;
pub(crate) mod serving;
pub(crate) mod socket;

/// How a server or a client runs.
pub(crate) trait Runner: Send + Sync {
    /// Returns the name of the thread on which the wire runs, if it gets its own.
    fn thread_name(&self) -> &'static str;

    /// Runs the wire on the current thread until it ends. Calls `up` each time the
    /// wire is up, with the session if the wire is a client.
    fn run(
        &self,
        wire: &Arc<WireState>,
        up: &mut dyn FnMut(Option<&Session>),
    ) -> Result<(), Box<Failure>>;
}

/// The error that ended a wire.
pub(crate) struct Failure {
    pub(crate) operation: Operation,
    pub(crate) context: ErrorContext,
    pub(crate) error: Error,
}

impl Failure {
    /// Returns the error as a call of the program returns it: an error of a handshake also
    /// names the server. Reports have the address in their context.
    pub(crate) fn returned(&self, wire: &WireState) -> Error {
        let error = self.error.clone();
        match (&self.operation, wire.server_addr()) {
            (Operation::Handshake, Some(addr)) => error.at_server(&addr),
            _ => error,
        }
    }

    /// Reports the failure with which the run ends.
    pub(crate) fn report_last(self, wire: &Arc<WireState>) {
        let mut error = self.into_op_error();
        error.gives_up = true;
        wire.report_last(error);
    }

    pub(crate) fn report_and_go_on(self, wire: &Arc<WireState>) {
        wire.report_and_go_on(self.operation, self.context, self.error);
    }

    fn into_op_error(self) -> OpError {
        self.context.error(self.operation, self.error.into())
    }
}

impl From<Error> for Box<Failure> {
    fn from(error: Error) -> Self {
        Self::new(Failure {
            operation: Operation::Session,
            context: ErrorContext::default(),
            error,
        })
    }
}
