//! Closes over transports that cannot end one direction: pseudoterminals, serial lines.

use super::{
    ROOM, patient,
    transports::{Assembled, Endless},
};
use crate::support::{
    PATIENCE,
    frames::{FIN, Frame, SYN},
    in_time,
    peer::Peer,
};
use crossbeam_channel::{RecvTimeoutError, bounded};
use std::{
    io::{Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};
use wirenet::{
    transport::{Transport, memory},
    yamux::{Config, Connection, Error},
};

fn endless(end: memory::End) -> Assembled {
    let mut halves = end.split().unwrap();
    halves.writer = Box::new(Endless(halves.writer));
    Assembled(halves)
}

/// A client whose transport cannot end its direction.
fn client(config: Config) -> (Connection, Peer) {
    let (ours, theirs) = memory::pair(ROOM);
    let connection = Connection::client(endless(ours), config).unwrap();
    (connection, Peer::in_memory(theirs))
}

fn pair() -> (Connection, Connection) {
    let (ours, theirs) = memory::pair(ROOM);
    let client = Connection::client(endless(ours), patient()).unwrap();
    let server = Connection::server(endless(theirs), patient()).unwrap();
    (client, server)
}

/// The value of the next frame, which is a ping.
fn ping(peer: &mut Peer) -> u32 {
    let frame = peer.receive().expect("a ping");
    assert!(frame.is_ping(), "{frame:?}");
    frame.length
}

#[test]
fn a_close_returns_when_the_peer_has_received_everything() {
    in_time(|| {
        let (connection, mut peer) = client(patient());
        let mut stream = connection.open().unwrap();
        stream.write_all(b"last").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let closing = connection.clone();
        let (closed, is_closed) = bounded(1);
        let closer = thread::spawn(move || {
            closing.close();
            closed.send(()).unwrap();
        });
        assert_eq!(peer.receive(), Some(Frame::flags(1, SYN)));
        assert_eq!(peer.receive().unwrap().body, b"last");
        assert_eq!(peer.receive(), Some(Frame::flags(1, FIN)));
        assert_eq!(peer.receive(), Some(Frame::go_away(0)));
        let value = ping(&mut peer);
        assert_eq!(peer.receive(), Some(Frame::go_away(0)));
        // Everything was sent, but the peer has not confirmed it.
        peer.send(Frame::pong(value.wrapping_add(1)));
        let waiting = is_closed.recv_timeout(Duration::from_millis(50));
        assert_eq!(waiting, Err(RecvTimeoutError::Timeout));
        peer.send(Frame::pong(value));
        is_closed.recv_timeout(PATIENCE).unwrap();
        assert_eq!(peer.receive(), None);
        closer.join().unwrap();
        assert_eq!(connection.unacknowledged(), 0);
    });
}

#[test]
fn a_close_without_an_answer_cuts_after_the_write_timeout() {
    in_time(|| {
        let config = patient().write_timeout(Duration::from_millis(50));
        let (connection, mut peer) = client(config);
        let mut stream = connection.open().unwrap();
        stream.write_all(b"last").unwrap();
        connection.close();
        assert_eq!(connection.unacknowledged(), 4);
        while peer.receive().is_some() {}
    });
}

#[test]
fn an_end_of_the_peer_that_confirms_nothing_leaves_the_rest_unacknowledged() {
    in_time(|| {
        let (connection, peer) = client(patient());
        let mut stream = connection.open().unwrap();
        stream.write_all(b"last").unwrap();
        let closing = connection.clone();
        let closer = thread::spawn(move || closing.close());
        drop(peer);
        closer.join().unwrap();
        assert_eq!(connection.unacknowledged(), 4);
    });
}

#[test]
fn neither_side_waits_when_one_closes() {
    in_time(|| {
        let (client, server) = pair();
        let mut stream = client.open().unwrap();
        stream.write_all(&[7; 200_000]).unwrap();
        drop(stream);
        client.close();
        let mut received = Vec::new();
        let mut stream = server.accept().unwrap();
        stream.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), 200_000);
        drop(stream);
        let error = server.accept().unwrap_err();
        assert!(matches!(error, Error::ClosedByPeer), "{error:?}");
        server.close();
    });
}

#[test]
fn neither_side_waits_when_both_close_at_once() {
    in_time(|| {
        for _ in 0..20 {
            let (client, server) = pair();
            let mut stream = client.open().unwrap();
            stream.write_all(b"hello").unwrap();
            let other = thread::spawn(move || server.close());
            client.close();
            other.join().unwrap();
        }
    });
}

/// A second go-away means what the end of the peer's direction means over TCP.
#[test]
fn a_second_go_away_ends_streams_that_the_peer_has_not_finished() {
    in_time(|| {
        let (connection, mut peer) = client(patient());
        let mut stream = connection.open().unwrap();
        peer.send([Frame::go_away(0), Frame::ping(5), Frame::go_away(0)]);
        stream.read(&mut [0]).unwrap_err();
        // Its close waits for this answer, so the transport is not cut yet.
        while peer.receive().unwrap() != Frame::pong(5) {}
        drop(peer);
        let error = connection.end_reason().unwrap();
        assert!(matches!(error, Error::EndedByPeer), "{error:?}");
        connection.close();
    });
}
