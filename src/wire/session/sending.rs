//! The sending side of a named stream: the state of the message that is being sent,
//! and how much of it the next frame carries. Pure: [`StreamInner`] sends the frames.
//!
//! [`StreamInner`]: super::stream_inner::StreamInner

use crate::{
    sync::thread::{self, ThreadId},
    wire::session::chunk::{CUT_SHORT, END, HEAD, encode, encoded_len, payload_for},
    yamux::segment::Segment,
};
use std::io;

/// Identifies one handle among those of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandleId(pub(super) u32);

/// The thread and the handle that last wrote to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Author {
    thread: ThreadId,
    handle: HandleId,
}

impl Author {
    /// The current thread, which writes through `handle`.
    pub(super) fn current(handle: HandleId) -> Self {
        let thread = thread::current().id();
        Self { thread, handle }
    }

    /// Returns whether this is the current thread.
    pub(super) fn is_current_thread(self) -> bool {
        self.thread == thread::current().id()
    }

    /// Returns whether the author wrote through another handle than `handle`.
    pub(super) fn used_other_handle(self, handle: HandleId) -> bool {
        self.handle != handle
    }
}

/// The state of the message that is being sent.
///
/// ```text
///            part sent            write fails                     finish
///  Between ────────────▶ Inside ───────────────▶ Failed, begun ──────────▶ Broken
///   │  ▲                  │  ▲                        │
///   │  └──── end sent ────┘  └── resume, part sent ───┘
///   │
///   │ write fails                     part sent
///   └─────────────▶ Failed, not begun ──────────▶ Inside
/// ```
///
/// `Broken` is final. A message also gets there when `finish` is called in either `Failed`
/// state, when `write_message` fails after a part was sent, and when its `Writer` is
/// dropped unfinished. A `write_message` that succeeds leads from `Failed` (if begun, only
/// after `resume`) to `Between`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutgoingMessage {
    /// Nothing of the message was sent.
    #[default]
    Between,
    /// A part of the message was sent, but not its end.
    Inside(Author),
    /// The last write failed with an error of this kind. Bytes would be missing if the
    /// message ended here.
    Failed {
        kind: io::ErrorKind,
        /// Whether a part of the message was sent before. If so, nothing more is sent
        /// unless the caller has called `resume`.
        begun: bool,
        resumed: bool,
    },
    /// A part of the message was sent, and the rest cannot be sent, so it can never
    /// be complete.
    Broken,
}

impl OutgoingMessage {
    /// Notes that a write to the message failed.
    pub(super) fn fail(&mut self, error: &io::Error) {
        let begun = match self {
            Self::Broken => return,
            // The first failure is the cause.
            Self::Failed {
                begun: true,
                resumed: false,
                ..
            } => return,
            Self::Failed { begun, .. } => *begun,
            Self::Between => false,
            Self::Inside(_) => true,
        };
        *self = Self::Failed {
            kind: error.kind(),
            begun,
            resumed: false,
        };
    }

    /// Returns whether the last write failed, or the message cannot be completed.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Broken)
    }

    /// Returns the kind of the failure after which nothing more is sent unless the caller
    /// calls `resume`.
    pub(super) fn unresumed_failure(&self) -> Option<io::ErrorKind> {
        match *self {
            Self::Failed {
                kind,
                begun: true,
                resumed: false,
            } => Some(kind),
            _ => None,
        }
    }

    /// Lets the message continue after a failed write.
    pub(super) fn resume(&mut self) {
        if let Self::Failed { resumed, .. } = self {
            *resumed = true;
        }
    }
}

/// Whether a frame carries the end mark of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndMark {
    With,
    Without,
}

/// The part of a message that one frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    /// Bytes of the payload.
    pub(super) bytes: usize,
    pub(super) end: EndMark,
}

impl Planned {
    pub(super) const NOTHING: Self = Self {
        bytes: 0,
        end: EndMark::Without,
    };

    /// Plans a frame for a payload of `len` bytes, within `credit`. The end mark is sent
    /// only if it is asked for and the whole payload fits with it.
    pub(super) fn within(credit: usize, len: usize, end: EndMark) -> Self {
        // The rest of the credit is kept for an abort, which never waits.
        let credit = credit.saturating_sub(CUT_SHORT.len());
        let all = Self { bytes: len, end };
        if end == EndMark::With && all.encoded_len() <= credit {
            return all;
        }
        Self {
            bytes: payload_for(credit, len),
            end: EndMark::Without,
        }
    }

