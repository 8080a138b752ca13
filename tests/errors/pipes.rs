//! What pipes and byte streams return: the text says which side has failed, and why.

use crate::{support::wires::Link, table::row};
use socket2::SockRef;
use std::{
    fs::File,
    io::Write,
    net::{Shutdown, TcpListener, TcpStream},
    time::Duration,
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

    let link = Link::serving("silent", |stream| stream.next_message().map(drop));
    let stream = link.near.open_stream("silent").unwrap();
    let error = stream
        .pipe_with(File::open("Cargo.toml").unwrap())
        .unwrap_err();
    row(
        "a pipe with a file",
        error,
        &["cannot use the socket: ", "ocket operation on non-socket"],
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
        &["shut down for writing"],
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
