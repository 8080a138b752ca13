//! How many streams either side may open before the peer acknowledges or ends others.

use super::{accepted, dialled, quiet};
use crate::support::{
    PATIENCE,
    frames::{ACK, FIN, Frame, RST, SYN},
    in_time,
};
use std::{
    io::Read,
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

#[test]
fn streams_past_the_limits_are_reset() {
    in_time(|| {
        let limits = [
            // Without a budget, no stream is held.
            (quiet().max_streams(3).window_budget(0), 3),
            (quiet().backlog(2), 2),
        ];
        for (config, limit) in limits {
            let (connection, mut peer) = accepted(config);
            for number in 0..=limit {
                peer.send(Frame::flags(2 * number + 1, SYN));
            }
            let answers = peer.settle();
            assert_eq!(answers, [Frame::flags(2 * limit + 1, RST)]);
            for _ in 0..limit {
                connection.accept().unwrap();
            }
        }
    });
}

#[test]
fn opening_waits_while_too_many_are_unacknowledged() {
    in_time(|| {
        let (connection, mut peer) = dialled(quiet().backlog(2));
        let streams = [connection.open().unwrap(), connection.open().unwrap()];
        thread::scope(|scope| {
            let third = scope.spawn(|| connection.open().unwrap().id());
            peer.settle();
            peer.send(Frame::flags(1, ACK));
            assert_eq!(third.join().unwrap().0, 5);
        });
        drop(streams);
    });
}

#[test]
fn opening_waits_while_the_peer_leaves_too_many_streams_half_open() {
    in_time(|| {
        let (connection, mut peer) = dialled(quiet().backlog(2).max_streams(2));
        let streams = [connection.open().unwrap(), connection.open().unwrap()];
        peer.send(Frame::flags(1, ACK));
        peer.send(Frame::flags(3, ACK));
        peer.settle();
        drop(streams);
        thread::scope(|scope| {
            let third = scope.spawn(|| connection.open().unwrap().id());
            peer.settle();
            assert_eq!(connection.stream_count(), 2);
            peer.send(Frame::flags(3, FIN));
            assert_eq!(third.join().unwrap().0, 5);
        });
    });
}

#[test]
fn the_oldest_half_open_stream_is_reset_after_the_write_timeout() {
    in_time(|| {
        let short = Duration::from_millis(50);
        let config = quiet().write_timeout(short).max_streams(1).backlog(1);
        let (connection, mut peer) = dialled(config.clone());
        let gone = Instant::now();
        peer.send(Frame::flags(1, ACK));
        connection.open().unwrap();
        let _next = connection.open().unwrap();
        assert!(gone.elapsed() >= short);
        let frames = peer.settle();
        let position = |wanted| frames.iter().position(|frame| *frame == wanted);
        let reset = position(Frame::flags(1, RST)).expect("a reset");
        assert!(Some(reset) < position(Frame::flags(3, SYN)));

        let (connection, mut peer) = accepted(config);
        peer.send(Frame::flags(1, SYN));
        drop(connection.accept().unwrap());
        peer.settle();
        // Nothing arrives meanwhile.
        peer.set_read_timeout(short);
        peer.read(&mut [0]).unwrap_err();
        peer.set_read_timeout(PATIENCE);
        peer.send(Frame::flags(3, SYN));
        assert_eq!(peer.settle(), [Frame::flags(1, RST)]);
        assert_eq!(connection.accept().unwrap().id().0, 3);
    });
}

#[test]
fn a_stream_that_ended_unacknowledged_does_not_count_as_unacknowledged() {
    in_time(|| {
        let theirs = [RST, FIN, 0].map(|flags| Frame::flags(1, flags));
        for ending in theirs {
            let (connection, mut peer) = dialled(quiet().backlog(1));
            let first = connection.open().unwrap();
            peer.send(&ending);
            peer.settle();
            match ending.flags {
                FIN => first.shutdown(Shutdown::Write).unwrap(),
                0 => first.reset(),
                _ => {}
            }
            let (sender, opened) = std::sync::mpsc::channel();
            let opener = connection.clone();
            let opener =
                thread::spawn(move || sender.send(opener.open().map(|stream| stream.id())));
            let id = opened.recv_timeout(Duration::from_secs(10));
            assert_eq!(id.expect("an open does not wait").unwrap().0, 3);
            opener.join().unwrap().unwrap();
            // The second stream was dropped, but the peer has not ended it.
            assert_eq!(connection.stream_count(), 1, "{ending:?}");
        }
    });
}
