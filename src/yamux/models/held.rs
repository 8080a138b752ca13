//! Streams that wait until others have ended: none is forgotten, whichever thread
//! makes room for it.

use super::stage::{PeerSender, ROOMY, ScriptedPeer, config};
use crate::{
    sync::{Time, check, thread},
    transport::memory,
    yamux::{
        Connection, StreamId,
        frame::{Flags, Header},
    },
};

const IDS: [StreamId; 3] = [StreamId(1), StreamId(3), StreamId(5)];

/// Makes a connection that accepts one stream of the peer at a time.
fn one_at_a_time() -> (Connection, ScriptedPeer) {
    let (ours, theirs) = memory::pair(ROOMY);
    let connection = Connection::server(ours, config().max_streams(1)).unwrap();
    (connection, ScriptedPeer::new(theirs))
}

fn flags(sender: &mut PeerSender, id: StreamId, flags: Flags) {
    sender.send(Header::window_update(id, flags, 0), b"");
}

/// Opens streams, and ends the peer's half of each.
fn opens(sender: &mut PeerSender) {
    for id in IDS {
        flags(sender, id, Flags::SYN);
        flags(sender, id, Flags::FIN);
    }
}

#[test]
fn each_stream_is_accepted_when_the_one_before_ends() {
    check(Time::Fixed, || {
        let (connection, mut peer) = one_at_a_time();
        let peer = thread::spawn(move || {
            opens(&mut peer.sender);
            peer
        });
        for id in IDS {
            let stream = connection.accept().unwrap();
            assert_eq!(stream.id(), id);
            // This makes room for the next one.
            drop(stream);
        }
        connection.cut();
        drop(peer.join().unwrap());
    });
}

#[test]
fn a_waiting_stream_that_the_peer_resets_does_not_block_others() {
    check(Time::Fixed, || {
        let (connection, mut peer) = one_at_a_time();
        let peer = thread::spawn(move || {
            opens(&mut peer.sender);
            flags(&mut peer.sender, IDS[1], Flags::RST);
            peer
        });
        while connection.accept().unwrap().id() != IDS[2] {}
        connection.cut();
        drop(peer.join().unwrap());
    });
}

#[test]
fn waiting_streams_do_not_keep_a_connection_that_closes_when_idle() {
    check(Time::Fixed, || {
        let (connection, mut peer) = one_at_a_time();
        let peer = thread::spawn(move || {
            opens(&mut peer.sender);
            // The peer sees the end, and ends its direction too.
            let frames = peer.receiver.read_to_end();
            peer.sender.finish();
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
