//! What pipes and byte streams return: the text says which side has failed, and why.

use crate::{support::wires::Link, table::row};
use socket2::SockRef;
use std::{
    fs::File,
    io::Write,
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    time::Duration,
};
use wirenet::Stream;

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
        &["write to the message failed, so it is incomplete"],
    );
}
