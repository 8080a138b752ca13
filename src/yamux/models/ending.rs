//! Streams that both sides end at the same time: each is gone afterwards, and is
//! counted once.

use super::stage::{Frames, PeerSender, ROOMY, STREAM, client, config, run, stage};
use crate::{
    sync::{Time, check, thread},
    yamux::{
        Role, Stream,
        frame::{Flags, Header, Kind},
    },
};
use std::{net::Shutdown, sync::Arc};

/// The peer runs `peer`, and two threads run `here`, each with a handle of its own. A third
/// thread waits for the peer's end; what any of these do may end that wait. Afterwards the
/// counters of the connection must be right while it is still open.
fn ending(
    peer: fn(&mut PeerSender),
    here: [fn(&Stream); 2],
    resets: std::ops::RangeInclusive<u64>,
) {
    check(Time::Fixed, move || {
        let (stage, stream) = client();
        let reading = run(stage.reader);
        let (mut sender, mut receiver) = (stage.peer.sender, stage.peer.receiver);
        let peer = thread::spawn(move || {
            peer(&mut sender);
            // The answer shows that the reader has handled everything before.
            sender.send(Header::ping(Flags::SYN, 0), b"");
            let mut received = Frames::default();
            while !received.any(|frame| frame.kind == Kind::Ping) {
                received.take(&receiver.read());
            }
            (sender, receiver)
        });
        let users = here.map(|here| {
            let stream = stream.clone();
            thread::spawn(move || here(&stream))
        });
        let shared = Arc::clone(stream.shared());
        let watcher = thread::spawn(move || stream.wait_peer_end(None));
        for user in users {
            user.join().unwrap();
        }
        watcher.join().unwrap();
        let halves = peer.join().unwrap();
        let table = shared.table.lock();
        assert_eq!(table.len(), 0);
        assert_eq!(table.live(), 0);
        assert_eq!(table.unacknowledged, 0);
        let reset = table.stats.streams_reset;
        assert!(resets.contains(&reset), "{reset} streams reset");
        drop(table);
        stage.connection.cut();
        drop(halves);
        let _ = reading.join().unwrap();
    });
}

fn fin(sender: &mut PeerSender) {
    sender.send(Header::window_update(STREAM, Flags::FIN, 0), b"");
}

fn acknowledge_and_fin(sender: &mut PeerSender) {
    sender.send(Header::window_update(STREAM, Flags::ACK, 0), b"");
    fin(sender);
}

fn reset(sender: &mut PeerSender) {
    sender.send(Header::window_update(STREAM, Flags::RST, 0), b"");
}

fn shutdown(stream: &Stream) {
    stream.shutdown(Shutdown::Both).unwrap();
}

fn stop(stream: &Stream) {
    stream.shutdown(Shutdown::Read).unwrap();
}

fn finish(stream: &Stream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn a_stream_that_both_sides_finish_is_gone() {
    ending(fin, [finish, stop], 0..=0);
    ending(acknowledge_and_fin, [shutdown, shutdown], 0..=0);
}

#[test]
fn a_stream_that_both_sides_reset_is_gone_once() {
    ending(reset, [Stream::reset, Stream::reset], 1..=1);
}

#[test]
fn a_stream_that_one_side_resets_and_the_other_finishes_is_gone_once() {
    ending(acknowledge_and_fin, [Stream::reset, shutdown], 0..=1);
    ending(reset, [shutdown, finish], 1..=1);
}

/// A stream that is closed only on this side counts until the peer has ended its
/// half. A thread that opens one more waits for that, and for the peer's ACK.
#[test]
fn a_thread_that_waits_to_open_a_stream_is_woken_when_others_end() {
    check(Time::Fixed, || {
        let config = config().backlog(1).max_streams(1);
        let stage = stage(Role::Client, config, ROOMY);
        let reading = run(stage.reader);
        let (mut receiver, mut sender) = (stage.peer.receiver, stage.peer.sender);
        let peer = thread::spawn(move || {
            let mut answered = 0;
            while answered < 4 {
                let mut received = Frames::default();
                received.take(&receiver.read());
                for frame in received.whole() {
                    if frame.header.flags.contains(Flags::SYN) {
                        let id = frame.header.stream;
                        let flags = Flags(Flags::ACK.0 | Flags::FIN.0);
                        sender.send(Header::window_update(id, flags, 0), b"");
                        answered += 1;
                    }
                }
            }
            (receiver, sender)
        });
        let openers = [(); 2].map(|()| {
            let connection = stage.connection.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    drop(connection.open().unwrap());
                }
            })
        });
        for opener in openers {
            opener.join().unwrap();
        }
        let halves = peer.join().unwrap();
        stage.connection.cut();
        drop(halves);
        let _ = reading.join().unwrap();
    });
}
