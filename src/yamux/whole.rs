//! Where the frames end that lie in a stream's inbox, for a relay that passes
//! them on whole. Pure.

use super::window::INITIAL_WINDOW;
use std::collections::VecDeque;

/// Frames are merged up to this size as they come, so that many tiny ones cost
/// little; and what is merged has to have credit as a whole, so not beyond.
const MERGED: u32 = 2 * 1024;

/// Frames are passed on together up to this size.
const TOGETHER: u32 = 64 * 1024;

/// A frame that is larger is cut, whatever the credit: others wait behind it,
/// and a peer decides how large it is. Who needs frames whole has no larger window.
const LARGEST: u32 = INITIAL_WINDOW;

/// Where to cut a frame that has no room: given the bytes from its beginning on
/// and the room, the length of its first part; 0 if it cannot be cut there.
pub(crate) type Cut = fn(&mut dyn Iterator<Item = &[u8]>, usize) -> usize;

/// The frames in an inbox, in bytes.
///
/// Invariant: all of them together are what lies in the inbox.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// Frames that have come whole, oldest first.
    frames: VecDeque<u32>,
    /// Bytes of the frame that is coming in.
    partial: u32,
    /// More of it is to come.
    midway: bool,
}

impl Whole {
    /// Bytes have come, which `end` a frame or do not.
    pub(super) fn arrive(&mut self, count: u32, end: bool) {
        self.partial += count;
        self.midway = !end;
        if !end {
            return;
        }
        let frame = std::mem::take(&mut self.partial);
        match self.frames.back_mut() {
            Some(last) if *last + frame <= MERGED => *last += frame,
            _ => self.frames.push_back(frame),
        }
    }

    /// Bytes were taken out.
    pub(super) fn take(&mut self, mut count: u32) {
        while let Some(frame) = self.frames.front_mut() {
            let piece = count.min(*frame);
            *frame -= piece;
            count -= piece;
            if *frame > 0 {
                return;
            }
            self.frames.pop_front();
        }
        self.partial -= count;
    }

    /// Bytes were put back. They may end inside of a frame, so they go with
    /// what follows.
    pub(super) fn put_back(&mut self, count: u32) {
        match self.frames.front_mut() {
            Some(first) => *first += count,
            None if self.midway => self.partial += count,
            None if count > 0 => self.frames.push_back(count),
            None => {}
        }
    }

    /// How many bytes to pass on next, with so much credit: whole frames. If
    /// already the first has no room, or is too large, as much of it as `cut`
    /// says for the room there is; and if that is nothing, it waits for more
    /// credit, unless there is so much already that none may come.
    pub(super) fn next(&self, credit: u32, cut: impl FnOnce(u32) -> u32) -> Option<u32> {
        let first = *self.frames.front()?;
        let most = credit.min(LARGEST);
        if first > most {
            let part = match cut(most) {
                0 if credit >= INITIAL_WINDOW / 2 => most,
                part => part,
            };
            return (part > 0).then_some(part);
        }
        let room = credit.min(TOGETHER);
        let mut sum = first;
        for frame in self.frames.iter().skip(1) {
            match sum.checked_add(*frame) {
                Some(more) if more <= room => sum = more,
                _ => break,
            }
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(frames: &[u32]) -> Whole {
        let mut whole = Whole::default();
        for frame in frames {
            whole.arrive(*frame, true);
        }
        whole
    }

    #[test]
    fn a_frame_is_passed_on_when_it_has_come_whole() {
        let mut whole = Whole::default();
        whole.arrive(100, false);
        assert_eq!(whole.next(1000, |_| 0), None);
        whole.arrive(20, true);
        assert_eq!(whole.next(1000, |_| 0), Some(120));
        whole.take(120);
        assert_eq!(whole.next(1000, |_| 0), None);
    }

    #[test]
    fn tiny_frames_are_merged_and_large_ones_are_not() {
        let mut merged = whole(&[1; 1000]);
        assert_eq!(merged.frames, [1000]);
        merged.arrive(MERGED, true);
        assert_eq!(merged.frames, [1000, MERGED]);
    }

    #[test]
    fn as_many_frames_as_have_credit_go_together() {
        let frames = whole(&[MERGED; 50]);
        assert_eq!(frames.next(INITIAL_WINDOW, |_| 0), Some(TOGETHER));
        assert_eq!(frames.next(3 * MERGED - 1, |_| 0), Some(2 * MERGED));
        assert_eq!(frames.next(MERGED - 1, |_| 0), None);
        let large = whole(&[100, TOGETHER + 1, 1]);
        assert_eq!(large.next(INITIAL_WINDOW, |_| 0), Some(100));
    }

    #[test]
    fn a_frame_without_credit_for_it_is_cut_where_it_can_be() {
        let frames = whole(&[INITIAL_WINDOW]);
        assert_eq!(frames.next(3_000, |_| 2_056), Some(2_056));
        assert_eq!(frames.next(INITIAL_WINDOW / 2, |_| 7), Some(7));
    }

    #[test]
    fn a_frame_without_credit_for_it_waits_unless_no_more_may_come() {
        let frames = whole(&[INITIAL_WINDOW]);
        assert_eq!(frames.next(INITIAL_WINDOW / 2 - 1, |_| 0), None);
        assert_eq!(
            frames.next(INITIAL_WINDOW - 1, |_| 0),
            Some(INITIAL_WINDOW - 1)
        );
        assert_eq!(frames.next(INITIAL_WINDOW, |_| 0), Some(INITIAL_WINDOW));
    }

    #[test]
    fn a_large_frame_is_cut_however_much_credit_there_is() {
        for frame in [LARGEST + 1, 16 << 20] {
            let frames = whole(&[frame]);
            assert_eq!(frames.next(u32::MAX, |room| room - 9), Some(LARGEST - 9));
            assert_eq!(frames.next(u32::MAX, |_| 0), Some(LARGEST));
        }
    }

    #[test]
    fn what_is_put_back_goes_with_what_follows() {
        let mut frames = whole(&[50, MERGED]);
        frames.take(30);
        frames.put_back(10);
        assert_eq!(frames.frames, [30, MERGED]);
        let mut coming = Whole::default();
        coming.arrive(7, false);
        coming.take(5);
        coming.put_back(3);
        assert_eq!((coming.frames.len(), coming.partial), (0, 5));
        coming.take(5);
        coming.put_back(4);
        assert_eq!(coming.next(100, |_| 0), None);
        coming.arrive(6, true);
        assert_eq!(coming.next(100, |_| 0), Some(10));
        let mut alone = Whole::default();
        alone.put_back(9);
        assert_eq!(alone.next(9, |_| 0), Some(9));
    }
}
