//! Closing a connection while other threads use it.

use super::stage::{
    Endless, PeerFrame, ROOMY, STREAM, ScriptedPeer, Stage, bytes_of, config, run, stage,
};
use crate::{
    sync::{Time, check, thread},
    transport::memory,
    yamux::{
        Connection, Error, INITIAL_WINDOW, Rest, Role,
        frame::{Flags, Header, Kind},
        segment::Segment,
    },
};
use std::io::{Read, Write};

/// What else ends the connection, besides `Connection::close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Also {
    /// Another thread closes it too.
    Again,
    /// The peer ends it abruptly.
    ByThePeer,
    /// This side cuts it.
    Cut,
}

/// Threads open, accept, read, write and ping; all their calls return.
fn every_call_returns(time: Time, also: Also) {
    check(time, move || {
        let (ours, theirs) = memory::pair(1 << 20);
        let connection = Connection::client(ours, config().backlog(1)).unwrap();
        let stream = connection.open().unwrap();
        stream.core().send.lock().window.take(INITIAL_WINDOW);
        let ScriptedPeer {
            receiver,
            mut sender,
        } = ScriptedPeer::new(theirs);

        let with = |work: fn(&Connection) -> Result<(), Error>| {
            let connection = connection.clone();
            thread::spawn(move || work(&connection))
        };
        let waits = [
            // One stream already waits for its acknowledgement.
            with(|connection| connection.open().map(drop)),
            with(|connection| connection.accept().map(drop)),
            with(|connection| connection.ping().map(drop)),
        ];
        let (mut reads, mut writes) = (stream.clone(), stream.clone());
        let watching = stream.clone();
        let watcher = thread::spawn(move || watching.wait_peer_end(None));
        let reader = thread::spawn(move || reads.read(&mut [0; 8]));
        let writer = thread::spawn(move || writes.write(b"no credit"));
        let closing = connection.clone();
        let other = thread::spawn(move || match also {
            Also::Again => closing.close(),
            Also::ByThePeer => {}
            Also::Cut => closing.cut(),
        });
        let peer = thread::spawn(move || {
            if also == Also::ByThePeer {
                sender.cut();
            }
            let received = receiver.read_to_end();
            sender.finish();
            received
        });
        connection.close();
        assert!(connection.is_closed());
        for wait in waits {
            assert!(wait.join().unwrap().is_err());
        }
        assert!(watcher.join().unwrap());
        assert!(reader.join().unwrap().is_err());
        assert!(writer.join().unwrap().is_err());
        other.join().unwrap();
        peer.join().unwrap();
        connection.close();
        assert_eq!(connection.stream_count(), 0);
        assert!(connection.open().is_err());
    });
}

#[test]
fn a_close_wakes_all_threads_and_may_be_called_twice_at_once() {
    every_call_returns(Time::Fixed, Also::Again);
}

#[test]
fn a_close_and_a_cut_by_the_peer_end_the_connection_once() {
    every_call_returns(Time::Fixed, Also::ByThePeer);
}

#[test]
fn a_close_and_a_cut_end_the_connection_once() {
    every_call_returns(Time::Fixed, Also::Cut);
}

#[test]
fn a_close_returns_even_if_everything_times_out() {
    every_call_returns(Time::Advancing, Also::Again);
}

/// Dropping the last handle or the last stream closes the connection, in either
/// order.
#[test]
fn a_connection_closes_with_its_last_handle_or_stream() {
    check(Time::Fixed, || {
        let (ours, theirs) = memory::pair(1 << 20);
        let connection = Connection::client(ours, config()).unwrap();
        let stream = connection.open().unwrap();
        let ScriptedPeer {
            receiver,
            mut sender,
        } = ScriptedPeer::new(theirs);
        let streams = thread::spawn(move || drop(stream));
        let handles = thread::spawn(move || drop(connection));
        receiver.read_to_end();
        sender.finish();
        streams.join().unwrap();
        handles.join().unwrap();
    });
}

/// After `close_when_idle`, the end of the last stream closes the connection, on
/// whichever thread it happens.
#[test]
fn a_connection_that_closes_when_idle_closes_with_its_last_stream() {
    check(Time::Fixed, || {
        let (ours, theirs) = memory::pair(1 << 20);
        let connection = Connection::client(ours, config()).unwrap();
        let streams = [(); 2].map(|()| connection.open().unwrap());
        let ScriptedPeer {
            receiver,
            mut sender,
        } = ScriptedPeer::new(theirs);
        let ids = [0, 1].map(|at: usize| streams[at].id());
        let ending = streams.map(|stream| thread::spawn(move || drop(stream)));
        let idle = connection.clone();
        let closing = thread::spawn(move || idle.close_when_idle());
        for id in ids {
            sender.send(Header::window_update(id, Flags::ACK, 0), b"");
        }
        // A handle is kept: only the last stream, or its acknowledgement, closes the
        // connection.
        receiver.read_to_end();
        sender.finish();
        for end in ending {
            end.join().unwrap();
        }
        closing.join().unwrap();
        assert!(connection.is_closed());
        assert!(matches!(connection.open(), Err(Error::Closed)));
        drop(connection);
    });
}

