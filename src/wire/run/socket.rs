//! The options of a TCP socket that the wire's own options ask for.

use crate::wire::state::options::Options;
use socket2::{SockRef, TcpKeepalive};
use std::{io, time::Duration};

/// What a kernel takes, all of them.
const SHORTEST: Duration = Duration::from_secs(1);
pub(crate) const LONGEST: Duration = Duration::from_secs(32_767);

/// Before the socket is connected, or on the listening one, which passes it on:
/// TCP agrees on the scale of its windows when it connects.
pub(crate) fn set_buffers(socket: &SockRef<'_>, options: &Options) -> io::Result<()> {
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.recv_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(())
}

/// Has the kernel look whether the peer is there: below the wire's own
/// keepalive, it also notices a peer that is gone while nobody reads.
/// `TCP_NODELAY` is the transport's affair.
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
