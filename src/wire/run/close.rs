//! How a wire closes.

use crate::{
    error::ShutdownError,
    sync,
    wire::{
        session::{
            closing::{close_sessions, shutdown_result},
            session::HostWire,
        },
        state::wire_state::WireState,
    },
};
use std::{any::Any, sync::Arc, time::Duration};

/// How long to wait for the threads to end after everything was cut.
const GRACE: Duration = Duration::from_secs(1);

/// Closes a wire and all its sessions, and waits for its threads.
pub(crate) fn close_wire(wire: &WireState) -> Result<(), ShutdownError> {
    let closing = wire.begin_close();
    let (sessions, deadline) = wire.stop();
    for session in &sessions {
        session.connection().go_away();
    }
    // On a hub, opening a stream opens another one on the owner's session, so no
    // session is closed until these openings are answered.
    wire.threads.wait_openings(deadline);
    let cut = close_sessions(&wire.threads, &sessions, deadline);
    let running = wire.threads.join(deadline.max(sync::now()) + GRACE);
    wire.pool.close();
    let outcome = shutdown_result(cut, running);
    closing.end(&outcome);
    outcome
}

impl HostWire for WireState {
    fn close(&self) -> Result<(), ShutdownError> {
        close_wire(self)
    }

    fn handle(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.handle.get()?.upgrade()
    }
}
