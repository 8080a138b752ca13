//! The protocol, frame by frame: what a peer may send, what it must not send, and
//! how the connection responds.

use super::{accepted, dialled};
use crate::support::{
    PATIENCE,
    frames::{ACK, DATA, FIN, Frame, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE},
};
use std::{
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};
use wirenet::{
    transport::memory,
    yamux::{Config, Connection, Error, INITIAL_WINDOW, Violation},
};

fn data(flags: u16, stream: u32, body: &[u8]) -> Frame {
    Frame::data(stream, body.to_vec()).with_flags(flags)
}

fn quiet() -> Config {
    Config::default()
        .keep_alive(None)
        .write_timeout(Duration::from_secs(5))
}

fn read_next_stream(connection: &Connection) -> String {
    let mut text = String::new();
    let mut stream = connection.accept().unwrap();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_stream_may_open_with_data_or_a_window_update() {
    for opening in [Frame::flags(1, SYN), data(SYN, 1, b"")] {
        let (connection, mut peer) = accepted(quiet());
        peer.send(&opening);
        peer.send(data(FIN, 1, b"hello"));
        assert_eq!(read_next_stream(&connection), "hello");
        assert_eq!(peer.receive(), Some(Frame::flags(1, ACK)));
    }
}

#[test]
fn data_with_a_syn_is_read_first() {
    let (connection, mut peer) = accepted(quiet());
    peer.send(data(SYN | FIN, 1, b"all at once"));
    assert_eq!(read_next_stream(&connection), "all at once");
}

#[test]
fn several_slices_are_sent_in_one_frame() {
    let (connection, mut peer) = dialled(quiet());
    let mut stream = connection.open().unwrap();
    let slices = [&b""[..], b"one", b"", b" two"].map(IoSlice::new);
    assert_eq!(stream.write_vectored(&slices).unwrap(), 7);
    assert_eq!((&stream).write_vectored(&slices[..2]).unwrap(), 3);
    assert_eq!(stream.write_vectored(&slices[..1]).unwrap(), 0);
    let long = vec![7; 50_000];
    let long = [&long[..], &long].map(IoSlice::new);
    assert_eq!(stream.write_vectored(&long).unwrap(), 65_536);
    assert_eq!(peer.receive(), Some(Frame::flags(1, SYN)));
    assert_eq!(peer.receive(), Some(data(0, 1, b"one two")));
    assert_eq!(peer.receive(), Some(data(0, 1, b"one")));
    assert_eq!(peer.receive(), Some(data(0, 1, &[7; 65_536])));
}

#[test]
fn a_stream_opens_with_a_window_update_and_its_fin_is_sent_once() {
    let (connection, mut peer) = dialled(quiet());
    let mut stream = connection.open().unwrap();
    stream.write_all(b"hi").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream);
    assert_eq!(peer.receive(), Some(Frame::flags(1, SYN)));
    assert_eq!(peer.receive(), Some(data(0, 1, b"hi")));
    assert_eq!(peer.receive(), Some(Frame::flags(1, FIN)));
    assert_eq!(peer.settle(), []);
}

#[test]
fn an_ack_may_come_with_any_frame_and_unsolicited() {
    for ack in [
        Frame::flags(1, ACK),
        data(ACK, 1, b"x"),
        Frame::header(WINDOW_UPDATE, ACK | FIN, 1, 9),
    ] {
        let (connection, mut peer) = dialled(quiet());
        let stream = connection.open().unwrap();
        peer.send(&ack);
        peer.send(Frame::flags(1, ACK));
        peer.send(Frame::flags(99, ACK));
        peer.settle();
        assert!(!connection.is_closed());
        drop(stream);
    }
}

#[test]
fn a_half_closed_stream_still_carries_the_other_direction() {
    let (connection, mut peer) = accepted(quiet());
    peer.send(Frame::flags(1, SYN | FIN));
    let mut stream = connection.accept().unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    stream.write_all(b"still here").unwrap();
    assert_eq!(peer.receive(), Some(Frame::flags(1, ACK)));
    assert_eq!(peer.receive(), Some(data(0, 1, b"still here")));
    drop(stream);
    assert_eq!(peer.receive(), Some(Frame::flags(1, FIN)));
    peer.settle();
    assert_eq!(connection.stream_count(), 0);
}

