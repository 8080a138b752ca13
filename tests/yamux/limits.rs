//! The limits of a connection, and the streams that wait beyond them.

use super::{accepted, patient};
use crate::support::{
    frames::{ACK, FIN, Frame, GO_AWAY, RST, SYN},
    in_time,
};
use std::{
    io::{Read, Write},
    time::Duration,
};
use wirenet::yamux::{Connection, Error, Stream};

/// The size of a window. Each held stream reserves one.
const WINDOW: usize = 262_144;

/// Other implementations send such frames.
#[test]
fn one_frame_may_fill_the_window_whatever_the_limit_on_frames() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().max_window(1).max_frame(1000));
        peer.send([Frame::flags(1, SYN), Frame::data(1, vec![7; 262_144])]);
        let mut stream = connection.accept().unwrap();
        stream.read_exact(&mut vec![0; 262_144]).unwrap();
    });
}

#[test]
fn the_backlog_may_be_of_any_size() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().backlog(usize::MAX));
        peer.send(Frame::flags(1, SYN));
        assert_eq!(connection.accept().unwrap().id().0, 1);
    });
}

#[test]
fn a_stream_beyond_the_backlog_is_reset() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().backlog(2));
        peer.send([1, 3, 5].map(|id| Frame::flags(id, SYN)));
        assert_eq!(peer.receive(), Some(Frame::flags(5, RST)));
        for id in [1, 3] {
            assert_eq!(connection.accept().unwrap().id().0, id);
        }
        peer.send(Frame::flags(7, SYN));
        assert_eq!(connection.accept().unwrap().id().0, 7);
    });
}

/// Streams with these ids. The peer sends data on each of them and ends it.
fn opened(ids: &[u32]) -> Vec<Frame> {
    let frames = ids.iter().flat_map(|id| {
        let body = id.to_be_bytes().to_vec();
        [
            Frame::flags(*id, SYN),
            Frame::data(*id, body),
            Frame::flags(*id, FIN),
        ]
    });
    frames.collect()
}

/// Accepts a stream and asserts that it is complete.
fn expect(connection: &Connection, id: u32) -> Stream {
    let mut stream = connection.accept().unwrap();
    assert_eq!(stream.id().0, id);
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, id.to_be_bytes());
    stream
}

#[test]
fn streams_past_the_limit_are_held_until_others_have_ended() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().max_streams(2));
        peer.send(opened(&[1, 3, 5, 7]));
        let first = [1, 3].map(|id| expect(&connection, id));
        // The others are neither acknowledged nor reset.
        let answers = peer.settle();
        assert_eq!(answers, [1, 3].map(|id| Frame::flags(id, ACK)));
        for (mut stream, next) in first.into_iter().zip([5, 7]) {
            stream.write_all(b"done").unwrap();
            let ended = stream.id().0;
            drop(stream);
            let next = expect(&connection, next);
            assert_eq!(peer.receive(), Some(Frame::data(ended, b"done".to_vec())));
            assert_eq!(peer.receive(), Some(Frame::flags(ended, FIN)));
            assert_eq!(peer.receive(), Some(Frame::flags(next.id().0, ACK)));
            drop(next);
            peer.settle();
        }
        // Both places are free again.
        peer.send(opened(&[9, 11]));
        for id in [9, 11] {
            expect(&connection, id);
        }
        let stats = connection.stats();
        assert_eq!((stats.streams_accepted, stats.streams_refused), (6, 0));
    });
}

#[test]
fn a_place_that_the_peer_frees_goes_to_a_held_stream() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().max_streams(1));
        peer.send(Frame::flags(1, SYN));
        peer.send(opened(&[3, 5]));
        let first = connection.accept().unwrap();
        peer.send(Frame::flags(1, RST));
        let second = expect(&connection, 3);
        drop((first, second));
        expect(&connection, 5);
    });
}

#[test]
fn data_on_a_held_stream_is_bounded_by_its_window() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().max_streams(1));
        peer.send([Frame::flags(1, SYN), Frame::flags(3, SYN)]);
        peer.send(Frame::data(3, vec![7; WINDOW]));
        assert_eq!(peer.settle(), []);
        drop(connection.accept().unwrap());
        peer.send(Frame::flags(1, FIN));
        let mut held = connection.accept().unwrap();
        held.read_exact(&mut vec![0; WINDOW]).unwrap();

        peer.send([Frame::flags(5, SYN), Frame::data(5, vec![7; WINDOW])]);
        peer.send(Frame::data(5, vec![7]));
        let error = connection.accept().unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error}");
    });
}

#[test]
fn the_window_budget_and_the_backlog_limit_held_streams() {
    in_time(|| {
        let one_window = patient().window_budget(2 * WINDOW - 1);
        let limits = [one_window, patient().backlog(1)];
        for config in limits {
            let (connection, mut peer) = accepted(config.max_streams(1));
            peer.send(opened(&[1, 3, 5]));
            let first = expect(&connection, 1);
            let answers = peer.settle();
            assert!(answers.contains(&Frame::flags(5, RST)), "{answers:?}");
            // When a held stream has ended, another one may be held.
            peer.send(Frame::flags(3, RST));
            peer.send(opened(&[7, 9]));
            assert_eq!(peer.settle(), [Frame::flags(9, RST)]);
            drop(first);
            // And so it may when one gets a place.
            let first = expect(&connection, 7);
            peer.settle();
            peer.send(opened(&[11, 13]));
            assert_eq!(peer.settle(), [Frame::flags(13, RST)]);
            drop(first);
            expect(&connection, 11);
            let stats = connection.stats();
            assert_eq!(stats.streams_accepted, 3);
            assert_eq!((stats.streams_refused, stats.streams_reset), (4, 0));
        }
    });
}

#[test]
fn held_streams_are_reset_by_a_go_away() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().max_streams(1));
        peer.send(opened(&[1, 3, 5]));
        let first = expect(&connection, 1);
        peer.settle();
        connection.go_away();
        // The go-away overtakes frames that were not sent yet.
        let mut received = [(); 3].map(|()| peer.receive().unwrap());
        received.sort_by_key(|frame| frame.stream);
        assert_eq!(received[0].kind, GO_AWAY);
        assert_eq!(received[1..], [3, 5].map(|id| Frame::flags(id, RST)));
        drop(first);
        assert_eq!(connection.stream_count(), 0);
        assert_eq!(connection.stats().streams_refused, 2);
    });
}

/// Even if no further stream arrives.
#[test]
fn a_stream_that_the_peer_leaves_half_open_is_evicted_for_a_held_one() {
    in_time(|| {
        let config = patient().write_timeout(Duration::from_millis(50));
        let (connection, mut peer) = accepted(config.max_streams(1));
        peer.send(Frame::flags(1, SYN));
        peer.send(opened(&[3]));
        drop(connection.accept().unwrap());
        let next = expect(&connection, 3);
        let received = [(); 4].map(|()| peer.receive().unwrap());
        let flags = [(1, ACK), (1, FIN), (1, RST), (3, ACK)];
        assert_eq!(received, flags.map(|(id, flags)| Frame::flags(id, flags)));
        drop(next);
    });
}

#[test]
fn held_streams_end_with_the_connection() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().max_streams(1));
        peer.send(opened(&[1, 3]));
        let first = expect(&connection, 1);
        peer.settle();
        drop(peer);
        connection.accept().unwrap_err();
        drop(first);
        assert_eq!(connection.stream_count(), 0);
        let stats = connection.stats();
        assert_eq!((stats.streams_refused, stats.streams_reset), (1, 1));
    });
}
