//! The error with which a connection ends if the network fails. The system reports a
//! failure once, to a read or to a write; later reads only see the end of the
//! connection.

#![cfg(unix)]

mod support;

use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    io::{self, IoSlice, Write},
    sync::Arc,
    time::Duration,
};
use support::in_time;
use wirenet::{
    transport::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf},
    yamux::{Config, Connection, Error},
};

fn etimedout() -> io::Error {
    io::Error::from_raw_os_error(libc::ETIMEDOUT)
}

fn patient() -> Config {
    Config::default()
        .keep_alive(None)
        .write_timeout(Duration::from_secs(3600))
}

/// A transport whose calls have scripted results.
struct Scripted(Halves);

impl Transport for Scripted {
    fn split(self) -> io::Result<Halves> {
        Ok(self.0)
    }
}

fn scripted(reader: impl ReadHalf + 'static, writer: impl WriteHalf + 'static) -> Scripted {
    let closer = Arc::new(NoCloser);
    scripted_with(reader, writer, closer)
}

fn scripted_with(
    reader: impl ReadHalf + 'static,
    writer: impl WriteHalf + 'static,
    closer: Arc<dyn Closer>,
) -> Scripted {
    Scripted(Halves {
        reader: Box::new(reader),
        writer: Box::new(writer),
        closer,
        local_addr: None,
        peer_addr: None,
    })
}

#[derive(Debug)]
struct NoCloser;

impl Closer for NoCloser {
    fn shutdown(&self) {}
}

/// Closes the connection by disconnecting the channel on which its other parts wait.
#[derive(Debug)]
struct Release(parking_lot::Mutex<Option<Sender<()>>>);

impl Closer for Release {
    fn shutdown(&self) {
        self.0.lock().take();
    }
}

/// Reads that fail with these errors, and then find the end. Each waits until the test
/// lets it continue.
#[derive(Debug)]
struct Reads {
    outcomes: Vec<io::Error>,
    go_on: Receiver<()>,
}

impl Reads {
    fn new(outcomes: Vec<io::Error>) -> (Self, Sender<()>) {
        let (sender, go_on) = bounded(0);
        (Self { outcomes, go_on }, sender)
    }
}