#[test]
fn a_reset_ends_both_directions_after_the_data_before_it() {
    let (connection, mut peer) = accepted(quiet());
    peer.send(data(SYN, 1, b"last words"));
    peer.send(Frame::flags(1, RST));
    peer.settle();
    let mut stream = connection.accept().unwrap();
    let mut received = [0; 10];
    stream.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"last words");
    let error = stream.read(&mut received).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let error = stream.write(b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(connection.stream_count(), 0);
}

#[test]
fn frames_for_a_stream_that_has_ended_are_skipped_with_their_bodies() {
    let (connection, mut peer) = accepted(quiet());
    peer.send(Frame::flags(1, SYN));
    connection.accept().unwrap().reset();
    for late in [
        data(0, 1, &[1; 100_000]),
        Frame::grant(1, 5),
        Frame::flags(1, FIN),
        Frame::flags(1, RST),
        data(FIN, 7, b"never opened"),
    ] {
        peer.send(&late);
    }
    peer.settle();
    assert!(!connection.is_closed());
}

/// Violations of the protocol by a peer that has opened stream 1.
fn violations() -> Vec<(Vec<Frame>, Violation)> {
    use wirenet::yamux::StreamId;
    let one = StreamId(1);
    let window = vec![0; INITIAL_WINDOW as usize];
    vec![
        (vec![Frame::flags(1, SYN)], Violation::OpenedTwice(one)),
        (vec![data(SYN, 1, b"x")], Violation::OpenedTwice(one)),
        (
            vec![Frame::flags(2, SYN)],
            Violation::WrongParity(StreamId(2)),
        ),
        (
            vec![Frame::flags(0, SYN)],
            Violation::WrongStream(StreamId(0)),
        ),
        (vec![data(0, 0, b"x")], Violation::WrongStream(StreamId(0))),
        (
            vec![Frame::header(PING, SYN, 1, 0)],
            Violation::WrongStream(one),
        ),
        (
            vec![Frame::header(GO_AWAY, 0, 1, 0)],
            Violation::WrongStream(one),
        ),
        (
            vec![data(0, 1, &window), data(0, 1, b"x")],
            Violation::BeyondWindow(one),
        ),
        (
            vec![Frame::header(DATA, 0, 1, INITIAL_WINDOW + 1)],
            Violation::BeyondWindow(one),
        ),
        (
            vec![Frame::header(DATA, SYN, 3, u32::MAX)],
            Violation::FrameTooLarge(u32::MAX),
        ),
        (
            vec![Frame::header(DATA, SYN, 3, 1 << 24)],
            Violation::BeyondWindow(StreamId(3)),
        ),
        (
            vec![
                Frame::grant(1, u32::MAX - INITIAL_WINDOW),
                Frame::grant(1, 1),
            ],
            Violation::WindowOverflow(one),
        ),
        (
            vec![Frame::grant(1, u32::MAX)],
            Violation::WindowOverflow(one),
        ),
        (
            vec![Frame::flags(1, FIN), data(0, 1, b"x")],
            Violation::AfterFin(one),
        ),
    ]
}

#[test]
fn a_violation_is_answered_with_a_go_away_and_ends_the_connection() {
    for (frames, violation) in violations() {
        let (connection, mut peer) = accepted(quiet());
        peer.send(Frame::flags(1, SYN));
        let mut stream = connection.accept().unwrap();
        for frame in &frames {
            peer.send(frame);
        }
        let last = peer.receive_all().pop();
        assert_eq!(last, Some(Frame::go_away(1)), "{violation}");
        let reason = connection.end_reason().unwrap();
        assert!(
            matches!(reason, Error::Protocol(found) if found == violation),
            "{reason} instead of {violation}"
        );
        if violation != (Violation::AfterFin(wirenet::yamux::StreamId(1))) {
            let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{violation}");
        }
    }
}

#[test]
fn a_complete_stream_can_be_accepted_though_the_same_bytes_end_the_connection() {
    let endings = [Frame::header(PING, SYN, 9, 0), Frame::go_away(2)];
    for ending in endings {
        let (connection, mut peer) = accepted(quiet());
        let whole = data(SYN | FIN, 1, b"whole");
        peer.send_bytes(&[whole.encode(), ending.encode()].concat());
        assert_eq!(read_next_stream(&connection), "whole", "{ending:?}");
        assert!(connection.accept().is_err());
        assert!(connection.is_closed());
    }
}

#[test]
fn a_stream_that_opens_with_a_violation_is_not_accepted() {
    for opening in [
        data(SYN, 1, &vec![0; INITIAL_WINDOW as usize + 1]),
        Frame::header(WINDOW_UPDATE, SYN, 1, u32::MAX),
    ] {
        let (connection, mut peer) = accepted(quiet());
        peer.send_bytes(&opening.encode());
        assert_eq!(peer.receive_all(), [Frame::go_away(1)]);
        assert!(connection.accept().is_err(), "{}", opening.kind);
    }
}

