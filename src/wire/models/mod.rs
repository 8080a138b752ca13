//! Models of wires and their sessions over an in-memory transport. A model checker runs
//! them with many interleavings of their threads; see [`sync`](crate::sync).

use crate::wire::state::{
    error_context::ErrorContext, handshakes::NoHandshake, session_opening::Pending,
    wire_state::WireState,
};
use std::{
    net::{TcpListener, TcpStream},
    sync::{Arc, LazyLock},
};

mod names;
mod pool;
mod session;

/// Begins a handshake. The socket that a close would shut down is always the same, and
/// nothing is sent over it.
pub(super) fn pending(wire: &Arc<WireState>) -> Result<Pending, NoHandshake> {
    static SOCKET: LazyLock<(TcpListener, TcpStream)> = LazyLock::new(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener, stream)
    });
    wire.begin_handshake(&SOCKET.1, &ErrorContext::default())
}
