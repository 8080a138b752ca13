//! What pipes and byte streams return: the text says which side has failed, and why.

use crate::{support::wires::Link, table::row};
use socket2::SockRef;
use std::{
    fs::File,
    io::{self, Write},
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::Duration,
};
use wirenet::{
    Stream,
    transport::Pipes,
    yamux::{Config, Connection},
};

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

#[test]
fn a_pipe_says_which_side_has_failed() {
    let link = Link::serving("silent", |stream| stream.next_message().map(drop));
    let stream = link.near.open_stream("silent").unwrap();
    let (piped, peer) = tcp_pair();
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    let error = stream.pipe_with(piped).unwrap_err();
    row(
        "a pipe whose TCP peer resets the connection",
        error,
        &["cannot read from the socket: ", "reset"],
    );

    let link = Link::serving("failing", |_| Err(std::io::Error::other("on purpose")));
    let stream = link.near.open_stream("failing").unwrap();
    let (piped, _peer) = tcp_pair();
    let error = stream.pipe_with(piped).unwrap_err();
    row(
        "a pipe whose stream is reset",
        error,
        &["cannot read from the stream: ", "reset"],
    );
}

#[test]
fn a_pipe_says_what_it_needs() {
    let link = Link::serving("silent", |stream| stream.next_message().map(drop));
    let refused = |socket: OwnedFd| {
        let stream = link.near.open_stream("silent").unwrap();
        stream.pipe_with(socket).unwrap_err()
    };
    row(
        "a pipe with a file",
        refused(File::open("Cargo.toml").unwrap().into()),
        &[
            "cannot use the socket: ",
            "a file",
            "connected stream socket",
        ],
    );
    row(
        "a pipe with a UdpSocket",
        refused(UdpSocket::bind("127.0.0.1:0").unwrap().into()),
        &[
            "a datagram socket cannot be piped",
            "connected stream socket",
        ],
    );
    row(
        "a pipe with a TcpListener",
        refused(TcpListener::bind("127.0.0.1:0").unwrap().into()),
        &["cannot use the socket: ", "not connected", "not a listener"],
    );
    let (shut_down, _peer) = tcp_pair();
    shut_down.shutdown(Shutdown::Write).unwrap();
    row(
        "a pipe with a TcpStream that was shut down for writing",
        refused(shut_down.into()),
        &[
            "cannot use the socket: ",
            "shut down for writing",
            "io::copy",
        ],
    );

    let closed = |how: fn(&Stream)| {
        let stream = link.near.open_stream("silent").unwrap();
        how(&stream);
        stream.pipe_with(tcp_pair().0).unwrap_err()
    };
    row(
        "a pipe with a stream that was closed",
        closed(|stream| stream.close().unwrap()),
        &["stream \"silent\" was closed on this side", "open another"],
    );
    row(
        "a pipe with a stream that was reset",
        closed(Stream::reset),
        &["stream \"silent\" was reset on this side"],
    );
    let stream = link.near.open_stream("silent").unwrap();
    stream.finish().unwrap();
    let (piped, peer) = tcp_pair();
    drop(peer);
    stream.pipe_with(piped).unwrap();
    row(
        "a pipe with a stream that was piped before",
        stream.pipe_with(tcp_pair().0).unwrap_err(),
        &["stream \"silent\" was closed on this side", "open another"],
    );
}

#[test]
fn a_write_after_a_shutdown_and_a_shutdown_after_a_failed_write_say_so() {
    let link = Link::serving("silent", |stream| {
        stream.wait_for_peer_end(None);
        Ok(())
    });
    let open = || link.near.open_stream("silent").unwrap().into_byte_stream();
    let mut bytes = open();
    bytes.shutdown(Shutdown::Write).unwrap();
    let error = bytes.write(b"late").unwrap_err();
    row(
        "a write to a byte stream after shutdown(Write)",
        error,
        &[
            "stream \"silent\"",
            "shut down for writing on this side",
            "open another one",
        ],
    );

    let mut bytes = open();
    bytes
        .set_write_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    bytes.write_all(&[7; 400_000]).unwrap_err();
    let error = bytes.shutdown(Shutdown::Write).unwrap_err();
    row(
        "shutdown(Write) of a byte stream whose last write has timed out",
        error,
        &["write to the message failed: timed out"],
    );
}

/// How a connection over these pipes ends.
fn end_of(pipes: Pipes) -> String {
    let connection = Connection::client(pipes, Config::default()).unwrap();
    // The connection may have ended by now.
    let _ = connection
        .open()
        .map(|mut stream| stream.write_all(b"hello"));
    connection.accept().unwrap_err().to_string()
}

fn child(script: &str) -> Child {
    let mut child = Command::new("sh");
    child.args(["-c", script]);
    child.stdin(Stdio::piped()).stdout(Stdio::piped());
    child.spawn().unwrap()
}

#[test]
fn pipes_to_a_child_say_what_is_wrong_with_it() {
    let mut swapped = child("cat");
    let (stdin, stdout) = (
        swapped.stdin.take().unwrap(),
        swapped.stdout.take().unwrap(),
    );
    let error = Connection::client(Pipes::new(stdin, stdout), Config::default()).unwrap_err();
    row(
        "Pipes::new(stdin, stdout)",
        error,
        &["to read from is open for writing only", "read from first"],
    );
    swapped.wait().unwrap();
    let (read_only, _kept) = io::pipe().unwrap();
    let pipes = Pipes::new(read_only.try_clone().unwrap(), read_only);
    let error = Connection::client(pipes, Config::default()).unwrap_err();
    row(
        "Pipes::new with two reading ends",
        error,
        &["to write to is open for reading only"],
    );

    let mut child_without = Command::new("true").spawn().unwrap();
    row(
        "Pipes::child of a child without pipes",
        Pipes::child(&mut child_without).unwrap_err(),
        &["no stdin", "stdin(Stdio::piped())"],
    );
    child_without.wait().unwrap();

    let mut echo = child("cat");
    row(
        "a child that echoes",
        end_of(Pipes::child(&mut echo).unwrap()),
        &[
            "wrong parity",
            "both sides have the same role, or the peer echoes",
        ],
    );
    echo.wait().unwrap();

    let mut talkative = child("echo Welcome to this machine; cat");
    row(
        "a child that prints something first",
        end_of(Pipes::child(&mut talkative).unwrap()),
        &[
            "does not speak yamux, or its program printed",
            "it began with \"Welcome to t\"",
        ],
    );
    talkative.wait().unwrap();
}