#[test]
fn bytes_that_are_not_a_frame_end_the_connection() {
    for bytes in [*b"GET / HTTP/1", [0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        for begun in [false, true] {
            let (connection, mut peer) = accepted(quiet());
            if begun {
                peer.send(Frame::pong(1));
            }
            peer.send_bytes(&bytes);
            assert_eq!(peer.receive_all(), [Frame::go_away(1)]);
            let Error::Protocol(violation) = connection.end_reason().unwrap() else {
                panic!("{:?}", connection.end_reason());
            };
            match begun {
                false => assert_eq!(violation, Violation::NotYamux(bytes)),
                true => assert!(matches!(violation, Violation::Header(_)), "{violation:?}"),
            }
        }
    }
}

#[test]
fn a_second_fin_and_an_unsolicited_pong_change_nothing() {
    let (connection, mut peer) = accepted(quiet());
    peer.send(Frame::flags(1, SYN | FIN));
    peer.send(Frame::flags(1, FIN));
    peer.send(data(FIN, 1, b""));
    peer.send(Frame::pong(12345));
    peer.settle();
    assert!(!connection.is_closed());
}

#[test]
fn streams_past_the_limits_are_reset() {
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
}

#[test]
fn opening_waits_while_too_many_are_unacknowledged() {
    let (connection, mut peer) = dialled(quiet().backlog(2));
    let streams = [connection.open().unwrap(), connection.open().unwrap()];
    thread::scope(|scope| {
        let third = scope.spawn(|| connection.open().unwrap().id());
        peer.settle();
        peer.send(Frame::flags(1, ACK));
        assert_eq!(third.join().unwrap().0, 5);
    });
    drop(streams);
}

#[test]
fn opening_waits_while_the_peer_leaves_too_many_streams_half_open() {
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
}

#[test]
fn the_oldest_half_open_stream_is_reset_after_the_write_timeout() {
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
}

#[test]
fn a_stream_that_ended_unacknowledged_does_not_count_as_unacknowledged() {
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
        let opener = thread::spawn(move || sender.send(opener.open().map(|stream| stream.id())));
        let id = opened.recv_timeout(Duration::from_secs(10));
        assert_eq!(id.expect("an open does not wait").unwrap().0, 3);
        opener.join().unwrap().unwrap();
        // The second stream was dropped, but the peer has not ended it.
        assert_eq!(connection.stream_count(), 1, "{ending:?}");
    }
}

#[test]
fn no_more_is_sent_than_the_window_allows() {
    let (connection, mut peer) = dialled(quiet());
    let mut stream = connection.open().unwrap();
    let total = INITIAL_WINDOW as usize + 1000;
    thread::scope(|scope| {
        scope.spawn(|| stream.write_all(&vec![7; total]).unwrap());
        assert_eq!(peer.receive(), Some(Frame::flags(1, SYN)));
        let mut received = 0;
        while received < INITIAL_WINDOW as usize {
            let frame = peer.receive().unwrap();
            assert!(frame.body.len() <= 64 * 1024);
            received += frame.body.len();
        }
        assert_eq!(received, INITIAL_WINDOW as usize);
        assert_eq!(peer.settle(), []);
        peer.send(Frame::grant(1, 600));
        peer.send(Frame::grant(1, 600));
        while received < total {
            received += peer.receive().unwrap().body.len();
        }
        assert_eq!(received, total);
    });
}

#[test]
fn credit_is_granted_when_data_is_read_and_not_before() {
    let (connection, mut peer) = accepted(quiet());
    let half = INITIAL_WINDOW / 2;
    peer.send(data(SYN, 1, &vec![1; INITIAL_WINDOW as usize]));
    assert_eq!(peer.settle(), []);
    let mut stream = connection.accept().unwrap();
    stream.read_exact(&mut vec![0; half as usize]).unwrap();
    let answers = peer.settle();
    assert!(answers.contains(&Frame::grant(1, half)), "{answers:?}");
}

