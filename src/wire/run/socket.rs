//! Sets the options of a TCP socket according to the wire's options.

use crate::wire::state::options::Options;
use socket2::{SockRef, TcpKeepalive};
use std::{io, time::Duration};

/// The range that every kernel accepts.
const SHORTEST: Duration = Duration::from_secs(1);
pub(crate) const LONGEST: Duration = Duration::from_secs(32_767);

/// Sets the sizes of the kernel's buffers. Must be called before the socket is
/// connected, or on the listening socket, from which accepted sockets inherit the
/// sizes: TCP negotiates the scale of its windows when it connects.
pub(crate) fn set_buffers(socket: &SockRef<'_>, options: &Options) -> io::Result<()> {
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.recv_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(())
}

/// Makes the kernel probe whether the peer is alive. Unlike the wire's own keepalive,
/// this detects a dead peer even while the connection is not read. `TCP_NODELAY` is set
/// by the transport.
pub(crate) fn watch(socket: &SockRef<'_>, options: &Options) -> io::Result<()> {
    if options.keep_alive {
        let time = options.keep_alive_interval.clamp(SHORTEST, LONGEST);
        let interval = (options.write_timeout / 3).clamp(SHORTEST, LONGEST);
        let keep_alive = TcpKeepalive::new().with_time(time).with_interval(interval);
        socket.set_tcp_keepalive(&keep_alive)?;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(options.write_timeout.clamp(SHORTEST, LONGEST)))?;
    Ok(())
}
