//! Half-closes, resets, and the end of the connection.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use futures::{AsyncReadExt, AsyncWriteExt};
use wirenet::yamux::{Connection, Stream};
use wirenet_interop_libp2p::both_roles::in_both_roles;
use wirenet_interop_libp2p::pattern::{assert_pattern, pattern};
use wirenet_interop_libp2p::peer::Peer;

/// More than a window, so that half-closed streams must grant credit too.
const LARGE: usize = 1 << 20;

async fn send_byte(stream: &mut yamux::Stream, byte: u8) {
    stream.write_all(&[byte]).await.expect("a write");
}

async fn expect_byte(stream: &mut yamux::Stream, byte: u8) {
    let mut got = [0];
    stream.read_exact(&mut got).await.expect("a read");
    assert_eq!(got, [byte]);
}

fn we_send(mut stream: &Stream, byte: u8) {
    stream.write_all(&[byte]).expect("a write");
}

fn we_expect(mut stream: &Stream, byte: u8) {
    let mut got = [0];
    stream.read_exact(&mut got).expect("a read");
    assert_eq!(got, [byte]);
}

/// Opens a stream and exchanges a byte in each direction, so that both peers know the
/// stream.
async fn open_known(peer: &Peer) -> yamux::Stream {
    let mut stream = peer.open().await;
    send_byte(&mut stream, b'x').await;
    expect_byte(&mut stream, b'y').await;
    stream
}

async fn accept_known(peer: &mut Peer) -> yamux::Stream {
    let mut stream = peer.accept().await.expect("a stream");
    expect_byte(&mut stream, b'x').await;
    send_byte(&mut stream, b'y').await;
    stream
}

fn we_open_known(connection: &Connection) -> Stream {
    let stream = connection.open().expect("an open");
    we_send(&stream, b'x');
    we_expect(&stream, b'y');
    stream
}

fn we_accept_known(connection: &Connection) -> Stream {
    let stream = connection.accept().expect("a stream");
    we_expect(&stream, b'x');
    we_send(&stream, b'y');
    stream
}

#[test]
fn they_can_write_after_our_half_close() {
    let theirs = async |mut peer: Peer| {
        let mut stream = accept_known(&mut peer).await;
        let mut got = Vec::new();
        stream
            .read_to_end(&mut got)
            .await
            .expect("the data before the half-close");
        assert_pattern(&got, 1, LARGE);
        stream
            .write_all(&pattern(2, LARGE))
            .await
            .expect("a write to a half-closed stream");
        stream.close().await.expect("the other half's close");
        peer.expect_close().await;
    };
    in_both_roles(theirs, |connection| {
        let mut stream = we_open_known(&connection);
        stream.write_all(&pattern(1, LARGE)).expect("a write");
        stream.shutdown(Shutdown::Write).expect("a half-close");
        let mut got = Vec::new();
        stream
            .read_to_end(&mut got)
            .expect("the data after the half-close");
        assert_pattern(&got, 2, LARGE);
        connection.close();
    });
}

#[test]
fn we_can_write_after_their_half_close() {
    let theirs = async |mut peer: Peer| {
        let mut stream = accept_known(&mut peer).await;
        stream.write_all(&pattern(1, LARGE)).await.expect("a write");
        stream.close().await.expect("a half-close");
        let mut got = Vec::new();
        stream
            .read_to_end(&mut got)
            .await
            .expect("the data after the half-close");
        assert_pattern(&got, 2, LARGE);
        peer.close().await.expect("a close");
    };
    in_both_roles(theirs, |connection| {
        let mut stream = we_open_known(&connection);
        let mut got = Vec::new();
        stream
            .read_to_end(&mut got)
            .expect("the data before the half-close");
        assert_pattern(&got, 1, LARGE);
        stream
            .write_all(&pattern(2, LARGE))
            .expect("a write to a half-closed stream");
        stream
            .shutdown(Shutdown::Write)
            .expect("the other half's close");
        // libp2p closes the connection only when it has read everything.
        assert!(connection.accept().is_err(), "libp2p closes the connection");
    });
}

#[test]
fn our_reset_ends_only_its_stream() {
    let theirs = async |mut peer: Peer| {
        let mut stream = accept_known(&mut peer).await;
        // libp2p's reader sees only an end. Its state reveals the reset.
        let end = stream
            .read(&mut [0])
            .await
            .expect("libp2p's view of a reset");
        assert_eq!(end, 0);
        assert!(stream.is_closed(), "both halves are closed by a reset");
        stream
            .write_all(b"z")
            .await
            .expect_err("a write on a reset stream");
        drop(accept_known(&mut peer).await);
        peer.expect_close().await;
    };
    in_both_roles(theirs, |connection| {
        we_open_known(&connection).reset();
        drop(we_open_known(&connection));
        connection.close();
    });
}

#[test]
fn their_reset_ends_only_its_stream() {
    let theirs = async |mut peer: Peer| {
        // libp2p resets streams that are dropped before they are closed.
        drop(accept_known(&mut peer).await);
        drop(open_known(&peer).await);
        open_known(&peer).await.close().await.expect("a close");
        peer.expect_close().await;
    };
    in_both_roles(theirs, |connection| {
        assert_reset(we_open_known(&connection));
        assert_reset(we_accept_known(&connection));
        let mut alive = we_accept_known(&connection);
        assert_eq!(alive.read(&mut [0]).expect("a stream after the resets"), 0);
        connection.close();
    });
}

fn assert_reset(mut stream: Stream) {
    let error = stream.read(&mut [0]).expect_err("a read on a reset stream");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    stream
        .write_all(b"z")
        .and_then(|()| stream.flush())
        .expect_err("a write on a reset stream");
}

#[test]
fn our_close_ends_their_connection_gracefully() {
    let theirs = async |mut peer: Peer| {
        let stream = accept_known(&mut peer).await;
        assert!(peer.accept().await.is_none(), "no stream after the close");
        drop(stream);
        peer.expect_close().await;
    };
    in_both_roles(theirs, |connection| {
        let mut stream = we_open_known(&connection);
        connection.close();
        assert!(connection.is_closed());
        stream
            .read(&mut [0])
            .expect_err("an open stream of a closed connection");
        assert!(connection.open().is_err() && connection.accept().is_err());
    });
}

#[test]
fn their_close_ends_our_connection_and_wakes_its_waiters() {
    let theirs = async |mut peer: Peer| {
        let stream = accept_known(&mut peer).await;
        peer.close().await.expect("a close");
        drop(stream);
    };
    in_both_roles(theirs, |connection| {
        let mut stream = we_open_known(&connection);
        stream
            .read(&mut [0])
            .expect_err("a stream cut by the connection's end is not complete");
        assert!(connection.accept().is_err());
        assert!(connection.is_closed());
        assert!(connection.open().is_err());
    });
}

#[test]
fn they_answer_our_pings() {
    in_both_roles(Peer::echo_until_closed, |connection| {
        for _ in 0..3 {
            connection.ping().expect("a ping");
        }
        assert!(connection.round_trip_time().is_some());
        connection.close();
    });
}
