//! Connected sockets with the smallest buffers that the system allows.

use socket2::{Domain, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

const BUFFER: usize = 4096;

/// The dialling and the accepting socket. Each is `set` before it is connected.
pub fn sockets(set: impl Fn(&Socket) -> io::Result<()>) -> io::Result<(TcpStream, TcpStream)> {
    // Small buffers must be set before a socket connects or listens. If they are
    // set later, the kernel keeps a window that it cannot fill, and stalls.
    let narrow = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_send_buffer_size(BUFFER)?;
        socket.set_recv_buffer_size(BUFFER)?;
        set(&socket)?;
        io::Result::Ok(socket)
    };
    let (listener, near) = (narrow()?, narrow()?);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&any.into())?;
    listener.listen(1)?;
    near.connect(&listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    Ok((near.into(), far.into()))
}