#[test]
fn data_for_a_closed_stream_is_discarded_for_a_window_and_then_answered_with_a_reset() {
    let (connection, mut peer) = accepted(quiet());
    peer.send(Frame::flags(1, SYN));
    drop(connection.accept().unwrap());
    let window = vec![0; INITIAL_WINDOW as usize];
    peer.send(data(0, 1, &window));
    let answers = peer.settle();
    let reset = Frame::flags(1, RST);
    assert!(answers.contains(&Frame::flags(1, FIN)) && !answers.contains(&reset));
    peer.send(data(0, 1, b"more"));
    assert_eq!(peer.settle(), [reset]);
    assert_eq!(connection.stream_count(), 0);
}

#[test]
fn a_ping_measures_the_round_trip() {
    let (connection, mut peer) = dialled(quiet());
    thread::scope(|scope| {
        let ping = scope.spawn(|| connection.ping().unwrap());
        let asked = peer.receive().unwrap();
        peer.send(Frame::pong(asked.length));
        let took = ping.join().unwrap();
        assert_eq!(connection.round_trip_time(), Some(took));
    });
}

#[test]
fn a_peer_that_does_not_answer_pings_is_lost_after_the_write_timeout() {
    let config = Config::default()
        .keep_alive(Some(Duration::from_millis(20)))
        .write_timeout(Duration::from_millis(50));
    let (connection, mut peer) = accepted(config);
    let error = connection.accept().unwrap_err();
    assert!(matches!(error, Error::KeepAlive), "{error}");
    assert_eq!(peer.receive().unwrap().kind, PING);
}

#[test]
fn after_a_go_away_streams_continue_but_none_are_opened() {
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
}

#[test]
fn a_go_away_with_an_error_is_the_reason_of_the_end() {
    let (connection, mut peer) = accepted(quiet());
    peer.send(Frame::go_away(2));
    let error = connection.accept().unwrap_err();
    assert!(matches!(error, Error::PeerFailed(2)), "{error}");
}

#[test]
fn frames_behind_a_go_away_with_an_error_are_ignored() {
    let (connection, mut peer) = accepted(quiet());
    let late = [Frame::go_away(2), Frame::flags(1, SYN), Frame::go_away(1)];
    peer.send_bytes(&late.map(|frame| frame.encode()).concat());
    let error = connection.accept().unwrap_err();
    assert!(matches!(error, Error::PeerFailed(2)), "{error}");
    assert_eq!(peer.receive_all(), []);
    let stats = connection.stats();
    assert_eq!((stats.streams_accepted, stats.streams_refused), (0, 0));
}

#[test]
fn a_connection_that_ends_inside_a_stream_is_an_error_to_its_reader() {
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
}

#[test]
fn a_complete_stream_stays_complete_when_the_connection_ends() {
    let (connection, mut peer) = accepted(quiet());
    peer.send(data(SYN | FIN, 1, b"whole"));
    let mut stream = connection.accept().unwrap();
    peer.settle();
    drop(peer);
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"whole");
}

#[test]
fn close_sends_finished_streams_wakes_every_waiter_and_returns_in_time() {
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
}

#[test]
fn timeouts_end_blocked_reads_and_writes() {
    let (connection, _peer) = dialled(quiet());
    let mut stream = connection.open().unwrap();
    let timeout = Some(Duration::from_millis(20));
    stream.set_read_timeout(timeout).unwrap();
    stream.set_write_timeout(timeout).unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let error = io::copy(&mut io::repeat(1), &mut stream).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let error = stream.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn one_thread_may_read_while_another_writes() {
    let (ours, theirs) = memory::pair(4096);
    let client = Connection::client(ours, quiet()).unwrap();
    let server = Connection::server(theirs, quiet()).unwrap();
    let stream = client.open().unwrap();
    let clone = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let echo = server.accept().unwrap();
            io::copy(&mut &echo, &mut &echo).unwrap();
            echo.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(move || {
            (&clone).write_all(&vec![5; 3 << 20]).unwrap();
            clone.shutdown(Shutdown::Write).unwrap();
        });
        let mut echoed = Vec::new();
        (&stream).read_to_end(&mut echoed).unwrap();
        assert!(echoed == vec![5; 3 << 20]);
    });
}

#[test]
fn handles_can_be_sent_to_other_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    fn is_send<T: Send>() {}
    is_send::<wirenet::Reader<'static>>();
    is_send::<wirenet::Writer<'static>>();
    is_send_and_sync::<Connection>();
    is_send_and_sync::<wirenet::yamux::Stream>();
    is_send_and_sync::<wirenet::Wire>();
    is_send_and_sync::<wirenet::Session>();
    is_send_and_sync::<wirenet::Stream>();
    is_send_and_sync::<wirenet::Error>();
    is_send_and_sync::<wirenet::OpError>();
}
