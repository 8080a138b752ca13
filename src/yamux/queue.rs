//! Frames that wait to be sent, in the order in which they leave, and how many
//! of which kind may wait.
//!
//! It refuses nothing by itself: whoever queues asks first.

use super::{
    capacity::GiveBack,
    frame::{HEADER_LEN, Header},
    inbox::Inbox,
    segment::{SEGMENT, Segment},
};
use std::{collections::VecDeque, mem};

/// Bytes that may wait; from here on writers do. Enough to keep the socket
/// busy while they are woken, and little enough not to add to the latency of
/// other streams.
const LIMIT: usize = 256 * 1024;

/// Bytes from where on no stream is opened. Data leaves off at the limit, and
/// what is beyond are frames without a body, of which each stream has a few.
const FLOODED: usize = 2 * LIMIT;

/// Bytes from where on relays wait. They refill the queue as it is emptied, so
/// there would never be room for others if they might fill it.
const RELAY_LIMIT: usize = LIMIT / 2;

/// Bytes that what a peer sends may make us owe it, in answers. A peer that
/// goes beyond does not read.
const ANSWERS_LIMIT: usize = 64 * 1024;

/// Bytes of a relayed frame that are moved in a buffer of their own, and not
/// copied behind what waits.
const WORTH_MOVING: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Queue {
    /// Goes first: pings, window updates, go-aways.
    control: Vec<u8>,
    /// Whole frames, in the order of their streams' sending.
    data: VecDeque<Segment>,
    /// Bytes in `data`.
    queued: usize,
    /// Bytes of answers in `data`.
    answers: usize,
    /// Bytes of the bodies of all Data frames so far.
    sent: u64,
    /// Those of them that have left the queue.
    taken: u64,
}

/// Bytes of control frames, and segments, for which room is kept while nothing
/// waits. More was for a moment at which much did.
pub(super) const KEPT_CONTROL: usize = 1024;
pub(super) const KEPT_SEGMENTS: usize = 16;

/// Mostly one segment waits; by itself a queue would begin with room for four.
pub(super) fn segments() -> VecDeque<Segment> {
    VecDeque::with_capacity(1)
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

    /// Whether frames wait ahead of data.
    pub(super) fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    /// Bytes of memory that it holds.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> usize {
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

    /// Bytes of the bodies of all Data frames so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Those of them that have left the queue: a frame that is queued now goes behind
    /// them, even ahead of all data.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Queues a frame ahead of all data.
    pub(super) fn push_control(&mut self, header: Header) {
        self.control.extend_from_slice(&header.encode());
    }

    /// Queues a frame without a body, in order with the data.
    pub(super) fn push(&mut self, header: Header) {
        self.tail(HEADER_LEN).put(&header.encode());
        self.queued += HEADER_LEN;
    }

    /// The same, for one that what the peer has sent makes us owe it.
    pub(super) fn push_answer(&mut self, header: Header) {
        self.answers += HEADER_LEN;
        self.push(header);
    }

    /// Queues a Data frame whose body of `len` bytes `fill` appends, after its
    /// header, to the segment it is given.
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

    /// Queues a Data frame with the oldest bytes of an inbox. Large pieces move
    /// over as they are.
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

    /// The segment at the end, with room for `size` bytes more.
    fn tail(&mut self, size: usize) -> &mut Segment {
        if self.data.back().is_none_or(|tail| tail.room() < size) {
            let room = size.max(self.queued).min(SEGMENT);
            self.data.push_back(Segment::with_room(room));
        }
        // Pushed above if it was not there.
        self.data.back_mut().expect("a tail")
    }

    /// Gives all that waits, and keeps the room of what was given before.
    pub(super) fn swap(&mut self, control: &mut Vec<u8>, data: &mut VecDeque<Segment>) {
        mem::swap(&mut self.control, control);
        mem::swap(&mut self.data, data);
        self.taken = self.sent;
        self.queued = 0;
        self.answers = 0;
    }

    /// Gives back the room that a queue without frames does not need.
    pub(super) fn give_back(&mut self) {
        debug_assert!(self.is_empty());
        self.control.give_back(KEPT_CONTROL);
        self.data.give_back(KEPT_SEGMENTS);
    }

    /// Throws away what waits, and gives its memory back.
    pub(super) fn clear(&mut self) {
        self.control = Vec::new();
        self.data = VecDeque::new();
        self.queued = 0;
    }
}
