//! Sessions between two wires over a transport in memory, run in many orders by
//! a model checker; see [`sync`](crate::sync).

use crate::wire::state::{
    error_context::ErrorContext, handshakes::NoHandshake, opening::Pending, wire_state::WireState,
};
use std::{
    net::{TcpListener, TcpStream},
    sync::{Arc, LazyLock},
};

mod names;
mod pool;
mod session;

/// A place for a handshake. The socket that a close is to cut is always the
/// same, and nothing goes over it.
pub(super) fn pending(wire: &Arc<WireState>) -> Result<Pending, NoHandshake> {
    static SOCKET: LazyLock<(TcpListener, TcpStream)> = LazyLock::new(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener, stream)
    });
    wire.begin_handshake(&SOCKET.1, &ErrorContext::default())
}
