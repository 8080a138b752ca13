//! What a relay passes on at a time.

use crate::yamux::{core::RecvHalf, state::RecvState};

/// What a relay needs to know about the protocol whose bytes it passes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framing {
    /// Returns how many bytes to pass on next, in one frame of at most the given
    /// size: whole units, or a part of a unit that is too large to be buffered. Updates
    /// [`Passed`].
    pub(crate) next: fn(&mut Passed, Buffered<'_, '_>, usize) -> usize,
    /// Data that announces more data. A peer treats a stream that ends right after
    /// it as truncated, even between two units.
    pub(crate) cut_short: &'static [u8],
}

/// The position in one direction: how far its bytes were passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// How many bytes are missing of a unit that was passed on in part.
    pub(crate) left: u32,
    /// Whether a message has begun and not ended.
    pub(crate) in_message: bool,
}

/// The bytes that have been received and not yet passed on.
pub(crate) struct Buffered<'a, 'b> {
    pub(crate) pieces: &'a mut dyn Iterator<Item = &'b [u8]>,
    /// The length of all pieces together.
    pub(crate) len: usize,
    /// Whether nothing follows.
    pub(crate) ended: bool,
}

impl Framing {
    /// Returns how many of the received bytes to pass on next, with this much
    /// credit.
    pub(super) fn next_of(&self, recv: &RecvHalf, credit: u32, passed: &mut Passed) -> u32 {
        let buffered = Buffered {
            pieces: &mut recv.inbox.pieces(),
            len: recv.inbox.len(),
            ended: recv.state == RecvState::Finished,
        };
        // Some credit is kept for aborting the stream.
        let room = (credit as usize).saturating_sub(self.cut_short.len());
        // No more than the room, which is a u32.
        (self.next)(passed, buffered, room) as u32
    }
}