/// The peer opens a stream while this side leaves. If the stream is refused, the peer has
/// learned before that this side leaves; the end of the connection needs no refusal.
fn refuses_after_it_said_why(leave: fn(&Connection)) {
    check(Time::Fixed, move || {
        let Stage {
            connection,
            reader,
            arrived,
            peer,
        } = stage(Role::Server, config(), ROOMY);
        let ScriptedPeer {
            receiver,
            mut sender,
        } = peer;
        let reading = run(reader);
        let leaving = connection.clone();
        let leaving = thread::spawn(move || leave(&leaving));
        sender.send(Header::window_update(STREAM, Flags::SYN, 0), b"");
        leaving.join().unwrap();
        sender.finish();
        let received = receiver.read_to_end();
        // Why it ended does not matter here.
        let _ = reading.join().unwrap();
        let is_reset = |frame: &PeerFrame| frame.header.flags.contains(Flags::RST);
        if let Some(at) = received.iter().position(is_reset) {
            let mut before = received[..at].iter();
            assert!(before.any(|frame| frame.header.kind == Kind::GoAway));
        }
        drop(arrived);
    });
}

#[test]
fn a_stream_is_refused_after_the_go_away() {
    refuses_after_it_said_why(Connection::go_away);
}

#[test]
fn a_stream_is_not_refused_when_the_connection_is_cut() {
    refuses_after_it_said_why(Connection::cut);
}

/// Over a transport that cannot end one direction, and without a timeout that passes.
/// `both` sides close at once, or one closes and the other notices.
fn endless_closes_return(both: bool) {
    check(Time::Fixed, move || {
        let (ours, theirs) = memory::pair(1 << 20);
        let near = Connection::client(Endless(ours), config()).unwrap();
        let far = Connection::server(Endless(theirs), config()).unwrap();
        let mut stream = near.open().unwrap();
        stream.write_all(b"last").unwrap();
        drop(stream);
        let other = thread::spawn(move || {
            if !both {
                let mut received = Vec::new();
                far.accept().unwrap().read_to_end(&mut received).unwrap();
                assert_eq!(received, b"last");
                let error = far.accept().unwrap_err();
                assert!(matches!(error, Error::ClosedByPeer), "{error:?}");
            }
            far.close();
        });
        near.close();
        other.join().unwrap();
        assert!(both || near.unacknowledged() == 0);
    });
}

#[test]
fn a_close_over_a_transport_without_an_end_waits_only_for_the_peers_answer() {
    endless_closes_return(false);
}

#[test]
fn closes_of_both_sides_over_a_transport_without_an_end_do_not_wait_for_each_other() {
    endless_closes_return(true);
}

/// The peer ends a stream, this side sends a message of two frames, and the connection is to
/// close when idle. Whichever comes last ends the stream, although a handle is kept. If the
/// stream rests at first, it may end before the message begins, but not inside it.
fn ends_at_rest(rests_before: bool) {
    check(Time::Fixed, move || {
        let (ours, theirs) = memory::pair(1 << 20);
        let connection = Connection::client(ours, config()).unwrap();
        let stream = connection.open().unwrap();
        if rests_before {
            stream.rest();
        }
        let id = stream.id();
        let ScriptedPeer {
            receiver,
            mut sender,
        } = ScriptedPeer::new(theirs);
        let sending = stream.clone();
        let writer = thread::spawn(move || {
            let send = |byte: u8, rest| {
                let fill = |segment: &mut Segment, _| {
                    segment.put(&[byte]);
                    rest
                };
                sending.send_frame(|_| 1, fill)
            };
            let begun = send(b'a', Rest::Busy);
            if begun.is_ok() {
                send(b'b', Rest::Resting).unwrap();
            }
            begun.is_ok()
        });
        let idle = connection.clone();
        let closing = thread::spawn(move || idle.close_when_idle());
        let peer = thread::spawn(move || {
            let flags = Flags(Flags::ACK.0 | Flags::FIN.0);
            sender.send(Header::window_update(id, flags, 0), b"");
            sender
        });
        let received = receiver.read_to_end();
        let mut sender = peer.join().unwrap();
        sender.finish();
        let sent = writer.join().unwrap();
        closing.join().unwrap();
        assert!(connection.is_closed());
        let of_stream = received.iter().filter(|frame| frame.header.stream == id);
        let ends = of_stream.filter(|frame| frame.header.flags.contains(Flags::FIN));
        assert_eq!(ends.count(), 1);
        assert!(sent || rests_before);
        let message: &[u8] = if sent { b"ab" } else { b"" };
        assert_eq!(bytes_of(&received, id), message);
        drop(stream);
    });
}

#[test]
fn a_stream_at_rest_that_the_peer_has_ended_keeps_no_connection_open() {
    ends_at_rest(false);
}

#[test]
fn a_stream_that_rested_is_not_ended_inside_a_message_that_begins_meanwhile() {
    ends_at_rest(true);
}
