//! Ends while something else is in progress: a reset while a write waits, a close
//! before the peer has received everything, a peer that has sent everything and is
//! gone, a peer that does not read answers.

use super::{
    accepted, accepted_over, dialled, dialled_over, patient,
    transports::{Assembled, Held, Refusable, Reporting},
};
use crate::support::{
    PATIENCE,
    frames::{ACK, FIN, Frame, PING, RST, SYN},
    in_time,
    peer::Peer,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, unbounded};
use socket2::SockRef;
use std::{
    convert::Infallible,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};
use wirenet::{
    transport::{Halves, Transport, memory},
    yamux::{Config, Connection, Error, Stream, Violation},
};

/// More than an outbox and the pipe behind it hold together.
const TOO_MUCH: usize = 1 << 20;

/// Writes until the outbox is full and stays full.
fn fill(connection: &Connection) -> Vec<Stream> {
    let mut streams = Vec::new();
    let mut written = 0;
    while written < TOO_MUCH {
        let stream = connection.open().unwrap();
        let timeout = Some(Duration::from_millis(20));
        stream.set_write_timeout(timeout).unwrap();
        let full = loop {
            match (&stream).write(&[1; 64 * 1024]) {
                Ok(0) => unreachable!("a write of something"),
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::TimedOut);
        streams.push(stream);
        // Less than the windows of the streams: it was the outbox that was full.
        if written < 262_144 * streams.len() {
            return streams;
        }
    }
    panic!("{written} bytes were accepted, although the peer does not read");
}

/// Writes to each of these streams, in a thread of its own.
fn write_to_each(streams: &[Stream]) -> Vec<Receiver<io::Result<usize>>> {
    let write = |stream: &Stream| {
        let (sender, outcome) = bounded(1);
        let stream = stream.clone();
        thread::spawn(move || sender.send((&stream).write(&[2; 100])).unwrap());
        outcome
    };
    streams.iter().map(write).collect()
}

#[test]
fn a_write_that_waits_for_room_succeeds_when_other_waiting_streams_are_reset() {
    in_time(|| {
        let (connection, mut peer) = dialled_over(1024, patient());
        let filling = fill(&connection);
        let reset: Vec<Stream> = (0..5).map(|_| connection.open().unwrap()).collect();
        let last = connection.open().unwrap();
        let outcomes = [&reset[..], std::slice::from_ref(&last)].map(|streams| {
            let outcomes = write_to_each(streams);
            // They are waiting by the time that this write has timed out.
            (&filling[filling.len() - 1]).write(&[1; 100]).unwrap_err();
            outcomes
        });
        for mut stream in &reset {
            peer.send(Frame::flags(stream.id().0, RST));
            stream.read(&mut [0]).unwrap_err();
        }
        // Reading makes room, and then the write to the last stream arrives.
        while peer.receive().expect("a frame").body != [2; 100] {}
        for outcome in &outcomes[0] {
            let error = outcome.recv().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        assert_eq!(outcomes[1][0].recv().unwrap().unwrap(), 100);
    });
}

#[test]
fn a_local_reset_wakes_a_write_that_waits_for_room() {
    in_time(|| {
        let (connection, _peer) = dialled_over(1024, patient());
        let filling = fill(&connection);
        let stream = connection.open().unwrap();
        let outcome = write_to_each(std::slice::from_ref(&stream)).remove(0);
        (&filling[filling.len() - 1]).write(&[1; 100]).unwrap_err();
        stream.reset();
        let error = outcome.recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    });
}

#[test]
fn a_stream_that_was_shut_down_for_reading_never_returns_a_graceful_end() {
    in_time(|| {
        for fin_comes_first in [true, false] {
            let (connection, mut peer) = dialled(patient());
            let mut stream = connection.open().unwrap();
            let fin = [Frame::data(1, vec![7; 100]), Frame::flags(1, FIN)];
            peer.send([Frame::flags(1, ACK), Frame::data(1, vec![7; 100_000])]);
            stream.read_exact(&mut [0; 10]).unwrap();
            if fin_comes_first {
                peer.send(&fin);
            }
            peer.settle();
            stream.shutdown(Shutdown::Read).unwrap();
            stream.read(&mut [0; 9]).unwrap_err();
            if !fin_comes_first {
                peer.send(&fin);
                peer.settle();
            }
            // Most of the data was discarded.
            stream.read_to_end(&mut Vec::new()).unwrap_err();
        }
    });
}

/// A connection over TCP whose accepting end has a small receive buffer.
fn narrow_tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = SockRef::from(&listener);
    socket.set_recv_buffer_size(4096).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    SockRef::from(&near).set_send_buffer_size(400_000).unwrap();
    let (far, _) = listener.accept().unwrap();
    (near, far)
}

/// All implementations send pings and acknowledgements at any time.
#[test]
fn a_stream_finished_before_a_close_reaches_a_peer_that_keeps_sending() {
    in_time(|| {
        let (near, far) = narrow_tcp();
        let mut peer = Peer::over_tcp(far);
        let connection = Connection::client(near, patient()).unwrap();
        let mut stream = connection.open().unwrap();
        stream.write_all(&[9; 200_000]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let closing = thread::spawn(move || connection.close());
        peer.send(Frame::flags(1, ACK));
        let mut received = Vec::new();
        let mut pings = 0;
        while let Some(frame) = peer.receive() {
            peer.send(Frame::ping(pings));
            pings += 1;
            // The others are answers to pings before the close.
            if frame.kind != PING {
                received.push(frame);
            }
        }
        assert_eq!(received.pop(), Some(Frame::go_away(0)));
        assert_eq!(received.pop(), Some(Frame::flags(1, FIN)));
        let bytes: usize = received.iter().map(|frame| frame.body.len()).sum();
        assert_eq!(bytes, 200_000);
        drop(peer);
        closing.join().unwrap();
    });
}

#[test]
fn a_stream_finished_before_a_close_reaches_a_peer_that_reads_slowly() {
    in_time(|| {
        for _ in 0..5 {
            let (near, far) = narrow_tcp();
            let client = Connection::client(near, patient()).unwrap();
            let server = Connection::server(far, patient()).unwrap();
            let mut stream = client.open().unwrap();
            let mut accepted = server.accept().unwrap();
            let reading = thread::spawn(move || {
                let mut received = Vec::new();
                accepted.read_to_end(&mut received).map(|_| received.len())
            });
            stream.write_all(&[9; 262_000]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            client.close();
            assert_eq!(reading.join().unwrap().unwrap(), 262_000);
        }
    });
}

#[test]
fn streams_that_arrived_before_the_end_can_still_be_accepted() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient());
        for id in [1, 3, 5, 7] {
            peer.send([
                Frame::flags(id, SYN),
                Frame::data(id, b"whole".to_vec()),
                Frame::flags(id, FIN),
            ]);
        }
        peer.send(Frame::go_away(0));
        drop(peer);
        // Waits for the end.
        connection.ping().unwrap_err();
        for _ in 0..4 {
            let mut text = String::new();
            let mut stream = connection.accept().unwrap();
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text, "whole");
        }
        let error = connection.accept().unwrap_err();
        assert!(matches!(error, Error::ClosedByPeer), "{error}");
    });
}

