//! The bytes of a stream that are received and not yet read. The connection's
//! reader appends them, and the stream's reader removes them.
//!
//! The receive window of the stream bounds the inbox. Small frames are appended to
//! the last segment, so that an inbox takes no more than about twice the memory of
//! its bytes, even if the peer sends single bytes.

use super::segment::{SEGMENT, Segment};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    segments: VecDeque<Segment>,
    len: usize,
}

impl Inbox {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns how many bytes of memory the inbox takes.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn memory(&self) -> usize {
        self.segments.iter().map(Segment::capacity).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(tail) = self.segments.back_mut() {
            let taken = tail.append(bytes);
            bytes = &bytes[taken..];
        }
        while !bytes.is_empty() {
            // As large as the buffered bytes, so that the capacity doubles.
            let room = bytes.len().max(self.len - bytes.len()).min(SEGMENT);
            let mut segment = Segment::with_room(room);
            let taken = segment.append(bytes);
            bytes = &bytes[taken..];
            self.segments.push_back(segment);
        }
    }

    /// Appends a whole segment, without copying.
    pub(crate) fn push_segment(&mut self, segment: Segment) {
        self.len += segment.len();
        self.segments.push_back(segment);
    }

    /// Puts a segment back at the front.
    pub(crate) fn put_back(&mut self, segment: Segment) {
        if !segment.is_empty() {
            self.len += segment.len();
            self.segments.push_front(segment);
        }
    }

    /// Returns the oldest bytes, up to the end of their segment.
    pub(crate) fn front(&self) -> &[u8] {
        self.segments.front().map_or(&[], Segment::data)
    }

    /// Returns all bytes, oldest first.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().map(Segment::data)
    }

    /// Removes `count` of the bytes in [`front`](Self::front).
    pub(crate) fn consume_front(&mut self, count: usize) {
        let Some(front) = self.segments.front_mut() else {
            return;
        };
        front.consume(count);
        self.len -= count;
        if front.is_empty() {
            self.segments.pop_front();
        }
    }

    /// Removes the oldest `count` bytes. The inbox must hold at least as many.
    pub(crate) fn skip(&mut self, mut count: usize) {
        while count > 0 {
            let piece = self.front().len().min(count);
            self.consume_front(piece);
            count -= piece;
        }
    }

    /// Removes and returns the oldest segment.
    pub(crate) fn pop(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front()?;
        self.len -= segment.len();
        Some(segment)
    }

    /// Moves the oldest bytes to `buf`, and returns how many were moved.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> usize {
        let mut count = 0;
        while let Some(front) = self.segments.front_mut() {
            let piece = front.len().min(buf.len() - count);
            buf[count..count + piece].copy_from_slice(&front.data()[..piece]);
            front.consume(piece);
            count += piece;
            if !front.is_empty() {
                break;
            }
            self.segments.pop_front();
        }
        self.len -= count;
        count
    }

    /// Discards all bytes, and returns how many there were.
    pub(crate) fn clear(&mut self) -> usize {
        self.segments.clear();
        std::mem::take(&mut self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_of_one_byte_take_about_twice_their_size() {
        let mut inbox = Inbox::default();
        for _ in 0..262_144 {
            inbox.push(&[1]);
        }
        let held = inbox.memory();
        assert!(held <= 2 * 262_144 + SEGMENT, "{held}");
    }

    #[test]
    fn clear_removes_and_counts_all_bytes() {
        let mut inbox = Inbox::default();
        inbox.push(&[1; 100_000]);
        assert_eq!(inbox.clear(), 100_000);
        assert!(inbox.is_empty());
        assert!(inbox.pop().is_none());
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(
            steps in prop::collection::vec((any::<bool>(), 0usize..90_000), 1..30)
        ) {
            let mut inbox = Inbox::default();
            let (mut written, mut read) = (0usize, 0usize);
            let byte = |index: usize| (index % 251) as u8;
            for (push, count) in steps {
                if push {
                    let bytes: Vec<u8> = (written..written + count).map(byte).collect();
                    inbox.push(&bytes);
                    written += count;
                } else {
                    let mut buf = vec![0; count];
                    let got = inbox.read(&mut buf);
                    prop_assert_eq!(got, count.min(written - read));
                    prop_assert!(buf[..got].iter().enumerate().all(|(i, b)| *b == byte(read + i)));
                    read += got;
                }
                prop_assert_eq!(inbox.len(), written - read);
            }
            while let Some(segment) = inbox.pop() {
                prop_assert!(segment.data().iter().enumerate().all(|(i, b)| *b == byte(read + i)));
                read += segment.len();
            }
            prop_assert_eq!(read, written);
        }
    }
}
