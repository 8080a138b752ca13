//! A relay between two connections, whose peers finish, reset, or vanish.

use super::stage::{Frames, PeerFrame, Stage, bytes_of, config, run, stage};
use crate::{
    sync::{Time, check, thread},
    yamux::{
        INITIAL_WINDOW, Role, Stream, StreamId,
        frame::{Flags, Header},
        relay::{framing::Framing, pair::join_relay},
        segment::Segment,
    },
};

/// The caller's stream, and the stream to the owner.
const CALL: StreamId = StreamId(1);
const LEG: StreamId = StreamId(2);

/// What one of the two peers does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Sends everything and finishes its half.
    Finishes,
    /// Sends something and resets the stream.
    Resets,
    /// Sends something and cuts the connection.
    Vanishes,
}

/// How many frames each peer sends, and of how many bytes each.
#[derive(Clone, Copy)]
struct Traffic {
    frames: u8,
    each: usize,
}

const LITTLE: Traffic = Traffic { frames: 2, each: 3 };

/// More than an outbox accepts from relays, for a transport that holds less than a
/// frame.
const MUCH: Traffic = Traffic {
    frames: 4,
    each: 64 * 1024,
};

/// Makes one side of the hub: the connection to a peer, and the stream to relay.
fn leg(capacity: usize, is_call: bool) -> (Stage, Stream) {
    let mut stage = stage(Role::Server, config(), capacity);
    if !is_call {
        let stream = stage.connection.open().unwrap();
        return (stage, stream);
    }
    let syn = Header::window_update(CALL, Flags::SYN, 0);
    stage.peer.sender.send(syn, b"");
    stage
        .reader
        .turn(std::time::Duration::from_secs(1))
        .unwrap();
    let incoming = stage.arrived.lock().pop_front().unwrap();
    let stream = stage.connection.downgrade().stream(incoming).unwrap();
    (stage, stream)
}

/// A stream may be cut after any byte, and its message never ends.
const ANYWHERE: Framing = Framing {
    next: |passed, buffered, room| {
        passed.in_message |= buffered.len > 0;
        buffered.len.min(room)
    },
    cut_short: &[],
};

/// The frames that a peer received up to the end of its connection.
struct ReceivedFrames {
    frames: Vec<PeerFrame>,
    stream: StreamId,
}

impl ReceivedFrames {
    fn bytes(&self) -> Vec<u8> {
        bytes_of(&self.frames, self.stream)
    }

    fn has(&self, flag: Flags) -> bool {
        let mut of_stream = self.frames.iter().map(|frame| frame.header);
        of_stream.any(|header| header.stream == self.stream && header.flags.contains(flag))
    }
}

fn relaying(time: Time, capacity: usize, traffic: Traffic, caller: Does, owner: Does) {
    check(time, move || {
        let (call, call_stream) = leg(capacity, true);
        let (own, own_stream) = leg(capacity, false);
        let readers = [call.reader, own.reader].map(run);
        let peers =
            [(call.peer, CALL, caller), (own.peer, LEG, owner)].map(|(peer, stream, does)| {
                let mut sender = peer.sender;
                let receiving = thread::spawn(move || peer.receiver.read_to_end());
                let sending = thread::spawn(move || {
                    for number in 0..traffic.frames {
                        sender.data(stream, &vec![number; traffic.each]);
                    }
                    match does {
                        Does::Finishes => {
                            sender.send(Header::window_update(stream, Flags::FIN, 0), b"");
                        }
                        Does::Resets => {
                            sender.send(Header::window_update(stream, Flags::RST, 0), b"");
                        }
                        Does::Vanishes => sender.cut(),
                    }
                    sender
                });
                (receiving, sending, stream)
            });
        join_relay(
            (call_stream, Segment::default()),
            (own_stream, Segment::default()),
            ANYWHERE,
        );
        let connections = [call.connection, own.connection];
        // Each connection closes once its stream is gone. If a stream remained, this
        // would wait forever.
        for connection in &connections {
            connection.close_when_idle();
        }
        let ended = peers.map(|(receiving, sending, stream)| {
            let mut sender = sending.join().unwrap();
            let frames = receiving.join().unwrap();
            sender.finish();
            ReceivedFrames { frames, stream }
        });
        for reader in readers {
            let _ = reader.join().unwrap();
        }
        for connection in &connections {
            assert_eq!(connection.stream_count(), 0);
        }
        judge(&ended, traffic, caller, owner);
    });
}

