//! A stream that is connected to a socket: its bytes, its ends, and its failures pass in
//! both directions.

#![cfg(unix)]

mod support;

#[path = "pipe/ends.rs"]
mod ends;
#[path = "pipe/failures.rs"]
mod failures;
#[path = "pipe/random.rs"]
mod random;
#[path = "pipe/stalled.rs"]
mod stalled;
#[path = "pipe/unix.rs"]
mod unix;

use crossbeam_channel::{Receiver, unbounded};
use socket2::SockRef;
use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::OwnedFd,
    thread,
    time::Duration,
};
use support::{
    PATIENCE,
    reads::{assert_end, assert_reads, assert_reset},
    wires::{Link, as_it_is},
};
use wirenet::{Builder, Piped, Stream};

/// A pipe in a handler, and the ends of what it connects.
struct Rig<S> {
    /// The caller's end of the stream.
    stream: Stream,
    /// The peer of the pipe's socket.
    socket: S,
    /// What the pipe returns.
    outcome: Receiver<io::Result<Piped>>,
    // Dropped last: its close waits for the stream.
    link: Link,
}

impl<S> Rig<S> {
    /// Connects a stream with `piped`, whose peer is `socket`.
    fn new(piped: impl Into<OwnedFd>, socket: S) -> Self {
        Self::with(piped, socket, as_it_is)
    }

    /// The same, with options of the server, which has the pipe.
    fn with(
        piped: impl Into<OwnedFd>,
        socket: S,
        options: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let (given, taken) = unbounded::<OwnedFd>();
        let (told, outcome) = unbounded();
        let serving = |server: Builder| {
            options(server).stream("pipe", move |stream| {
                let piped = stream.pipe_with(taken.recv().unwrap());
                // The test may have ended.
                let _ = told.send(piped);
                Ok(())
            })
        };
        let link = Link::new(serving, as_it_is);
        given.send(piped.into()).unwrap();
        let stream = link.near.open_stream("pipe").unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            socket,
            outcome,
            link,
        }
    }

    #[track_caller]
    fn outcome(&self) -> io::Result<Piped> {
        self.outcome.recv_timeout(PATIENCE).unwrap()
    }

    /// Checks the kind of the pipe's error, and a part of its text.
    #[track_caller]
    fn assert_fails(&self, kind: io::ErrorKind, part: &str) {
        assert_fails(self.outcome(), kind, part);
    }
}

impl Rig<TcpStream> {
    fn tcp() -> Self {
        let (piped, socket) = tcp_pair();
        Self::new(piped, socket)
    }

    /// Ends the direction from the socket to the stream.
    #[track_caller]
    fn end_socket(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
        assert_end(&self.stream);
    }

    /// Ends the direction from the stream to the socket.
    #[track_caller]
    fn end_stream(&self) {
        self.stream.finish().unwrap();
        assert_end(&self.socket);
    }

    /// Resets the socket, and checks that the pipe fails with an error that contains `part`,
    /// and then the stream.
    #[track_caller]
    fn assert_socket_reset_passes(self, part: &str) {
        reset(self.socket);
        let outcome = self.outcome.recv_timeout(PATIENCE).unwrap();
        assert_fails(outcome, io::ErrorKind::ConnectionReset, part);
        // The bytes that it has received before come first.
        assert_reset(&self.stream);
    }

    /// Resets the stream, and checks that the pipe fails and then the socket.
    #[track_caller]
    fn assert_stream_reset_passes(&self) {
        self.stream.reset();
        self.assert_fails(io::ErrorKind::ConnectionReset, "reset by the peer");
        assert_reset(&self.socket);
    }
}

#[track_caller]
fn assert_fails(outcome: io::Result<Piped>, kind: io::ErrorKind, part: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    for tcp in [&near, &far] {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    (near, far)
}

/// Drops a connection such that it is reset.
fn reset(tcp: TcpStream) {
    let socket = SockRef::from(&tcp);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// Fills the receiver's buffers, and waits for room until a write fails. Returns the error.
fn flood(mut to: impl io::Write + Send + 'static) -> thread::JoinHandle<io::Error> {
    thread::spawn(move || io::copy(&mut io::repeat(7), &mut to).unwrap_err())
}
