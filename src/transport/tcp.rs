//! TCP and Unix sockets: std's stream, with socket2 for what std lacks: a write that does not wait,
//! on a blocking socket.

use super::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf, best_effort};
use crate::sync;
use socket2::Socket;
#[cfg(unix)]
use std::os::{fd::OwnedFd, unix::net::UnixStream};
use std::{
    io::{self, IoSlice, Read},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

impl Transport for TcpStream {
    /// Sets `TCP_NODELAY`, if the system has it: frames are combined before they are
    /// written, so the kernel gains nothing by waiting for more.
    fn split(self) -> io::Result<Halves> {
        best_effort("TCP_NODELAY", self.set_nodelay(true));
        // On some systems, a socket has no addresses once the peer has closed it.
        // That is not an error here: the first read reports it.
        let local_addr = self.local_addr().ok().map(canonical);
        let peer_addr = self.peer_addr().ok().map(canonical);
        Ok(Halves {
            local_addr,
            peer_addr,
            ..split(self.into())?
        })
    }
}

/// A Unix socket is used like a TCP socket.
#[cfg(unix)]
impl Transport for UnixStream {
    fn split(self) -> io::Result<Halves> {
        split(OwnedFd::from(self).into())
    }
}

fn split(socket: Socket) -> io::Result<Halves> {
    socket.set_nonblocking(false)?;
    let socket = Arc::new(socket);
    Ok(Halves {
        reader: Box::new(TcpReader(Arc::clone(&socket))),
        writer: Box::new(TcpWriter(Arc::clone(&socket))),
        closer: Arc::new(TcpCloser(socket)),
        local_addr: None,
        peer_addr: None,
    })
}

/// Converts an IPv4-mapped IPv6 address, which the sockets of a dual-stack listener have,
/// into the IPv4 address. Returns other addresses as they are.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, addr.port()).into(),
        IpAddr::V6(_) => addr,
    }
}

#[derive(Debug)]
struct TcpReader(Arc<Socket>);

impl ReadHalf for TcpReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buf).map_err(interrupted_as_timeout)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout.map(nonzero))
    }
}

#[derive(Debug)]
struct TcpWriter(Arc<Socket>);

impl WriteHalf for TcpWriter {
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        send_again(&self.0, slices, wait)
    }

    fn finish(&mut self, _wait: Wait) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout.map(nonzero))
    }
}

/// Converts the error of a socket's read into that of a [`ReadHalf`]. A read that a
/// signal interrupted received nothing, like one that timed out.
pub(super) fn interrupted_as_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Interrupted => io::ErrorKind::WouldBlock.into(),
        _ => timeout_error(error),
    }
}

/// Converts the timeout of a socket's call to `WouldBlock` on every system. On Unix
/// it already is `WouldBlock`, and `TimedOut` is ETIMEDOUT: the peer has stopped
/// acknowledging data, and the kernel has given up the connection. Windows reports
/// a timeout as `TimedOut`.
pub(super) fn timeout_error(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::TimedOut if cfg!(not(unix)) => io::ErrorKind::WouldBlock.into(),
        _ => error,
    }
}

/// Sends like [`send`], and repeats the call when a signal interrupts the wait.
pub(super) fn send_again(socket: &Socket, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
    let send = || send(socket, slices, wait);
    retry_on_signal(send, || socket.write_timeout())
}

/// Repeats a call while signals interrupt it.
///
/// Each signal restarts the system's timeout. The time is taken at the first
/// signal, so that a call without a signal does not read the clock. A wait thus
/// lasts up to twice the timeout.
pub(super) fn retry_on_signal<T>(
    mut call: impl FnMut() -> io::Result<T>,
    timeout: impl Fn() -> io::Result<Option<Duration>>,
) -> io::Result<T> {
    let mut first = None;
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
        let now = sync::now();
        let waited = now.duration_since(*first.get_or_insert(now));
        if timeout()?.is_some_and(|timeout| waited >= timeout) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
    }
}

/// Sends once. Waits for room in the socket's buffer only if `wait` allows it.
pub(crate) fn send(socket: &Socket, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
    let Some(flags) = send_flags(wait) else {
        return Err(io::ErrorKind::WouldBlock.into());
    };
    let sent = match slices {
        [one] => socket.send_with_flags(one, flags),
        many => socket.send_vectored_with_flags(many, flags),
    };
    sent.map_err(timeout_error)
}

/// Returns flags with which a broken connection returns an error and raises no
/// `SIGPIPE`, even in programs that do not ignore that signal.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn send_flags(wait: Wait) -> Option<i32> {
    match wait {
        Wait::Block => Some(libc::MSG_NOSIGNAL),
        Wait::Never => Some(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT),
    }
}

/// Returns flags without `MSG_NOSIGNAL`: on other Unix systems, std sets
/// `SO_NOSIGPIPE` on the socket.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn send_flags(wait: Wait) -> Option<i32> {
    match wait {
        Wait::Block => Some(0),
        Wait::Never => Some(libc::MSG_DONTWAIT),
    }
}

/// Returns `None` for a write that does not wait, because there is no flag for it.
/// Such a write accepts nothing: a thread that may wait writes later.
#[cfg(not(unix))]
fn send_flags(wait: Wait) -> Option<i32> {
    (wait == Wait::Block).then_some(0)
}

/// Makes a timeout long enough for the system, which counts in microseconds or
/// coarser units, and interprets 0 as no timeout.
pub(super) fn nonzero(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}

#[derive(Debug)]
struct TcpCloser(Arc<Socket>);

impl Closer for TcpCloser {
    fn shutdown(&self) {
        // Fails only if the connection has already ended.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mapped_address_is_changed() {
        for (given, expected) in [
            ("[::ffff:192.0.2.1]:80", "192.0.2.1:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[fe80::1%3]:80", "[fe80::1%3]:80"),
        ] {
            let canonical = canonical(given.parse().unwrap());
            assert_eq!(canonical, expected.parse().unwrap());
        }
    }

    #[test]
    fn a_write_that_is_interrupted_again_and_again_times_out() {
        let interrupted = || Err::<(), _>(io::ErrorKind::Interrupted.into());
        let outcome = retry_on_signal(interrupted, || Ok(Some(Duration::from_millis(1))));
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_write_that_is_interrupted_once_continues() {
        let mut calls = 0;
        let interrupted_once = || {
            calls += 1;
            match calls {
                1 => Err(io::ErrorKind::Interrupted.into()),
                _ => Ok(calls),
            }
        };
        let outcome = retry_on_signal(interrupted_once, || Ok(Some(Duration::from_secs(3600))));
        assert_eq!(outcome.unwrap(), 2);
    }
}