    /// Returns the length of the frame's body.
    pub(super) fn encoded_len(self) -> usize {
        let end = match self.end {
            EndMark::With => HEAD,
            EndMark::Without => 0,
        };
        encoded_len(self.bytes) + end
    }

    /// Appends the frame's body to `segment`.
    pub(super) fn fill(self, payload: &[u8], segment: &mut Segment) {
        encode(&payload[..self.bytes], |piece| segment.put(piece));
        if self.end == EndMark::With {
            segment.put(&END);
        }
    }
}

/// Why a message was not ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Incomplete {
    #[error(
        "an earlier write to the message failed, so it is incomplete; call resume, and write \
         the missing bytes again"
    )]
    WriteFailed,
    #[error(
        "the last write to the message failed, so it is incomplete, and the stream was \
         aborted; send the message again on another stream"
    )]
    Missing,
    #[error(
        "only a part of the message was sent, so the stream was aborted; send the message \
         again on another stream"
    )]
    Aborted,
    #[error(
        "another thread wrote last to the message and may not be done; \
         the stream was aborted (call finish first)"
    )]
    OtherThread,
}

impl Incomplete {
    pub(super) fn error(self, kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{wire::session::chunk::CHUNK, yamux::segment::MAX_PAYLOAD};
    use proptest::prelude::*;

    #[test]
    fn a_frame_leaves_credit_for_an_abort() {
        let whole = encoded_len(10) + HEAD;
        let all = Planned {
            bytes: 10,
            end: EndMark::With,
        };
        let with_abort = whole + CUT_SHORT.len();
        assert_eq!(Planned::within(with_abort, 10, EndMark::With), all);
        let without_end = Planned {
            bytes: 10,
            end: EndMark::Without,
        };
        let planned = Planned::within(with_abort - 1, 10, EndMark::With);
        assert_eq!(planned, without_end);
        let planned = Planned::within(HEAD + CUT_SHORT.len() - 1, 0, EndMark::With);
        assert_eq!(planned, Planned::NOTHING);
    }

    #[test]
    fn a_message_continues_after_a_failed_write_only_if_resumed() {
        let error = io::Error::from(io::ErrorKind::TimedOut);
        let failed = |begun, resumed| OutgoingMessage::Failed {
            kind: io::ErrorKind::TimedOut,
            begun,
            resumed,
        };
        let mut message = OutgoingMessage::Between;
        message.resume();
        assert_eq!(message, OutgoingMessage::Between);
        message.fail(&error);
        assert_eq!(message, failed(false, false));

        message = OutgoingMessage::Inside(Author::current(HandleId(0)));
        message.fail(&error);
        assert_eq!(message, failed(true, false));
        // A write that is refused because of the first failure does not replace it.
        message.fail(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(message, failed(true, false));
        message.resume();
        assert_eq!(message, failed(true, true));
        message.fail(&error);
        assert_eq!(message, failed(true, false));

        message = OutgoingMessage::Broken;
        message.fail(&error);
        message.resume();
        assert_eq!(message, OutgoingMessage::Broken);
    }

    proptest! {
        #[test]
        fn a_frame_is_within_the_credit_and_carries_what_was_planned(
            credit in 0usize..200_000,
            len in 0usize..=MAX_PAYLOAD,
            with_end in any::<bool>(),
        ) {
            let end = if with_end { EndMark::With } else { EndMark::Without };
            let planned = Planned::within(credit, len, end);
            prop_assert!(planned.bytes <= len);
            if planned != Planned::NOTHING {
                prop_assert!(planned.encoded_len() + CUT_SHORT.len() <= credit);
            }
            if planned.end == EndMark::With {
                prop_assert!(with_end && planned.bytes == len);
            }
            prop_assert!(planned.bytes == len || planned.bytes.is_multiple_of(CHUNK));
            let mut segment = Segment::with_room(planned.encoded_len());
            planned.fill(&vec![7; len], &mut segment);
            prop_assert_eq!(segment.len(), planned.encoded_len());
        }
    }
}
