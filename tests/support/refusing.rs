//! An address that refuses connections.

use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address of this machine that is in use, but at which nothing listens. As long as this
/// exists, the system gives its port to nobody who asks for any port.
pub struct Refusing {
    pub addr: SocketAddr,
    socket: Socket,
}

impl Refusing {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // A server that is started at this very address may still listen.
        socket.set_reuse_address(true).unwrap();
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any_port.into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        Self { addr, socket }
    }

    /// Accepts connections from now on.
    pub fn listen(self) -> TcpListener {
        self.socket.listen(128).unwrap();
        self.socket.into()
    }
}
