//! Addresses that no dial reaches: one does not answer, the other refuses.

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

/// An address that refuses connections. A socket is bound to it, so that nothing else is
/// given its port, and does not listen.
pub struct Refusing {
    pub addr: SocketAddr,
    _bound: Socket,
}

impl Refusing {
    pub fn new() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        bound.bind(&any.into()).unwrap();
        let addr = bound.local_addr().unwrap().as_socket().unwrap();
        Self {
            addr,
            _bound: bound,
        }
    }
}
