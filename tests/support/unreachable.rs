//! An address that does not answer.

use socket2::{Domain, Socket, Type};
use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A listener whose backlog is full. It ignores SYNs, so a dial waits for its whole
/// timeout.
pub struct Unreachable {
    pub addr: SocketAddr,
    _listener: Socket,
    _filling: Vec<TcpStream>,
}

impl Unreachable {
    pub fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let timeout = Duration::from_millis(100);
        let dial = || TcpStream::connect_timeout(&addr, timeout).ok();
        Self {
            addr,
            _filling: std::iter::from_fn(dial).collect(),
            _listener: listener,
        }
    }
}
