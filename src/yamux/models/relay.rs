//! A relay between two connections, while what it joins goes on, ends, or
//! vanishes.

use super::stage::{Frame, Stage, bytes_of, config, run, stage};
use crate::{
    sync::{Time, check, thread},
    yamux::{
        Role, Stream, StreamId,
        frame::{Flags, Header},
        relay::{Framing, relay},
        segment::Segment,
    },
};

/// The caller's stream, and the one to the owner.
const CALL: StreamId = StreamId(1);
const LEG: StreamId = StreamId(2);

/// How one of the two peers goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Says all and ends its half.
    Finishes,
    /// Says something, and resets the stream.
    Resets,
    /// Says something, and vanishes.
    Vanishes,
}

/// What each of them says, in so many frames of so many bytes.
#[derive(Clone, Copy)]
struct Said {
    frames: u8,
    each: usize,
}

const LITTLE: Said = Said { frames: 2, each: 3 };

/// More than an outbox takes from relays, over a transport that holds less
/// than a frame.
const MUCH: Said = Said {
    frames: 4,
    each: 64 * 1024,
};

/// One side of the hub: the connection to a peer, with the stream that is to be
/// relayed.
fn leg(capacity: usize, is_call: bool) -> (Stage, Stream) {
    let mut stage = stage(Role::Server, config(), capacity);
    if !is_call {
        let stream = stage.connection.open().unwrap();
        return (stage, stream);
    }
    let syn = Header::window_update(CALL, Flags::SYN, 0);
    stage.peer.says.frame(syn, b"");
    stage
        .reader
        .turn(std::time::Duration::from_secs(1))
        .unwrap();
    let incoming = stage.arrived.lock().pop_front().unwrap();
    let stream = stage.connection.downgrade().stream(incoming).unwrap();
    (stage, stream)
}

/// Each byte is a unit.
const ANYWHERE: Framing = Framing {
    next: |_, buffered, room| buffered.len.min(room),
    cut_short: &[],
};

/// What a peer has said, and heard to its end.
struct Ended {
    frames: Vec<Frame>,
    stream: StreamId,
}

impl Ended {
    fn bytes(&self) -> Vec<u8> {
        bytes_of(&self.frames, self.stream)
    }

    fn has(&self, flag: Flags) -> bool {
        let mut of_stream = self.frames.iter().map(|frame| frame.header);
        of_stream.any(|header| header.stream == self.stream && header.flags.contains(flag))
    }
}

fn relaying(time: Time, capacity: usize, said: Said, caller: Does, owner: Does) {
    check(time, move || {
        let (call, call_stream) = leg(capacity, true);
        let (own, own_stream) = leg(capacity, false);
        let readers = [call.reader, own.reader].map(run);
        let peers =
            [(call.peer, CALL, caller), (own.peer, LEG, owner)].map(|(peer, stream, does)| {
                let mut says = peer.says;
                let hearing = thread::spawn(move || peer.hears.until_the_end());
                let saying = thread::spawn(move || {
                    for number in 0..said.frames {
                        says.data(stream, &vec![number; said.each]);
                    }
                    match does {
                        Does::Finishes => {
                            says.frame(Header::window_update(stream, Flags::FIN, 0), b"");
                        }
                        Does::Resets => {
                            says.frame(Header::window_update(stream, Flags::RST, 0), b"");
                        }
                        Does::Vanishes => says.cut(),
                    }
                    says
                });
                (hearing, saying, stream)
            });
        relay(
            (call_stream, Segment::default()),
            (own_stream, Segment::default()),
            ANYWHERE,
        );
        let connections = [call.connection, own.connection];
        // When both streams are gone each connection closes, as it is told to:
        // were one left over, this would wait for ever.
        for connection in &connections {
            connection.close_when_idle();
        }
        let ended = peers.map(|(hearing, saying, stream)| {
            let mut says = saying.join().unwrap();
            let frames = hearing.join().unwrap();
            says.finish();
            Ended { frames, stream }
        });
        for reader in readers {
            let _ = reader.join().unwrap();
        }
        for connection in &connections {
            assert_eq!(connection.stream_count(), 0);
        }
        judge(&ended, said, caller, owner);
    });
}

/// What each has heard of what the other did.
fn judge(ended: &[Ended; 2], said: Said, caller: Does, owner: Does) {
    let all: Vec<u8> = (0..said.frames)
        .flat_map(|number| vec![number; said.each])
        .collect();
    for (hearer, itself, other) in [(&ended[0], caller, owner), (&ended[1], owner, caller)] {
        let heard = hearer.bytes();
        assert!(all.starts_with(&heard));
        // Truncated is never taken for complete.
        if hearer.has(Flags::FIN) {
            assert!(heard == all, "an end after {} bytes", heard.len());
            assert_eq!(other, Does::Finishes);
        }
        if (itself, other) == (Does::Finishes, Does::Finishes) {
            assert!(hearer.has(Flags::FIN));
        }
        // It hears of an end, unless it has ended all by itself.
        if itself == Does::Finishes && other != Does::Finishes {
            assert!(hearer.has(Flags::RST));
        }
    }
}

#[test]
fn both_ends_get_all_and_the_end() {
    relaying(
        Time::Stands,
        1 << 20,
        LITTLE,
        Does::Finishes,
        Does::Finishes,
    );
}

#[test]
fn both_ends_get_all_though_neither_transport_has_room() {
    relaying(Time::Stands, 50_000, MUCH, Does::Finishes, Does::Finishes);
}

#[test]
fn an_end_hears_of_the_others_reset() {
    relaying(Time::Stands, 1 << 20, LITTLE, Does::Finishes, Does::Resets);
    relaying(Time::Stands, 1 << 20, LITTLE, Does::Resets, Does::Finishes);
}

#[test]
fn an_end_hears_that_the_other_vanished() {
    relaying(
        Time::Stands,
        1 << 20,
        LITTLE,
        Does::Finishes,
        Does::Vanishes,
    );
    relaying(
        Time::Stands,
        1 << 20,
        LITTLE,
        Does::Vanishes,
        Does::Finishes,
    );
}

#[test]
fn nothing_is_left_when_both_vanish() {
    relaying(
        Time::Stands,
        1 << 20,
        LITTLE,
        Does::Vanishes,
        Does::Vanishes,
    );
    relaying(Time::Stands, 1 << 20, LITTLE, Does::Resets, Does::Vanishes);
}

#[test]
fn nothing_is_left_when_one_vanishes_while_the_other_takes_nothing() {
    relaying(Time::Stands, 50_000, MUCH, Does::Vanishes, Does::Finishes);
}