impl ReadHalf for Reads {
    fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        // No longer waits if the channel is disconnected.
        let _ = self.go_on.recv();
        match self.outcomes.pop() {
            Some(error) => Err(error),
            None => Ok(0),
        }
    }

    fn set_timeout(&mut self, _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

/// Writes that fail with this error, when the test lets them.
#[derive(Debug)]
struct Failing {
    error: fn() -> io::Error,
    started: Option<Sender<()>>,
    fail: Receiver<()>,
}

impl WriteHalf for Failing {
    fn write(&mut self, _slices: &[IoSlice<'_>], _wait: Wait) -> io::Result<usize> {
        self.started.take();
        let _ = self.fail.recv();
        Err((self.error)())
    }

    fn finish(&mut self, _wait: Wait) -> io::Result<()> {
        Ok(())
    }

    fn set_timeout(&mut self, _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

fn failing(error: fn() -> io::Error) -> Failing {
    Failing {
        error,
        started: None,
        fail: crossbeam_channel::never(),
    }
}

/// Waits until the connection has ended, and returns its error.
fn reason(connection: &Connection) -> Error {
    connection.accept().unwrap_err()
}

fn is_etimedout(error: &Error) -> bool {
    matches!(error, Error::Io(cause) if cause.raw_os_error() == Some(libc::ETIMEDOUT))
}

#[test]
fn a_timeout_of_the_kernel_is_not_reported_as_a_close_by_the_peer() {
    in_time(|| {
        let (reader, go_on) = Reads::new(vec![etimedout()]);
        let transport = scripted(reader, failing(etimedout));
        let connection = Connection::server(transport, patient()).unwrap();
        drop(go_on);
        let error = reason(&connection);
        assert!(is_etimedout(&error), "{error:?}");
    });
}

/// The read then only finds the end.
#[test]
fn a_connection_ends_with_the_error_of_an_earlier_write() {
    in_time(|| {
        let failures: [(fn() -> io::Error, i32); 2] = [
            (etimedout, libc::ETIMEDOUT),
            (
                || io::Error::from_raw_os_error(libc::ECONNRESET),
                libc::ECONNRESET,
            ),
        ];
        for (error, code) in failures {
            let (reader, go_on) = Reads::new(Vec::new());
            let mut writer = failing(error);
            // Disconnected: it fails immediately.
            writer.fail = bounded(0).1;
            let connection = Connection::client(scripted(reader, writer), patient()).unwrap();
            // Even the stream's SYN cannot be sent.
            let stream = connection.open().unwrap();
            stream.reset();
            drop(go_on);
            let error = reason(&connection);
            let cause = matches!(&error, Error::Io(cause) if cause.raw_os_error() == Some(code));
            assert!(cause, "{error:?}");
        }
    });
}

/// The read finds the end before the write has returned.
#[test]
fn a_connection_ends_with_the_error_of_a_write_that_is_still_in_progress() {
    in_time(|| {
        let (reader, go_on) = Reads::new(Vec::new());
        let (started, has_started) = bounded(0);
        let (release, fail) = bounded(0);
        let writer = Failing {
            error: etimedout,
            started: Some(started),
            fail,
        };
        let closer = Arc::new(Release(Some(release).into()));
        let transport = scripted_with(reader, writer, closer);
        let connection = Connection::client(transport, patient()).unwrap();
        let opening = connection.clone();
        let opening = std::thread::spawn(move || opening.open().map(|stream| stream.reset()));
        has_started.recv().unwrap_err();
        drop(go_on);
        let error = reason(&connection);
        assert!(is_etimedout(&error), "{error:?}");
        opening.join().unwrap().ok();
    });
}

/// A broken pipe does not tell why the peer has closed.
#[test]
fn a_close_by_the_peer_is_reported_even_if_a_write_has_failed_with_a_broken_pipe() {
    in_time(|| {
        let (reader, go_on) = Reads::new(Vec::new());
        let mut writer = failing(|| io::ErrorKind::BrokenPipe.into());
        writer.fail = bounded(0).1;
        let connection = Connection::client(scripted(reader, writer), patient()).unwrap();
        connection.open().unwrap().reset();
        drop(go_on);
        let error = reason(&connection);
        assert!(matches!(error, Error::ClosedByPeer), "{error:?}");
    });
}

/// Accepts the write that opens a stream, and fails later ones.
#[derive(Debug, Default)]
struct FailingLater {
    wrote: bool,
}

impl WriteHalf for FailingLater {
    fn write(&mut self, slices: &[IoSlice<'_>], _wait: Wait) -> io::Result<usize> {
        match std::mem::replace(&mut self.wrote, true) {
            false => Ok(slices.iter().map(|slice| slice.len()).sum()),
            true => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    fn finish(&mut self, _wait: Wait) -> io::Result<()> {
        Ok(())
    }

    fn set_timeout(&mut self, _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

/// The read then only finds the end.
#[test]
fn bytes_of_a_failed_write_are_not_acknowledged() {
    in_time(|| {
        let (reader, go_on) = Reads::new(Vec::new());
        let transport = scripted(reader, FailingLater::default());
        let connection = Connection::client(transport, patient()).unwrap();
        let mut stream = connection.open().unwrap();
        stream.write_all(b"data").unwrap();
        drop(go_on);
        reason(&connection);
        connection.close();
        assert_eq!(connection.unacknowledged(), 4);
    });
}

/// With real sockets: the kernel gives up on a peer that acknowledges nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod kernel {
    use super::{in_time, is_etimedout, patient, reason};
    use crate::support::narrow;
    use socket2::{SockRef, Socket};
    use std::{io::Write as _, net::TcpStream, time::Duration};
    use wirenet::{transport::Transport, yamux::Connection};

    fn sockets() -> (TcpStream, TcpStream) {
        let (near, far) = narrow::sockets(|socket: &Socket| socket.set_tcp_mss(536)).unwrap();
        let timeout = Some(Duration::from_millis(100));
        SockRef::from(&near).set_tcp_user_timeout(timeout).unwrap();
        (near, far)
    }

    /// Writes more than the buffers can hold, and checks the error of the connection.
    fn assert_ends_with_etimedout(transport: impl Transport) {
        let connection = Connection::client(transport, patient()).unwrap();
        let mut stream = connection.open().unwrap();
        let timeout = Some(Duration::from_millis(1));
        stream.set_write_timeout(timeout).unwrap();
        while stream.write(&[7; 60_000]).is_ok() {}
        let error = reason(&connection);
        assert!(is_etimedout(&error), "{error:?}");
    }

    #[test]
    fn a_tcp_connection_that_the_kernel_gives_up_on_ends_with_its_error() {
        in_time(|| {
            let (near, _far) = sockets();
            assert_ends_with_etimedout(near);
        });
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_tls_connection_that_the_kernel_gives_up_on_ends_with_its_error() {
        use wirenet::{TlsClient, TlsServer, load_certificates, transport::TlsStream};
        in_time(|| {
            let (near, far) = sockets();
            let deadline = std::time::Instant::now() + crate::support::PATIENCE;
            let server = TlsServer::new(load_certificates("server", "certs").unwrap()).unwrap();
            let far = std::thread::spawn(move || TlsStream::server(far, &server, deadline));
            let client = TlsClient::with_ca("certs/ca.pem").unwrap();
            let near = TlsStream::client(near, &client, "127.0.0.1", deadline).unwrap();
            let _far = far.join().unwrap().unwrap();
            assert_ends_with_etimedout(near);
        });
    }
}