#[test]
fn a_go_away_comes_after_all_finished_streams() {
    in_time(|| {
        let (connection, mut peer) = dialled_over(1024, patient());
        let mut stream = connection.open().unwrap();
        // A writer with a timeout does not wait for the transport.
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[1; 120_000]).unwrap();
        drop(stream);
        drop(connection);
        let mut frames = peer.receive_all();
        assert_eq!(frames.pop(), Some(Frame::go_away(0)));
        assert_eq!(frames.pop(), Some(Frame::flags(1, FIN)));
        let bytes: usize = frames.iter().map(|frame| frame.body.len()).sum();
        assert_eq!(bytes, 120_000);
    });
}

/// A peer that reads nothing for a moment is not to blame for resets of streams that
/// it has not opened.
#[test]
fn any_number_of_local_streams_may_be_reset_while_the_peer_reads_nothing() {
    in_time(|| {
        let (connection, mut peer) = dialled_over(16, patient());
        for _ in 0..6000 {
            connection.open().unwrap().reset();
        }
        let stream = connection.open().unwrap();
        assert_eq!(stream.id().0, 12_001);
        // Accepting a stream of the peer does not need the peer to read them either.
        let receiving = thread::spawn(move || {
            peer.send(Frame::flags(2, SYN));
            let opened = Frame::flags(12_001, SYN);
            while peer.receive().expect("the session continues") != opened {}
            peer
        });
        connection.accept().unwrap();
        let mut peer = receiving.join().unwrap();
        peer.settle();
        assert!(connection.end_reason().is_none());
    });
}

