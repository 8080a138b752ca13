//! In what the two may differ, which sentence decides, and who is right.
//!
//! "Spec" is hashicorp's specification of yamux, "protocol" what wirenet's
//! peers rely on beside it.

use crate::frames::{ACK, DATA, Frame, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE};

use super::application::End;
use super::duel::{Moment, View};
use super::reaction::{Difference, Part};
use super::script::{Manner, Script};

/// What becomes of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Both are in the same state all the same.
    GoOn,
    /// They are not: there is nothing to compare any more.
    Stop,
}

/// Who does what the sentence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Wirenet,
    /// The sentence leaves it open.
    Both,
}

pub struct Allowance {
    pub name: &'static str,
    pub says: &'static str,
    pub right: Right,
    pub then: Then,
    pub explains: fn(&Moment, &Difference) -> bool,
}

/// The first that explains a difference counts.
pub const ALLOWANCES: &[Allowance] = &[
    Allowance {
        name: "libp2p acknowledges a stream with its first own frame, or never",
        says: "Spec: \"The receiver must then reply with either a data or window update frame \
               with the StreamID along with the ACK flag to accept the stream or with the RST flag\"",
        right: Right::Wirenet,
        then: Then::GoOn,
        explains: |_, difference| {
            matches!(difference, Difference::Stream(_, Part::Ack(true, false)))
        },
    },
    Allowance {
        name: "libp2p's reader sees the same end after a reset as after a FIN",
        says: "Spec: \"Clients should be prepared to handle this by checking for an error that \
               indicates a RST was received\"",
        right: Right::Wirenet,
        then: Then::GoOn,
        explains: |_, difference| {
            matches!(
                difference,
                Difference::Stream(_, Part::End(Some(_), Some(End::Untold)))
            )
        },
    },
    Allowance {
        name: "libp2p goes on after its own go away for a protocol error",
        says: "Protocol: \"Data beyond the window that was granted is a protocol error: Go Away 1, \
               then close\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |moment, difference| {
            let told = moment.ours.away == Some(1) && moment.theirs.away == Some(1);
            told && *difference == Difference::Ended(true, false)
        },
    },
    Allowance {
        name: "libp2p ends without a go away at a header that is none, or announces too much",
        says: "Spec: \"When a session is being terminated, the Go Away message should be sent\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |moment, difference| {
            let too_much = moment.came(|frame, _| frame.kind == DATA && frame.length > 1 << 20);
            let ended = moment.theirs.ended && moment.theirs.away.is_none();
            let told = *difference == Difference::Away(Some(1), None);
            // wirenet skips what is for a stream that is gone, up to 16 MiB.
            let skipped = too_much && *difference == Difference::Ended(false, true);
            ended && (moment.garbage || too_much) && (told || skipped || moment.frames.len() > 1)
        },
    },
    Allowance {
        name: "libp2p ends the connection, and every stream, at a go away in good order",
        says: "Spec: \"0x0 Normal termination\"; streams that are open go on with hashicorp/yamux",
        right: Right::Both,
        then: Then::Stop,
        explains: |moment, difference| {
            let came =
                moment.came(|frame, _| (frame.kind, frame.stream, frame.length) == (GO_AWAY, 0, 0));
            // What came at once with it, libp2p has not looked at.
            let alone = *difference == Difference::Ended(false, true);
            came && moment.theirs.ended && (alone || moment.frames.len() > 1)
        },
    },
    Allowance {
        name: "libp2p takes pings and go aways on any stream",
        says: "Spec: \"Both Ping and Go Away messages should always use the 0 StreamID\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |moment, difference| {
            let came =
                moment.came(|frame, _| matches!(frame.kind, PING | GO_AWAY) && frame.stream != 0);
            came && only_wirenet_objects(moment, difference)
        },
    },
    Allowance {
        name: "libp2p skips data and window updates on stream 0, and as a client lets it be opened",
        says: "Spec: \"the 0 ID is reserved to represent the session\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |moment, difference| {
            let came = moment.came(|frame, _| is_for_stream(frame) && frame.stream == 0);
            came && only_wirenet_objects(moment, difference)
        },
    },
    Allowance {
        name: "libp2p takes data after a FIN, and delivers it behind the end",
        says: "Spec: \"This does a half-close indicating the sender will send no further data\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |moment, difference| {
            let came = moment.came(|frame, view| {
                frame.kind == DATA && frame.length > 0 && view.peer_fin && view.is_open()
            });
            came && only_wirenet_objects(moment, difference)
        },
    },
    Allowance {
        name: "libp2p takes a SYN with RST for a RST alone, on any stream",
        says: "Protocol: \"A second SYN for a stream that is open is a protocol error\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |moment, difference| {
            let came = moment.came(|frame, view| {
                let wrong = view.is_open() || !moment.is_peers(frame.stream);
                opens(frame) && frame.has(RST) && wrong
            });
            came && only_wirenet_objects(moment, difference)
        },
    },
    Allowance {
        name: "libp2p never shows a stream that came with SYN and RST at once",
        says: "Spec: \"SYN - Signals the start of a new stream\", \"RST - Reset a stream immediately\"",
        right: Right::Both,
        then: Then::GoOn,
        explains: |moment, difference| {
            let Difference::Stream(id, part) = difference else {
                return false;
            };
            let at_once = moment.frames.iter().filter(|(frame, view)| {
                opens(frame) && frame.has(RST) && frame.stream == *id && !view.is_open()
            });
            let came = at_once.count() as u32;
            let shown = match part {
                Part::Accepted(ours, theirs) => *ours > *theirs && ours - theirs <= came,
                Part::End(ours, theirs) => (*ours, *theirs) == (Some(End::Broken), None),
                Part::Rst(ours, theirs) => *ours && !theirs,
                _ => false,
            };
            came > 0 && shown
        },
    },
    Allowance {
        name: "libp2p takes an id that was used for a new stream only once the application has \
               dropped the old one",
        says: "Spec: \"an initial data or window update frame is sent with a new StreamID\"",
        right: Right::Both,
        then: Then::Stop,
        explains: |moment, difference| {
            let came = moment.came(|frame, view| opens(frame) && is_gone(view));
            came && is_held(moment) && only_libp2p_objects(moment, difference)
        },
    },
    Allowance {
        name: "libp2p delivers data that comes after a reset, until the application drops the stream",
        says: "Spec: \"RST - Reset a stream immediately\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |moment, difference| {
            let late = |id: Option<u32>| {
                moment.came(|frame, view| {
                    let its = id.is_none_or(|id| id == frame.stream);
                    frame.kind == DATA && its && is_gone(view)
                })
            };
            match difference {
                Difference::Stream(id, Part::Delivered(ours, theirs)) => {
                    ours < theirs && late(Some(*id))
                }
                // A body that came with the reset was skipped: there is a gap.
                Difference::Breaches(ours, _) => ours.is_empty() && late(None),
                _ => false,
            }
        },
    },
    Allowance {
        name: "libp2p minds the window of a stream that is gone until the application drops it",
        says: "Protocol: \"A frame for a stream that is gone (reset, or both halves closed) is not \
               an error: its body is skipped\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |moment, difference| {
            let came = moment
                .came(|frame, view| is_for_stream(frame) && frame.length > 0 && is_gone(view));
            came && is_held(moment) && only_libp2p_objects(moment, difference)
        },
    },
    Allowance {
        name: "libp2p ends the connection at a pong that it did not ask for",
        says: "Spec: \"Ping - Contains an opaque value, echoed back\"",
        right: Right::Both,
        then: Then::Stop,
        explains: |moment, difference| {
            let came = moment.came(|frame, _| frame.kind == PING && frame.has(ACK));
            came && only_libp2p_objects(moment, difference)
        },
    },
    Allowance {
        name: "libp2p takes a ping for a question unless it says ACK",
        says: "Spec: \"SYN … Also sent with a ping to indicate outbound\"",
        right: Right::Wirenet,
        then: Then::GoOn,
        explains: |moment, difference| {
            let asked = |is: fn(u16) -> bool| -> Vec<u32> {
                let pings = moment.frames.iter().map(|(frame, _)| frame);
                let pings = pings.filter(|frame| frame.kind == PING && is(frame.flags));
                pings.map(|frame| frame.length).collect()
            };
            let by_syn = asked(|flags| flags & SYN != 0);
            let by_no_ack = asked(|flags| flags & ACK == 0);
            *difference == Difference::Pongs(by_syn, by_no_ack)
        },
    },
    Allowance {
        name: "libp2p ends the connection at a stream too many, its own too",
        says: "Spec: \"or with the RST flag to reject the stream\"",
        right: Right::Wirenet,
        then: Then::Stop,
        explains: |moment, difference| {
            let limited = moment.max_streams < Script::MANY;
            let came = moment.came(|frame, _| opens(frame));
            let refused = came && moment.theirs.away.is_some();
            let tried = moment.opens && *difference == Difference::Ended(false, true);
            limited && (refused || tried)
        },
    },
];

/// What came at once with a frame to which one side alone objects, that side has
/// not looked at, and the other has.
fn only_wirenet_objects(moment: &Moment, difference: &Difference) -> bool {
    let alone = *difference == Difference::Away(Some(1), None);
    moment.ours.away == Some(1) && (alone || moment.frames.len() > 1)
}

fn only_libp2p_objects(moment: &Moment, difference: &Difference) -> bool {
    let alone = matches!(difference, Difference::Away(None, Some(_)));
    moment.theirs.away.is_some() && (alone || moment.frames.len() > 1)
}

/// Whether the application may have a stream that is gone.
fn is_held(moment: &Moment) -> bool {
    // What comes at once with the end is before the application.
    moment.manner == Manner::Ignore || moment.frames.len() > 1
}

fn is_gone(view: View) -> bool {
    view.known && !view.is_open()
}

fn is_for_stream(frame: &Frame) -> bool {
    matches!(frame.kind, DATA | WINDOW_UPDATE)
}

fn opens(frame: &Frame) -> bool {
    is_for_stream(frame) && frame.has(SYN)
}
