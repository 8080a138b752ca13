//! The socket of a pipe: what it must be, and its options.

use super::shared::{Failure, READING_SOCKET, SOCKET_FAILED};
use crate::transport::{Wait, send};
use socket2::{Domain, Socket, TcpKeepalive, Type};
use std::{
    io::{self, ErrorKind},
    mem::MaybeUninit,
    net::Shutdown,
    time::Duration,
};

/// After this much silence, the system asks a TCP peer whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long after an unanswered question the system asks again.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Checks the socket, and sets its options. From now on, closing a TCP connection resets it,
/// even if the process is killed. Returns whether the socket is a TCP connection.
pub(super) fn prepare(socket: &Socket) -> Result<bool, Failure> {
    check_type(socket).map_err(unusable)?;
    check_connected(socket)?;
    let is_tcp = set_options(socket).map_err(unusable)?;
    if is_tcp {
        check_open_for_writing(socket)?;
    }
    Ok(is_tcp)
}

/// Wakes a thread from a read of the socket. The socket's peer does not notice.
pub(super) fn end_reading(socket: &Socket) {
    // Fails only if the connection is gone.
    let _ = socket.shutdown(Shutdown::Read);
}

/// Lets the kernel send what it still buffers when the socket is closed.
pub(super) fn close_in_order(socket: &Socket) -> Result<(), Failure> {
    socket.set_linger(None).map_err(unusable)
}

fn unusable(error: io::Error) -> Failure {
    Failure::of("cannot use the socket")(error)
}

fn check_type(socket: &Socket) -> io::Result<()> {
    let text = match socket.r#type() {
        Ok(Type::STREAM) => return Ok(()),
        Ok(Type::DGRAM) => {
            "a datagram socket cannot be piped; give a connected stream socket".into()
        }
        Ok(other) => {
            format!("a socket of type {other:?} cannot be piped; give a connected stream socket")
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {
            "it is a file or a pipe; give a connected stream socket, or copy with io::copy".into()
        }
        Err(error) => return Err(error),
    };
    Err(io::Error::new(ErrorKind::InvalidInput, text))
}

/// Checks with a read that the socket is connected. The read does not fail on a connection
/// that has ended.
fn check_connected(socket: &Socket) -> Result<(), Failure> {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    let Err(error) = socket.recv_with_flags(&mut [MaybeUninit::uninit()], flags) else {
        return Ok(());
    };
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(()),
        // `InvalidInput` is the error of a Unix socket.
        ErrorKind::NotConnected | ErrorKind::InvalidInput => {
            let text = "it is not connected; give the socket of a connection, not a listener";
            Err(unusable(io::Error::new(ErrorKind::NotConnected, text)))
        }
        _ => Err(Failure::of(READING_SOCKET)(error)),
    }
}

/// Refuses a socket that was shut down for writing: the end of the data that it receives
/// cannot be told from a reset.
fn check_open_for_writing(socket: &Socket) -> Result<(), Failure> {
    // A connection that has ended or was reset has no peer address. The threads find out
    // which it is.
    let is_over = || socket.peer_addr().is_err();
    if is_over() {
        return Ok(());
    }
    match send(socket, &[], Wait::Never) {
        // It was reset meanwhile, after the end of the peer's data.
        Err(error) if error.kind() == ErrorKind::BrokenPipe && is_over() => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            let text = "it was shut down for writing; give a socket that is open in both \
                        directions, or copy the rest with io::copy";
            Err(unusable(io::Error::new(ErrorKind::InvalidInput, text)))
        }
        Err(error) if error.kind() != ErrorKind::WouldBlock => {
            Err(Failure::of(SOCKET_FAILED)(error))
        }
        _ => Ok(()),
    }
}

fn set_options(socket: &Socket) -> io::Result<bool> {
    let domain = socket.local_addr()?.domain();
    let is_tcp = domain == Domain::IPV4 || domain == Domain::IPV6;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(None)?;
    if is_tcp {
        socket.set_linger(Some(Duration::ZERO))?;
        // If this fails, small pieces may be delayed, but nothing is lost.
        let _ = socket.set_tcp_nodelay(true);
        if let Ok(false) = socket.keepalive() {
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
            // If this fails, a peer that is gone without a trace is noticed only when something
            // is sent to it.
            let _ = socket.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE_INTERVAL));
        }
    }
    Ok(is_tcp)
}