/// But the frames that wait are bounded: beyond that, opening waits.
#[test]
fn endless_opens_and_resets_wait_for_the_peer() {
    in_time(|| {
        let config = patient().write_timeout(Duration::from_secs(1));
        let (connection, _peer) = dialled_over(16, config);
        let mut opened = 0;
        let error = loop {
            match connection.open() {
                Ok(stream) => stream.reset(),
                Err(error) => break error,
            }
            opened += 1;
            assert!(opened < TOO_MUCH / 24, "it never waits");
        };
        assert!(matches!(error, Error::WriteTimeout), "{error}");
    });
}

/// But not the thread that has the writing role: that one waits for the transport.
#[test]
fn a_close_wakes_threads_that_wait_to_open() {
    in_time(|| {
        let (connection, peer) = dialled_over(16, patient());
        let (opens, many) = bounded(1);
        let (ends, ended) = unbounded();
        let count = AtomicU32::new(0);
        let open_all = || {
            loop {
                match connection.open() {
                    Ok(stream) => stream.reset(),
                    Err(error) => return ends.send(error).unwrap(),
                }
                // Soon all threads wait.
                if count.fetch_add(1, Ordering::Relaxed) == 20_000 {
                    opens.send(()).unwrap();
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(open_all);
            }
            many.recv().unwrap();
            scope.spawn(|| connection.close());
            for _ in 0..2 {
                let error = ended.recv().unwrap();
                assert!(matches!(error, Error::Closed), "{error}");
            }
            drop(peer);
        });
    });
}

/// The number of answers of 12 bytes in 64 KiB. One more may wait.
const ANSWERS: u32 = 64 * 1024 / 12;

/// Sends endless frames in batches of 64, and reads nothing. Asserts that the
/// connection ends when [`ANSWERS`] wait. As many may be taken by the writer, and less
/// than as many frames may be on their way to the connection.
fn flood(config: Config, frame: fn(u32) -> Frame, mut processed: impl FnMut(&Connection)) {
    let (connection, mut peer) = accepted_over(1024, config);
    // All answers would be some 800 KB.
    let mut batches = (0..1024).map(|batch| 64 * batch..64 * (batch + 1));
    let last = batches.find(|batch| {
        let frames: Vec<Frame> = batch.clone().map(frame).collect();
        let sent = peer.try_send(&frames);
        processed(&connection);
        sent.is_err()
    });
    let sent = last.expect("the connection ends").end;
    assert!((ANSWERS..3 * ANSWERS).contains(&sent), "{sent} frames");
    let reason = connection.end_reason().unwrap();
    let unread = matches!(reason, Error::Protocol(Violation::AnswersUnread));
    assert!(unread, "{reason}");
}

fn opening(number: u32) -> Frame {
    Frame::flags(2 * number + 1, SYN | FIN)
}

#[test]
fn a_peer_that_pings_and_reads_no_answers_is_cut_off() {
    in_time(|| {
        flood(patient(), Frame::ping, |_| {});
        flood(patient().max_streams(0), opening, |_| {});
    });
}

