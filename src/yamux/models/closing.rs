//! Closing a connection while everything else goes on.

use super::stage::{Peer, config};
use crate::{
    sync::{Time, check, thread},
    transport::memory,
    yamux::{
        Connection, Error, INITIAL_WINDOW,
        frame::{Flags, Header},
    },
};
use std::io::{Read, Write};

/// How a connection is closed, besides by `Connection::close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Also {
    /// Again, by another thread.
    Again,
    /// By the peer, who vanishes.
    ByThePeer,
    /// At once.
    Cut,
}

/// Threads open, accept, read, write and ping; all come back.
fn everybody_comes_back(time: Time, also: Also) {
    check(time, move || {
        let (ours, theirs) = memory::pair(1 << 20);
        let connection = Connection::client(ours, config().backlog(1)).unwrap();
        let stream = connection.open().unwrap();
        stream.core().send.lock().window.take(INITIAL_WINDOW);
        let Peer { hears, mut says } = Peer::new(theirs);

        let with = |work: fn(&Connection) -> Result<(), Error>| {
            let connection = connection.clone();
            thread::spawn(move || work(&connection))
        };
        let waits = [
            // One waits to be acknowledged already.
            with(|connection| connection.open().map(drop)),
            with(|connection| connection.accept().map(drop)),
            with(|connection| connection.ping().map(drop)),
        ];
        let (mut reads, mut writes) = (stream.clone(), stream.clone());
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
                says.cut();
            }
            let heard = hears.until_the_end();
            says.finish();
            heard
        });
        connection.close();
        assert!(connection.is_closed());
        for wait in waits {
            assert!(wait.join().unwrap().is_err());
        }
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
fn a_close_wakes_everybody_and_may_be_called_twice_at_once() {
    everybody_comes_back(Time::Stands, Also::Again);
}

#[test]
fn a_close_and_a_peer_that_vanishes_end_all_once() {
    everybody_comes_back(Time::Stands, Also::ByThePeer);
}

#[test]
fn a_close_and_a_cut_end_all_once() {
    everybody_comes_back(Time::Stands, Also::Cut);
}

#[test]
fn a_close_returns_though_time_runs_out_for_everything() {
    everybody_comes_back(Time::Passes, Also::Again);
}

/// The last handle, or the last stream, to go closes the connection: its reader
/// ends, whoever is the last.
#[test]
fn a_connection_closes_with_its_last_handle_or_stream() {
    check(Time::Stands, || {
        let (ours, theirs) = memory::pair(1 << 20);
        let connection = Connection::client(ours, config()).unwrap();
        let stream = connection.open().unwrap();
        let Peer { hears, mut says } = Peer::new(theirs);
        let streams = thread::spawn(move || drop(stream));
        let handles = thread::spawn(move || drop(connection));
        hears.until_the_end();
        says.finish();
        streams.join().unwrap();
        handles.join().unwrap();
    });
}

/// A connection that is to close when it is idle does, with the last stream,
/// whoever ends it.
#[test]
fn a_connection_that_is_to_close_does_when_its_last_stream_ends() {
    check(Time::Stands, || {
        let (ours, theirs) = memory::pair(1 << 20);
        let connection = Connection::client(ours, config()).unwrap();
        let streams = [(); 2].map(|()| connection.open().unwrap());
        let Peer { hears, mut says } = Peer::new(theirs);
        let ids = [0, 1].map(|at: usize| streams[at].id());
        let ending = streams.map(|stream| thread::spawn(move || drop(stream)));
        let idle = connection.clone();
        let closing = thread::spawn(move || idle.close_when_idle());
        for id in ids {
            says.frame(Header::window_update(id, Flags::ACK, 0), b"");
        }
        // Nobody but the last stream closes it, or its acknowledgement: a handle is
        // kept.
        hears.until_the_end();
        says.finish();
        for end in ending {
            end.join().unwrap();
        }
        closing.join().unwrap();
        assert!(connection.is_closed());
        assert!(matches!(connection.open(), Err(Error::Closed)));
        drop(connection);
    });
}