/// Checks what each peer received of the other's actions.
fn judge(ended: &[ReceivedFrames; 2], traffic: Traffic, caller: Does, owner: Does) {
    let all: Vec<u8> = (0..traffic.frames)
        .flat_map(|number| vec![number; traffic.each])
        .collect();
    for (peer, itself, other) in [(&ended[0], caller, owner), (&ended[1], owner, caller)] {
        let received = peer.bytes();
        assert!(all.starts_with(&received));
        let is_owner = peer.stream == LEG;
        if is_owner && itself == Does::Finishes && received.is_empty() && peer.has(Flags::FIN) {
            // The owner had ended the stream before the caller began a message.
            continue;
        }
        // A truncated message is never taken for complete.
        if peer.has(Flags::FIN) {
            assert!(received == all, "an end after {} bytes", received.len());
            assert_eq!(other, Does::Finishes);
        }
        if (itself, other) == (Does::Finishes, Does::Finishes) {
            assert!(peer.has(Flags::FIN));
        }
        // The peer gets an error, because the other did not finish.
        if itself == Does::Finishes && other != Does::Finishes {
            assert!(peer.has(Flags::RST));
        }
    }
}

/// A message ends with a full stop.
const SENTENCES: Framing = Framing {
    next: |passed, buffered, room| {
        let count = buffered.len.min(room);
        let bytes = buffered.pieces.flatten().take(count);
        passed.in_message = bytes.last().map_or(passed.in_message, |last| *last != b'.');
        count
    },
    cut_short: &[],
};

/// The owner ends the stream while its caller sends a message and then rests, and one or
/// both connections are to close when idle.
fn resting(closing: &'static [usize]) {
    check(Time::Fixed, move || {
        let (call, call_stream) = leg(1 << 20, true);
        let (own, own_stream) = leg(1 << 20, false);
        let readers = [call.reader, own.reader].map(run);
        let (mut caller, mut owner) = (call.peer.sender, own.peer.sender);
        let received = [call.peer.receiver, own.peer.receiver]
            .map(|receiver| thread::spawn(move || receiver.read_to_end()));
        let speaking = thread::spawn(move || {
            caller.data(CALL, b"a");
            caller.data(CALL, b".");
            caller
        });
        let ending = thread::spawn(move || {
            let flags = Flags(Flags::ACK.0 | Flags::FIN.0);
            owner.send(Header::window_update(LEG, flags, 0), b"");
            owner
        });
        let none = Segment::default;
        join_relay((call_stream, none()), (own_stream, none()), SENTENCES);
        let connections = [call.connection, own.connection];
        for closes in closing {
            connections[*closes].close_when_idle();
        }
        let mut senders = [speaking.join().unwrap(), ending.join().unwrap()];
        // The streams end, although the caller never does: if they did not, these would
        // wait forever.
        let mut received = received.map(Some);
        let mut frames = |at: usize| received[at].take().unwrap().join().unwrap();
        let order = if closing[0] == 0 { [0, 1] } else { [1, 0] };
        let mut ended = order.map(|at| {
            connections[at].close_when_idle();
            let frames = frames(at);
            senders[at].finish();
            let stream = [CALL, LEG][at];
            (at, ReceivedFrames { frames, stream })
        });
        ended.sort_by_key(|(at, _)| *at);
        for (_, peer) in &ended {
            let of_stream = peer.frames.iter().map(|frame| frame.header);
            let ends = of_stream
                .filter(|header| header.stream == peer.stream && header.flags.contains(Flags::FIN));
            assert_eq!(ends.count(), 1);
        }
        let bytes = ended[1].1.bytes();
        assert!(bytes.is_empty() || bytes == b"a.", "{bytes:?}");
        for reader in readers {
            let _ = reader.join().unwrap();
        }
    });
}

#[test]
fn a_stream_that_its_owner_has_ended_ends_between_two_messages_of_its_caller() {
    resting(&[0, 1]);
    resting(&[1, 0]);
    resting(&[0]);
    resting(&[1]);
}