#[test]
fn a_peer_that_opens_streams_and_reads_no_acknowledgements_is_cut_off() {
    in_time(|| {
        flood(patient(), opening, |connection| {
            // A whole batch, unless the connection has ended.
            let accepted = (0..64).map(|_| connection.accept());
            accepted.take_while(Result::is_ok).for_each(drop);
        });
    });
}

#[test]
fn no_timeout_is_too_long() {
    in_time(|| {
        let longest = Duration::MAX;
        let config = Config::default().write_timeout(longest);
        let (connection, mut peer) = dialled_over(1024, config.keep_alive(Some(longest)));
        let mut stream = connection.open().unwrap();
        stream.set_read_timeout(Some(longest)).unwrap();
        stream.set_write_timeout(Some(longest)).unwrap();
        let reading = thread::spawn(move || {
            stream.write_all(b"here").unwrap();
            stream.read(&mut [0; 8]).unwrap()
        });
        peer.settle();
        peer.send(Frame::data(1, b"there".to_vec()));
        assert_eq!(reading.join().unwrap(), 5);
    });
}

/// hashicorp/yamux closes its socket right after its last FIN.
#[test]
fn a_peer_that_accepts_no_more_data_is_still_read_to_its_end() {
    in_time(|| {
        let (ours, theirs) = memory::pair(1 << 20);
        let mut halves = ours.split().unwrap();
        let refused = Arc::new(AtomicBool::new(false));
        halves.writer = Box::new(Refusable {
            refused: Arc::clone(&refused),
            half: halves.writer,
        });
        let connection = Connection::client(Assembled(halves), patient()).unwrap();
        let mut peer = Peer::in_memory(theirs);
        let mut stream = connection.open().unwrap();
        peer.send([Frame::flags(1, ACK), Frame::data(1, vec![3; 140_000])]);
        refused.store(true, Ordering::SeqCst);
        // More than half of the window: an update is due, and fails to be sent.
        stream.read_exact(&mut vec![0; 135_000]).unwrap();
        let rest = Frame::data(1, vec![3; 100_000]);
        peer.send([rest, Frame::flags(1, FIN), Frame::go_away(0)]);
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 105_000);
    });
}

/// A transport, and a channel that is disconnected when all parts of it are dropped.
fn held_transport(end: memory::End) -> (Assembled, Receiver<Infallible>) {
    let halves = end.split().unwrap();
    let (descriptor, held) = bounded(0);
    let transport = Assembled(Halves {
        reader: Box::new(Held::new(halves.reader, &descriptor)),
        writer: Box::new(Held::new(halves.writer, &descriptor)),
        closer: Arc::new(Held::new(halves.closer, &descriptor)),
        local_addr: None,
        peer_addr: None,
    });
    (transport, held)
}

/// However rarely it pings the peer: a connection that was dropped or closed has to end
/// although its peer is silent.
#[test]
fn a_reader_wakes_up_regularly_though_keepalives_are_rare_or_off() {
    in_time(|| {
        for keep_alive in [Some(Duration::from_secs(3600)), None] {
            let (ours, _theirs) = memory::pair(1024);
            let mut halves = ours.split().unwrap();
            let (sender, timeouts) = bounded(1);
            halves.reader = Box::new(Reporting {
                half: halves.reader,
                timeouts: sender,
            });
            let config = Config::default().keep_alive(keep_alive);
            let connection = Connection::client(Assembled(halves), config).unwrap();
            let timeout = timeouts.recv().unwrap().expect("a timeout");
            assert!(timeout <= Duration::from_secs(15), "{timeout:?}");
            drop(connection);
        }
    });
}

#[test]
fn a_connection_that_has_ended_holds_no_descriptor_though_its_handles_exist() {
    in_time(|| {
        let (ours, theirs) = memory::pair(1024);
        let (transport, held) = held_transport(ours);
        let connection = Connection::client(transport, patient()).unwrap();
        let stream = connection.open().unwrap();
        drop(Peer::in_memory(theirs));
        connection.close();
        let gone = held.recv_timeout(PATIENCE).unwrap_err();
        assert_eq!(gone, RecvTimeoutError::Disconnected);
        drop((connection, stream));
    });
}
