//! The queue of frames to send, in their order, and its limits.
//!
//! The queue does not enforce the limits: the caller checks them before it queues
//! a frame.

use super::{
    capacity::GiveBack,
    frame::{HEADER_LEN, Header},
    inbox::Inbox,
    segment::{SEGMENT, Segment},
};
use std::{collections::VecDeque, mem};

/// From this many queued bytes on, writers wait. Enough to keep the socket busy
/// while they are woken, and little enough not to add to the latency of other
/// streams.
const LIMIT: usize = 256 * 1024;

/// From this many queued bytes on, no stream is opened. Data stops at [`LIMIT`], so
/// the bytes beyond it are frames without a body, of which each stream sends a
/// few.
const FLOODED: usize = 2 * LIMIT;

/// From this many queued bytes on, relays wait. They refill the queue whenever it
/// is emptied; if they might fill it, there would never be room for other writers.
const RELAY_LIMIT: usize = LIMIT / 2;

/// The limit on queued answers to a peer's frames, in bytes. A peer that exceeds it
/// is not reading.
const ANSWERS_LIMIT: usize = 64 * 1024;

/// From this size on, a piece of a relayed frame is moved with its segment, not
/// copied to the end of the queue.
const WORTH_MOVING: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Queue {
    /// Frames that are sent first: pings, window updates, go-aways.
    control: Vec<u8>,
    /// Whole frames, in the order in which they were queued.
    data: VecDeque<Segment>,
    /// The bytes in `data`.
    queued: usize,
    /// The bytes of answers in `data`.
    answers: usize,
    /// The bytes of the bodies of all Data frames that were ever queued.
    sent: u64,
    /// The part of `sent` that has left the queue.
    taken: u64,
}

/// The capacities that an empty queue keeps for control frames, in bytes, and for
/// segments. Larger capacities are freed.
pub(super) const IDLE_CONTROL: usize = 1024;
const IDLE_SEGMENTS: usize = 16;

/// Makes a queue with room for one segment, which usually suffices; a `VecDeque`
/// would otherwise start with room for four.
pub(super) fn segments() -> VecDeque<Segment> {
    VecDeque::with_capacity(1)
}

/// Frees the memory of an empty queue of segments that has grown.
pub(super) fn give_back(segments: &mut VecDeque<Segment>) {
    segments.give_back(IDLE_SEGMENTS);
    if segments.capacity() == 0 {
        *segments = self::segments();
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            control: Vec::new(),
            data: segments(),
            queued: 0,
            answers: 0,
            sent: 0,
            taken: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.data.is_empty()
    }

    /// Returns whether control frames are queued.
    pub(super) fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    /// Returns how many bytes of memory the queue takes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn memory(&self) -> usize {
        let data = self.data.iter().map(Segment::capacity);
        self.control.capacity() + data.sum::<usize>()
    }

    pub(super) fn is_full(&self) -> bool {
        self.queued >= LIMIT
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.queued >= FLOODED
    }

    pub(super) fn is_full_for_relays(&self) -> bool {
        self.queued >= RELAY_LIMIT
    }

    pub(super) fn is_full_of_answers(&self) -> bool {
        self.answers >= ANSWERS_LIMIT
    }

    pub(super) fn is_full_of_control(&self) -> bool {
        self.control.len() >= ANSWERS_LIMIT
    }

    pub(super) fn has_room_for_grants(&self) -> bool {
        self.control.len() < ANSWERS_LIMIT / 4
    }

    /// Returns the bytes of the bodies of all Data frames that were ever queued.
    pub(super) fn queued_total(&self) -> u64 {
        self.sent
    }

    /// Returns how many bytes of [`sent`](Self::sent) have left the queue. A frame
    /// that is queued now is sent after them, even a control frame.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Queues a frame ahead of all data.
    pub(super) fn push_control(&mut self, header: Header) {
        self.control.extend_from_slice(&header.encode());
    }

    /// Queues a frame without a body, behind the data.
    pub(super) fn push(&mut self, header: Header) {
        self.tail(HEADER_LEN).put(&header.encode());
        self.queued += HEADER_LEN;
    }

    /// Queues an answer to a frame of the peer: a frame without a body.
    pub(super) fn push_answer(&mut self, header: Header) {
        self.answers += HEADER_LEN;
        self.push(header);
    }

    /// Queues a Data frame. `fill` appends its body of `len` bytes to the segment
    /// that it is given.
    pub(super) fn push_data(
        &mut self,
        header: Header,
        len: usize,
        fill: impl FnOnce(&mut Segment),
    ) {
        let size = HEADER_LEN + len;
        let tail = self.tail(size);
        let before = tail.len();
        tail.put(&header.encode());
        fill(tail);
        debug_assert_eq!(tail.len() - before, size);
        self.queued += size;
        self.sent += len as u64;
    }

    /// Queues a Data frame with the oldest bytes of an inbox. Large pieces are moved,
    /// not copied.
    pub(super) fn relay(&mut self, header: Header, inbox: &mut Inbox) {
        let mut left = header.length as usize;
        self.push(header);
        self.queued += left;
        self.sent += left as u64;
        while left > 0 {
            let piece = inbox.front().len().min(left);
            if piece >= WORTH_MOVING && piece == inbox.front().len() {
                self.data.extend(inbox.pop());
            } else {
                self.tail(piece).put(&inbox.front()[..piece]);
                inbox.consume_front(piece);
            }
            left -= piece;
        }
    }

    /// Returns the last segment, with room for `size` more bytes.
    fn tail(&mut self, size: usize) -> &mut Segment {
        if self.data.back().is_none_or(|tail| tail.room() < size) {
            let room = size.max(self.queued).min(SEGMENT);
            self.data.push_back(Segment::with_room(room));
        }
        // Pushed above if there was none.
        self.data.back_mut().expect("a tail")
    }

    /// Swaps all queued frames for the given buffers, which must be empty: the queue
    /// reuses their capacity.
    pub(super) fn swap(&mut self, control: &mut Vec<u8>, data: &mut VecDeque<Segment>) {
        mem::swap(&mut self.control, control);
        mem::swap(&mut self.data, data);
        self.taken = self.sent;
        self.queued = 0;
        self.answers = 0;
    }

    /// Frees capacity that an empty queue does not need.
    pub(super) fn give_back(&mut self) {
        debug_assert!(self.is_empty());
        self.control.give_back(IDLE_CONTROL);
        give_back(&mut self.data);
    }

    /// Discards all queued frames, and frees their memory.
    pub(super) fn clear(&mut self) {
        self.control = Vec::new();
        self.data = VecDeque::new();
        self.queued = 0;
    }
}
