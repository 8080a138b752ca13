//! The life of a stream, frame by frame: what either side may send, and what it gets for it.

use super::{accepted, data, dialled, quiet, read_next_stream};
use crate::support::{
    frames::{ACK, FIN, Frame, PING, RST, SYN, WINDOW_UPDATE},
    in_time,
};
use std::{
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};
use wirenet::{
    transport::memory,
    yamux::{Config, Connection, Error},
};

#[test]
fn a_stream_may_open_with_data_or_a_window_update() {
    in_time(|| {
        for opening in [Frame::flags(1, SYN), data(SYN, 1, b"")] {
            let (connection, mut peer) = accepted(quiet());
            peer.send(&opening);
            peer.send(data(FIN, 1, b"hello"));
            assert_eq!(read_next_stream(&connection), "hello");
            assert_eq!(peer.receive(), Some(Frame::flags(1, ACK)));
        }
    });
}

#[test]
fn data_with_a_syn_is_read_first() {
    in_time(|| {
        let (connection, mut peer) = accepted(quiet());
        peer.send(data(SYN | FIN, 1, b"all at once"));
        assert_eq!(read_next_stream(&connection), "all at once");
    });
}

#[test]
fn several_slices_are_sent_in_one_frame() {
    in_time(|| {
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
    });
}

#[test]
fn a_stream_opens_with_a_window_update_and_its_fin_is_sent_once() {
    in_time(|| {
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
    });
}

#[test]
fn an_ack_may_come_with_any_frame_and_unsolicited() {
    in_time(|| {
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
    });
}

#[test]
fn a_half_closed_stream_still_carries_the_other_direction() {
    in_time(|| {
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
    });
}

#[test]
fn a_reset_ends_both_directions_after_the_data_before_it() {
    in_time(|| {
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
    });
}

#[test]
fn frames_for_a_stream_that_has_ended_are_skipped_with_their_bodies() {
    in_time(|| {
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
    });
}

#[test]
fn a_second_fin_and_an_unsolicited_pong_change_nothing() {
    in_time(|| {
        let (connection, mut peer) = accepted(quiet());
        peer.send(Frame::flags(1, SYN | FIN));
        peer.send(Frame::flags(1, FIN));
        peer.send(data(FIN, 1, b""));
        peer.send(Frame::pong(12345));
        peer.settle();
        assert!(!connection.is_closed());
    });
}

#[test]
fn a_ping_measures_the_round_trip() {
    in_time(|| {
        let (connection, mut peer) = dialled(quiet());
        thread::scope(|scope| {
            let ping = scope.spawn(|| connection.ping().unwrap());
            let asked = peer.receive().unwrap();
            peer.send(Frame::pong(asked.length));
            let took = ping.join().unwrap();
            assert_eq!(connection.round_trip_time(), Some(took));
        });
    });
}

#[test]
fn a_peer_that_does_not_answer_pings_is_lost_after_the_write_timeout() {
    in_time(|| {
        let config = Config::default()
            .keep_alive(Some(Duration::from_millis(20)))
            .write_timeout(Duration::from_millis(50));
        let (connection, mut peer) = accepted(config);
        let error = connection.accept().unwrap_err();
        assert!(matches!(error, Error::KeepAlive), "{error}");
        assert_eq!(peer.receive().unwrap().kind, PING);
    });
}

#[test]
fn timeouts_end_blocked_reads_and_writes() {
    in_time(|| {
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
    });
}

#[test]
fn one_thread_may_read_while_another_writes() {
    in_time(|| {
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
