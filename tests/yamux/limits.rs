//! Limits of a connection at their edges, with a peer that is played frame by
//! frame.

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

/// A window, of which each stream that is held reserves one.
const WINDOW: usize = 262_144;

/// Other implementations send so.
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
fn any_backlog_may_be_asked_for() {
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

/// Streams with these ids, each said something on and ended by the peer.
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

/// Accepts a stream of which that came.
fn expect(connection: &Connection, id: u32) -> Stream {
    let mut stream = connection.accept().unwrap();
    assert_eq!(stream.id().0, id);
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    assert_eq!(said, id.to_be_bytes());
    stream
}

#[test]
fn streams_past_the_limit_are_held_until_others_have_ended() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().max_streams(2));
        peer.send(opened(&[1, 3, 5, 7]));
        let first = [1, 3].map(|id| expect(&connection, id));
        // Neither acknowledged nor reset are the others.
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
        // All places are free again.
        peer.send(opened(&[9, 11]));
        for id in [9, 11] {
            expect(&connection, id);
        }
        let stats = connection.stats();
        assert_eq!((stats.streams_accepted, stats.streams_refused), (6, 0));
    });
}

#[test]
fn a_place_that_the_peer_frees_goes_to_a_stream_that_is_held() {
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
fn what_is_sent_on_a_stream_that_is_held_is_bounded_by_its_window() {
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
fn as_many_streams_are_held_as_the_budget_has_windows_and_the_backlog_allows() {
    in_time(|| {
        let one_window = patient().window_budget(2 * WINDOW - 1);
        let limits = [one_window, patient().backlog(1)];
        for config in limits {
            let (connection, mut peer) = accepted(config.max_streams(1));
            peer.send(opened(&[1, 3, 5]));
            let first = expect(&connection, 1);
            let answers = peer.settle();
            assert!(answers.contains(&Frame::flags(5, RST)), "{answers:?}");
            // When one is gone that was held, another may be.
            peer.send(Frame::flags(3, RST));
            peer.send(opened(&[7, 9]));
            assert_eq!(peer.settle(), [Frame::flags(9, RST)]);
            drop(first);
            // And when one has its place.
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
fn streams_that_are_held_are_reset_when_no_more_are_let_in() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().max_streams(1));
        peer.send(opened(&[1, 3, 5]));
        let first = expect(&connection, 1);
        peer.settle();
        connection.go_away();
        // Which goes ahead of what has not left before it.
        let mut said = [(); 3].map(|()| peer.receive().unwrap());
        said.sort_by_key(|frame| frame.stream);
        assert_eq!(said[0].kind, GO_AWAY);
        assert_eq!(said[1..], [3, 5].map(|id| Frame::flags(id, RST)));
        drop(first);
        assert_eq!(connection.stream_count(), 0);
        assert_eq!(connection.stats().streams_refused, 2);
    });
}

/// Though no other comes that could have it.
#[test]
fn a_stream_that_the_peer_leaves_half_open_gives_way_to_one_that_is_held() {
    in_time(|| {
        let config = patient().write_timeout(Duration::from_millis(50));
        let (connection, mut peer) = accepted(config.max_streams(1));
        peer.send(Frame::flags(1, SYN));
        peer.send(opened(&[3]));
        drop(connection.accept().unwrap());
        let next = expect(&connection, 3);
        let said = [(); 4].map(|()| peer.receive().unwrap());
        let flags = [(1, ACK), (1, FIN), (1, RST), (3, ACK)];
        assert_eq!(said, flags.map(|(id, flags)| Frame::flags(id, flags)));
        drop(next);
    });
}

#[test]
fn streams_that_are_held_end_with_the_connection() {
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
