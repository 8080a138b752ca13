//! Go-aways, and other ends of a connection.

use super::{accepted, data, dialled, quiet};
use crate::support::{
    frames::{FIN, Frame, GO_AWAY, RST, SYN},
    in_time,
};
use std::{
    io::{self, Read, Write},
    thread,
    time::{Duration, Instant},
};
use wirenet::yamux::{Error, INITIAL_WINDOW};

#[test]
fn after_a_go_away_streams_continue_but_none_are_opened() {
    in_time(|| {
        let (connection, mut peer) = dialled(quiet());
        let mut stream = connection.open().unwrap();
        peer.send(Frame::go_away(0));
        peer.settle();
        assert!(matches!(
            connection.open(),
            Err(Error::GoingAway { by_peer: true })
        ));
        stream.write_all(b"on").unwrap();
        assert_eq!(peer.receive(), Some(data(0, 1, b"on")));

        let (connection, mut peer) = accepted(quiet());
        peer.send(Frame::flags(1, SYN));
        let mut stream = connection.accept().unwrap();
        connection.go_away();
        connection.go_away();
        peer.send(Frame::flags(3, SYN));
        peer.send(data(FIN, 1, b"on"));
        let answers = peer.settle();
        assert!(answers.contains(&Frame::flags(3, RST)), "{answers:?}");
        let go_aways = answers.iter().filter(|frame| frame.kind == GO_AWAY);
        assert_eq!(go_aways.count(), 1);
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
}

#[test]
fn a_go_away_with_an_error_is_the_reason_of_the_end() {
    in_time(|| {
        let (connection, mut peer) = accepted(quiet());
        peer.send(Frame::go_away(2));
        let error = connection.accept().unwrap_err();
        assert!(matches!(error, Error::PeerFailed(2)), "{error}");
    });
}

#[test]
fn frames_behind_a_go_away_with_an_error_are_ignored() {
    in_time(|| {
        let (connection, mut peer) = accepted(quiet());
        let late = [Frame::go_away(2), Frame::flags(1, SYN), Frame::go_away(1)];
        peer.send_bytes(&late.map(|frame| frame.encode()).concat());
        let error = connection.accept().unwrap_err();
        assert!(matches!(error, Error::PeerFailed(2)), "{error}");
        assert_eq!(peer.receive_all(), []);
        let stats = connection.stats();
        assert_eq!((stats.streams_accepted, stats.streams_refused), (0, 0));
    });
}

#[test]
fn a_connection_that_ends_inside_a_stream_is_an_error_to_its_reader() {
    in_time(|| {
        for bytes in [&[][..], &[0, 0, 0]] {
            let (connection, mut peer) = accepted(quiet());
            peer.send(data(SYN, 1, b"half"));
            peer.send_bytes(bytes);
            let mut stream = connection.accept().unwrap();
            drop(peer);
            let mut received = Vec::new();
            let error = stream.read_to_end(&mut received).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(received, b"half");
        }
    });
}

#[test]
fn a_complete_stream_stays_complete_when_the_connection_ends() {
    in_time(|| {
        let (connection, mut peer) = accepted(quiet());
        peer.send(data(SYN | FIN, 1, b"whole"));
        let mut stream = connection.accept().unwrap();
        peer.settle();
        drop(peer);
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"whole");
    });
}

#[test]
fn close_sends_finished_streams_wakes_every_waiter_and_returns_in_time() {
    in_time(|| {
        let limit = Duration::from_millis(100);
        let (connection, mut peer) = accepted(quiet().write_timeout(limit).backlog(1));
        peer.send(Frame::flags(1, SYN));
        let mut reader = connection.accept().unwrap();
        let mut writer = connection.open().unwrap();
        thread::scope(|scope| {
            let waiters = [
                scope.spawn(|| io::copy(&mut reader, &mut io::sink()).is_err()),
                scope.spawn(|| io::copy(&mut io::repeat(1), &mut writer).is_err()),
                scope.spawn(|| connection.open().is_err()),
                scope.spawn(|| connection.ping().is_err()),
                scope.spawn(|| connection.accept().is_err()),
            ];
            // The whole window is on its way: the writer waits.
            let mut received = 0;
            while received < INITIAL_WINDOW as usize {
                received += peer.receive().unwrap().body.len();
            }
            let started = Instant::now();
            connection.close();
            assert!(started.elapsed() < Duration::from_secs(5));
            connection.close();
            for waiter in waiters {
                assert!(waiter.join().unwrap());
            }
        });
        let frames = peer.receive_all();
        assert!(frames.contains(&Frame::go_away(0)), "{frames:?}");
    });
}
