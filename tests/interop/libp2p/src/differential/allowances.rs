//! The allowed differences between the two implementations: for each, the sentence of
//! a specification that decides, and who is right.
//!
//! "Spec" is hashicorp's specification of yamux. "Protocol" is what wirenet's peers
//! rely on in addition.

use crate::frames::{ACK, DATA, Frame, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE};

use super::application::End;
use super::comparison::{Round, StreamState};
use super::reaction::{Difference, Part};
use super::script::{Behaviour, Script};

/// Whether the script continues after a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Both implementations are still in the same state.
    Continue,
    /// The two are in different states, so there is nothing more to compare.
    Stop,
}

/// Which implementation does what the quoted sentence requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Wirenet,
    /// The sentence leaves it open.
    Both,
}

pub struct Allowance {
    pub name: &'static str,
    pub quote: &'static str,
    pub right: Right,
    pub then: Then,
    pub explains: fn(&Round, &Difference) -> bool,
}

/// All allowances. The first one that explains a difference counts.
pub const ALLOWANCES: &[Allowance] = &[
    Allowance {
        name: "libp2p acknowledges a stream with its first own frame, or never",
        quote: "Spec: \"The receiver must then reply with either a data or window update frame \
               with the StreamID along with the ACK flag to accept the stream or with the RST flag\"",
        right: Right::Wirenet,
        then: Then::Continue,
        explains: |_, difference| {
            matches!(difference, Difference::Stream(_, Part::Ack(true, false)))
        },
    },
    Allowance {
        name: "libp2p's reader sees the same end after a reset as after a FIN",
        quote: "Spec: \"Clients should be prepared to handle this by checking for an error that \
               indicates a RST was received\"",
        right: Right::Wirenet,
        then: Then::Continue,
        explains: |_, difference| {
            matches!(
                difference,
                Difference::Stream(_, Part::End(Some(_), Some(End::Unknown)))
            )
        },
    },
    Allowance {
        name: "libp2p continues after its own go away for a protocol error",
        quote: "Protocol: \"Data beyond the window that was granted is a protocol error: Go Away 1, \
               then close\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |round, difference| {
            let both_sent_away = round.ours.away == Some(1) && round.theirs.away == Some(1);
            both_sent_away && *difference == Difference::Ended(true, false)
        },
    },
    Allowance {
        name: "libp2p ends without a go away after a header that is invalid or announces too much",
        quote: "Spec: \"When a session is being terminated, the Go Away message should be sent\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |round, difference| {
            let too_much = round.received(|frame, _| frame.kind == DATA && frame.length > 1 << 20);
            let ended = round.theirs.ended && round.theirs.away.is_none();
            let only_wirenet_sent_away = *difference == Difference::Away(Some(1), None);
            // wirenet skips up to 16 MiB for a stream that is gone.
            let skipped = too_much && *difference == Difference::Ended(false, true);
            ended
                && (round.garbage || too_much)
                && (only_wirenet_sent_away || skipped || round.frames.len() > 1)
        },
    },
    Allowance {
        name: "libp2p ends the connection, and every stream, after a go away with code 0",
        quote: "Spec: \"0x0 Normal termination\"; with hashicorp/yamux, open streams continue",
        right: Right::Both,
        then: Then::Stop,
        explains: |round, difference| {
            let received = round
                .received(|frame, _| (frame.kind, frame.stream, frame.length) == (GO_AWAY, 0, 0));
            // libp2p ignores the frames that arrived in one piece with the go away.
            let alone = *difference == Difference::Ended(false, true);
            received && round.theirs.ended && (alone || round.frames.len() > 1)
        },
    },
    Allowance {
        name: "libp2p accepts pings and go aways on any stream",
        quote: "Spec: \"Both Ping and Go Away messages should always use the 0 StreamID\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |round, difference| {
            let received = round
                .received(|frame, _| matches!(frame.kind, PING | GO_AWAY) && frame.stream != 0);
            received && only_wirenet_objects(round, difference)
        },
    },
    Allowance {
        name: "libp2p skips data and window updates on stream 0, and as a client lets it be opened",
        quote: "Spec: \"the 0 ID is reserved to represent the session\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |round, difference| {
            let received = round.received(|frame, _| is_for_stream(frame) && frame.stream == 0);
            received && only_wirenet_objects(round, difference)
        },
    },
    Allowance {
        name: "libp2p accepts data after a FIN, and delivers it after the end",
        quote: "Spec: \"This does a half-close indicating the sender will send no further data\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |round, difference| {
            let received = round.received(|frame, view| {
                frame.kind == DATA && frame.length > 0 && view.peer_fin && view.is_open()
            });
            received && only_wirenet_objects(round, difference)
        },
    },
    Allowance {
        name: "libp2p treats a SYN with RST as a RST alone, on any stream",
        quote: "Protocol: \"A second SYN for a stream that is open is a protocol error\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |round, difference| {
            let received = round.received(|frame, view| {
                let wrong = view.is_open() || !round.is_peers(frame.stream);
                opens(frame) && frame.has(RST) && wrong
            });
            received && only_wirenet_objects(round, difference)
        },
    },
    Allowance {
        name: "libp2p never hands out a stream that arrived with SYN and RST at once",
        quote: "Spec: \"SYN - Signals the start of a new stream\", \"RST - Reset a stream immediately\"",
        right: Right::Both,
        then: Then::Continue,
        explains: |round, difference| {
            let Difference::Stream(id, part) = difference else {
                return false;
            };
            let at_once = round.frames.iter().filter(|(frame, view)| {
                opens(frame) && frame.has(RST) && frame.stream == *id && !view.is_open()
            });
            let received = at_once.count() as u32;
            let shown = match part {
                Part::Accepted(ours, theirs) => *ours > *theirs && ours - theirs <= received,
                Part::End(ours, theirs) => (*ours, *theirs) == (Some(End::Broken), None),
                Part::Rst(ours, theirs) => *ours && !theirs,
                _ => false,
            };
            received > 0 && shown
        },
    },
    Allowance {
        name: "libp2p accepts a used id for a new stream only once the application has dropped \
               the old one",
        quote: "Spec: \"an initial data or window update frame is sent with a new StreamID\"",
        right: Right::Both,
        then: Then::Stop,
        explains: |round, difference| {
            let received = round.received(|frame, view| opens(frame) && is_gone(view));
            received && is_held(round) && only_libp2p_objects(round, difference)
        },
    },
    Allowance {
        name: "libp2p delivers data that arrives after a reset until the application drops the stream",
        quote: "Spec: \"RST - Reset a stream immediately\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |round, difference| {
            let late = |id: Option<u32>| {
                round.received(|frame, view| {
                    let its = id.is_none_or(|id| id == frame.stream);
                    frame.kind == DATA && its && is_gone(view)
                })
            };
            match difference {
                Difference::Stream(id, Part::Delivered(ours, theirs)) => {
                    ours < theirs && late(Some(*id))
                }
                // A body that arrived with the reset was skipped, so there is a gap.
                Difference::Breaches(ours, _) => ours.is_empty() && late(None),
                _ => false,
            }
        },
    },
    Allowance {
        name: "libp2p enforces the window of a stream that is gone until the application drops it",
        quote: "Protocol: \"A frame for a stream that is gone (reset, or both halves closed) is not \
               an error: its body is skipped\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |round, difference| {
            let received = round
                .received(|frame, view| is_for_stream(frame) && frame.length > 0 && is_gone(view));
            received && is_held(round) && only_libp2p_objects(round, difference)
        },
    },
    Allowance {
        name: "libp2p ends the connection after an unsolicited pong",
        quote: "Spec: \"Ping - Contains an opaque value, echoed back\"",
        right: Right::Both,
        then: Then::Stop,
        explains: |round, difference| {
            let received = round.received(|frame, _| frame.kind == PING && frame.has(ACK));
            received && only_libp2p_objects(round, difference)
        },
    },
    Allowance {
        name: "libp2p treats a ping as a request unless it has ACK set",
        quote: "Spec: \"SYN … Also sent with a ping to indicate outbound\"",
        right: Right::Wirenet,
        then: Then::Continue,
        explains: |round, difference| {
            let asked = |is: fn(u16) -> bool| -> Vec<u32> {
                let pings = round.frames.iter().map(|(frame, _)| frame);
                let pings = pings.filter(|frame| frame.kind == PING && is(frame.flags));
                pings.map(|frame| frame.length).collect()
            };
            let by_syn = asked(|flags| flags & SYN != 0);
            let by_no_ack = asked(|flags| flags & ACK == 0);
            *difference == Difference::Pongs(by_syn, by_no_ack)
        },
    },
    Allowance {
        name: "libp2p ends the connection when a stream exceeds the limit, even one of its own",
        quote: "Spec: \"or with the RST flag to reject the stream\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |round, difference| {
            let limited = round.max_streams < Script::MANY;
            let received = round.received(|frame, _| opens(frame));
            let refused = received && round.theirs.away.is_some();
            let tried = round.opens && *difference == Difference::Ended(false, true);
            limited && (refused || tried)
        },
    },
];

/// Returns whether only wirenet regards a frame as a protocol error. wirenet then
/// ignores the frames that arrived in one piece with it, but libp2p does not.
fn only_wirenet_objects(round: &Round, difference: &Difference) -> bool {
    let alone = *difference == Difference::Away(Some(1), None);
    round.ours.away == Some(1) && (alone || round.frames.len() > 1)
}

/// The same with the roles exchanged.
fn only_libp2p_objects(round: &Round, difference: &Difference) -> bool {
    let alone = matches!(difference, Difference::Away(None, Some(_)));
    round.theirs.away.is_some() && (alone || round.frames.len() > 1)
}

/// Returns whether the application may still hold a stream that is gone.
fn is_held(round: &Round) -> bool {
    // Frames that arrive in one piece with the end are processed before the
    // application runs.
    round.behaviour == Behaviour::Ignore || round.frames.len() > 1
}

fn is_gone(view: StreamState) -> bool {
    view.known && !view.is_open()
}

fn is_for_stream(frame: &Frame) -> bool {
    matches!(frame.kind, DATA | WINDOW_UPDATE)
}

fn opens(frame: &Frame) -> bool {
    is_for_stream(frame) && frame.has(SYN)
}
