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
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    thread,
    time::Duration,
};
use support::{
    PATIENCE,
    reads::{assert_end, assert_reads, assert_reset},
    wires::Link,
};
use wirenet::{Piped, Stream};

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
        let (given, taken) = unbounded::<OwnedFd>();
        let (told, outcome) = unbounded();
        let link = Link::serving("pipe", move |stream| {
            let piped = stream.pipe_with(taken.recv().unwrap());
            // The test may have ended.
            let _ = told.send(piped);
            Ok(())
        });
        given.send(piped.into()).unwrap();
        let stream = link.near.open_stream("pipe").unwrap();
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

    /// Returns the error of the pipe, after checking its kind and a part of its text.
    #[track_caller]
    fn assert_fails(&self, kind: io::ErrorKind, part: &str) {
        let error = self.outcome().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

impl Rig<TcpStream> {
    fn tcp() -> Self {
        let (piped, socket) = tcp_pair();
        Self::new(piped, socket)
    }
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