/// The caller has used up its window. Only the owner's connection, which is full at first,
/// is to close when idle.
#[test]
fn a_caller_without_credit_gets_some_when_its_stream_ends_between_two_messages() {
    check(Time::Fixed, || {
        let (call, call_stream) = leg(1 << 20, true);
        let (own, own_stream) = leg(50_000, false);
        let readers = [call.reader, own.reader].map(run);
        let (mut caller, mut owner) = (call.peer.sender, own.peer.sender);
        let owner_receives = own.peer.receiver;
        let received = thread::spawn(move || owner_receives.read_to_end());
        let speaking = thread::spawn(move || {
            let mut message = vec![b'a'; INITIAL_WINDOW as usize];
            *message.last_mut().unwrap() = b'.';
            for part in message.chunks(MUCH.each) {
                caller.data(CALL, part);
            }
            caller
        });
        let ending = thread::spawn(move || {
            let flags = Flags(Flags::ACK.0 | Flags::FIN.0);
            owner.send(Header::window_update(LEG, flags, 0), b"");
            owner
        });
        let none = Segment::default;
        join_relay((call_stream, none()), (own_stream, none()), SENTENCES);
        own.connection.close_when_idle();
        let mut caller_receives = call.peer.receiver;
        let mut frames = Frames::default();
        // If nothing were granted, this would wait forever.
        while !frames.any(|header| header.stream == CALL && header.length > 0) {
            frames.take(&caller_receives.read());
        }
        let mut senders = [speaking.join().unwrap(), ending.join().unwrap()];
        let bytes = bytes_of(&received.join().unwrap(), LEG).len();
        assert!(bytes == 0 || bytes == INITIAL_WINDOW as usize);
        call.connection.cut();
        for sender in &mut senders {
            sender.finish();
        }
        for reader in readers {
            let _ = reader.join().unwrap();
        }
    });
}

/// The owner answers, returns, and resets what its caller still sends. Its connection is full,
/// so a thread that finds room in it may serve the relay before the reader does.
#[test]
fn a_caller_without_credit_is_told_of_a_reset_that_follows_the_end() {
    check(Time::Fixed, || {
        let (call, call_stream) = leg(1 << 20, true);
        let (own, own_stream) = leg(50_000, false);
        let readers = [call.reader, own.reader].map(run);
        let (mut caller, mut owner) = (call.peer.sender, own.peer.sender);
        let owner_receives = own.peer.receiver;
        let received = thread::spawn(move || owner_receives.read_to_end());
        let speaking = thread::spawn(move || {
            for part in vec![b'a'; INITIAL_WINDOW as usize].chunks(MUCH.each) {
                caller.data(CALL, part);
            }
            caller
        });
        let ending = thread::spawn(move || {
            for flag in [Flags::FIN, Flags::RST] {
                owner.send(Header::window_update(LEG, flag, 0), b"");
            }
            owner
        });
        let none = Segment::default;
        join_relay((call_stream, none()), (own_stream, none()), ANYWHERE);
        let mut caller_receives = call.peer.receiver;
        let mut frames = Frames::default();
        let is_told = |header: Header| {
            header.stream == CALL && (header.flags.contains(Flags::RST) || header.length > 0)
        };
        // If it were told nothing, this would wait forever.
        while !frames.any(is_told) {
            frames.take(&caller_receives.read());
        }
        let mut senders = [speaking.join().unwrap(), ending.join().unwrap()];
        call.connection.cut();
        own.connection.cut();
        for sender in &mut senders {
            sender.finish();
        }
        for reader in readers {
            let _ = reader.join().unwrap();
        }
        received.join().unwrap();
    });
}

#[test]
fn both_peers_receive_everything_and_the_end() {
    relaying(Time::Fixed, 1 << 20, LITTLE, Does::Finishes, Does::Finishes);
}

#[test]
fn both_peers_receive_everything_over_narrow_transports() {
    relaying(Time::Fixed, 50_000, MUCH, Does::Finishes, Does::Finishes);
}

#[test]
fn a_peer_is_told_of_the_others_reset() {
    relaying(Time::Fixed, 1 << 20, LITTLE, Does::Finishes, Does::Resets);
    relaying(Time::Fixed, 1 << 20, LITTLE, Does::Resets, Does::Finishes);
}

#[test]
fn a_peer_is_told_that_the_other_vanished() {
    relaying(Time::Fixed, 1 << 20, LITTLE, Does::Finishes, Does::Vanishes);
    relaying(Time::Fixed, 1 << 20, LITTLE, Does::Vanishes, Does::Finishes);
}

#[test]
fn nothing_is_left_when_both_vanish() {
    relaying(Time::Fixed, 1 << 20, LITTLE, Does::Vanishes, Does::Vanishes);
    relaying(Time::Fixed, 1 << 20, LITTLE, Does::Resets, Does::Vanishes);
}

#[test]
fn nothing_is_left_when_one_vanishes_while_the_other_reads_nothing() {
    relaying(Time::Fixed, 50_000, MUCH, Does::Vanishes, Does::Finishes);
}
