//! Sets the options of a TCP socket according to the wire's options. A session works
//! without any of them; which ones a system has differs.

use crate::{
    transport::best_effort,
    wire::state::options::{LONGEST_TCP_TIMER, Options},
};
use socket2::{SockRef, TcpKeepalive};
use std::time::Duration;

/// The shortest time of a timer that every kernel accepts.
const SHORTEST: Duration = Duration::from_secs(1);

/// Sets the sizes of the kernel's buffers. Must be called before the socket is
/// connected, or on the listening socket, from which accepted sockets inherit the
/// sizes: TCP negotiates the scale of its windows when it connects.
pub(crate) fn set_buffers(socket: &SockRef<'_>, options: &Options) {
    if let Some(bytes) = options.send_buffer {
        best_effort("SO_SNDBUF", socket.set_send_buffer_size(bytes));
    }
    if let Some(bytes) = options.recv_buffer {
        best_effort("SO_RCVBUF", socket.set_recv_buffer_size(bytes));
    }
}

/// Makes the kernel probe whether the peer is alive. Unlike the wire's own keepalive,
/// this detects a dead peer even while the connection is not read. `TCP_NODELAY` is set
/// by the transport.
pub(crate) fn watch(socket: &SockRef<'_>, options: &Options) {
    if options.keep_alive {
        let time = options
            .keep_alive_interval
            .clamp(SHORTEST, LONGEST_TCP_TIMER);
        let interval = (options.write_timeout / 3).clamp(SHORTEST, LONGEST_TCP_TIMER);
        let time = TcpKeepalive::new().with_time(time);
        if socket
            .set_tcp_keepalive(&time.clone().with_interval(interval))
            .is_err()
        {
            // One by one, so that the others are set on a system that lacks one of them.
            let interval = TcpKeepalive::new().with_interval(interval);
            best_effort("SO_KEEPALIVE", socket.set_keepalive(true));
            best_effort("TCP_KEEPIDLE", socket.set_tcp_keepalive(&time));
            best_effort("TCP_KEEPINTVL", socket.set_tcp_keepalive(&interval));
        }
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let timeout = options.write_timeout.clamp(SHORTEST, LONGEST_TCP_TIMER);
        let outcome = socket.set_tcp_user_timeout(Some(timeout));
        best_effort("TCP_USER_TIMEOUT", outcome);
    }
}
