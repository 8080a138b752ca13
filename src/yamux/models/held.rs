//! Streams that are held until others have ended: none is forgotten, whoever
//! frees the place for it.

use super::stage::{Peer, ROOMY, Says, config};
use crate::{
    sync::{Time, check, thread},
    transport::memory,
    yamux::{
        Connection, StreamId,
        frame::{Flags, Header},
    },
};

const IDS: [StreamId; 3] = [StreamId(1), StreamId(3), StreamId(5)];

/// A connection with one place for the peer's streams.
fn one_place() -> (Connection, Peer) {
    let (ours, theirs) = memory::pair(ROOMY);
    let connection = Connection::server(ours, config().max_streams(1)).unwrap();
    (connection, Peer::new(theirs))
}

fn flags(says: &mut Says, id: StreamId, flags: Flags) {
    says.frame(Header::window_update(id, flags, 0), b"");
}

/// Opens streams, and ends the peer's half of each.
fn opens(says: &mut Says) {
    for id in IDS {
        flags(says, id, Flags::SYN);
        flags(says, id, Flags::FIN);
    }
}

#[test]
fn each_stream_gets_the_place_of_the_one_before() {
    check(Time::Stands, || {
        let (connection, mut peer) = one_place();
        let peer = thread::spawn(move || {
            opens(&mut peer.says);
            peer
        });
        for id in IDS {
            let stream = connection.accept().unwrap();
            assert_eq!(stream.id(), id);
            // By this its place is free.
            drop(stream);
        }
        connection.cut();
        drop(peer.join().unwrap());
    });
}

#[test]
fn a_stream_that_the_peer_gives_up_keeps_no_place_from_others() {
    check(Time::Stands, || {
        let (connection, mut peer) = one_place();
        let peer = thread::spawn(move || {
            opens(&mut peer.says);
            flags(&mut peer.says, IDS[1], Flags::RST);
            peer
        });
        while connection.accept().unwrap().id() != IDS[2] {}
        connection.cut();
        drop(peer.join().unwrap());
    });
}

#[test]
fn what_is_held_keeps_no_connection_that_is_to_close_when_idle() {
    check(Time::Stands, || {
        let (connection, mut peer) = one_place();
        let peer = thread::spawn(move || {
            opens(&mut peer.says);
            // It sees the end, and ends its side too.
            let frames = peer.hears.until_the_end();
            peer.says.finish();
            frames
        });
        let accepting = {
            let connection = connection.clone();
            thread::spawn(move || while connection.accept().is_ok() {})
        };
        connection.close_when_idle();
        accepting.join().unwrap();
        assert_eq!(connection.stream_count(), 0);
        let frames = peer.join().unwrap();
        for id in IDS {
            let ends = frames.iter().filter(|frame| {
                let flags = frame.header.flags;
                frame.header.stream == id && (flags == Flags::RST || flags == Flags::FIN)
            });
            assert!(ends.count() <= 1, "{id}: {frames:?}");
        }
    });
}
