//! The tests' transport: TCP as it is.

use std::net::TcpStream;
use wirenet::Builder;

/// What a peer by hand reads and writes.
pub type Socket = TcpStream;

pub fn hub(builder: Builder) -> Builder {
    builder
}

pub fn client(builder: Builder) -> Builder {
    builder
}

pub fn by_hand(socket: TcpStream) -> Socket {
    socket
}
