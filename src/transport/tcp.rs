//! TCP: the standard library's stream, with the calls that it lacks from
//! socket2 (a write that does not wait, on a socket that otherwise blocks).

use super::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf};
use crate::sync;
use socket2::Socket;
use std::{
    io::{self, IoSlice, Read},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Duration,
};

impl Transport for TcpStream {
    /// Sets `TCP_NODELAY`: frames are gathered before they are written, so
    /// that the kernel has nothing to wait for.
    fn split(self) -> io::Result<Halves> {
        self.set_nodelay(true)?;
        self.set_nonblocking(false)?;
        // On some systems a socket has no addresses any more once its peer has left;
        // reading it tells of that.
        let local_addr = self.local_addr().ok();
        let peer_addr = self.peer_addr().ok();
        let socket = Arc::new(Socket::from(self));
        Ok(Halves {
            reader: Box::new(TcpReader(Arc::clone(&socket))),
            writer: Box::new(TcpWriter(Arc::clone(&socket))),
            closer: Arc::new(TcpCloser(socket)),
            local_addr,
            peer_addr,
        })
    }
}

#[derive(Debug)]
struct TcpReader(Arc<Socket>);

impl ReadHalf for TcpReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buf).map_err(read_error)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout.map(not_for_ever))
    }
}

#[derive(Debug)]
struct TcpWriter(Arc<Socket>);

impl WriteHalf for TcpWriter {
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        send_uncut(&self.0, slices, wait)
    }

    fn finish(&mut self, _wait: Wait) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout.map(not_for_ever))
    }
}

/// What a [`ReadHalf`] reports: a read that a signal has cut short received as
/// little as one that timed out.
pub(super) fn read_error(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Interrupted => io::ErrorKind::WouldBlock.into(),
        _ => timeout_error(error),
    }
}

/// Makes the timeout of a socket's call `WouldBlock` everywhere. On Unix it is
/// that already, and `TimedOut` is ETIMEDOUT: the peer acknowledges nothing any
/// more, and the kernel has given the connection up. Windows reports a timeout
/// as `TimedOut`.
pub(super) fn timeout_error(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::TimedOut if cfg!(not(unix)) => io::ErrorKind::WouldBlock.into(),
        _ => error,
    }
}

/// Sends once, and waits for room only if it may, whatever signals cut that
/// short.
pub(super) fn send_uncut(socket: &Socket, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
    uncut(|| send(socket, slices, wait), || socket.write_timeout())
}

/// Each signal begins the system's timeout anew. Here it is counted from the
/// first, because only then it costs a look at the clock: a wait may last twice
/// as long, and no longer.
fn uncut<T>(
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

/// Sends once, and waits for room only if it may.
pub(super) fn send(socket: &Socket, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
    let Some(flags) = send_flags(wait) else {
        return Err(io::ErrorKind::WouldBlock.into());
    };
    let sent = match slices {
        [one] => socket.send_with_flags(one, flags),
        many => socket.send_vectored_with_flags(many, flags),
    };
    sent.map_err(timeout_error)
}

/// A broken connection is an error, never a signal, in programs that have not
/// switched `SIGPIPE` off too.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn send_flags(wait: Wait) -> Option<i32> {
    match wait {
        Wait::Block => Some(libc::MSG_NOSIGNAL),
        Wait::Never => Some(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT),
    }
}

/// Elsewhere on Unix the socket carries `SO_NOSIGPIPE`, which std sets.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn send_flags(wait: Wait) -> Option<i32> {
    match wait {
        Wait::Block => Some(0),
        Wait::Never => Some(libc::MSG_DONTWAIT),
    }
}

/// Without a flag for it, a write that may not wait is left to another thread.
#[cfg(not(unix))]
fn send_flags(wait: Wait) -> Option<i32> {
    (wait == Wait::Block).then_some(0)
}

/// A kernel counts in microseconds, or in more, and takes 0 for no timeout.
pub(super) fn not_for_ever(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}

#[derive(Debug)]
struct TcpCloser(Arc<Socket>);

impl Closer for TcpCloser {
    fn shutdown(&self) {
        // Fails when the connection is gone already, which is what was asked.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_signals_cut_short_again_and_again_times_out() {
        let cut = || Err::<(), _>(io::ErrorKind::Interrupted.into());
        let outcome = uncut(cut, || Ok(Some(Duration::from_millis(1))));
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_write_that_a_signal_cuts_short_goes_on() {
        let mut calls = 0;
        let cut_once = || {
            calls += 1;
            match calls {
                1 => Err(io::ErrorKind::Interrupted.into()),
                _ => Ok(calls),
            }
        };
        let outcome = uncut(cut_once, || Ok(Some(Duration::from_secs(3600))));
        assert_eq!(outcome.unwrap(), 2);
    }
}
