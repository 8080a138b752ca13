//! Buffers: one type for outgoing bytes, for received bytes, and for reads of the
//! socket.
//!
//! All large buffers have the same size, and come from a pool that the whole
//! process shares. A free list for each connection would keep hundreds of
//! kilobytes for every connection that was ever busy.

// Not from `crate::sync`: the pool belongs to the process, not to one run of a model.
use parking_lot::Mutex;
use std::io::{self, IoSlice};

/// The most bytes of data that one frame carries. A bulk transfer on one
/// stream delays the others by no more than the time it takes to send this much.
pub(crate) const MAX_PAYLOAD: usize = 64 * 1024;

/// The capacity of a large segment: one full frame, with its header, the lengths of
/// its chunks, and the header of the next frame.
pub(crate) const SEGMENT: usize = MAX_PAYLOAD + MAX_PAYLOAD / 1024 * 4 + 2 * 12;

/// The capacity of the smallest segment.
const MIN_SEGMENT: usize = 128;

/// From this size on, a large segment is used; below, one of the size needed.
const LARGE: usize = 32 * 1024;

/// How many unused large segments the process keeps at most.
const POOLED: usize = 64;

static POOL: SegmentPool = SegmentPool::new();

/// A buffer with data in its middle. Data is consumed at the front and appended at
/// the back.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    /// Always initialized as a whole, so that the socket can be read into it.
    buf: Box<[u8]>,
    start: usize,
    /// Invariant: `start <= end <= buf.len()`.
    end: usize,
}

impl Segment {
    /// Makes an empty segment with room for `count` bytes, up to [`SEGMENT`].
    pub(crate) fn with_room(count: usize) -> Self {
        let buf = if count >= LARGE {
            POOL.take()
        } else {
            zeroed(count.next_power_of_two().max(MIN_SEGMENT))
        };
        Self {
            buf,
            start: 0,
            end: 0,
        }
    }

    /// Makes an empty segment of [`SEGMENT`] bytes.
    pub(crate) fn large() -> Self {
        Self::with_room(SEGMENT)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.buf.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns how many bytes can be appended.
    pub(crate) fn room(&self) -> usize {
        self.buf.len() - self.end
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Removes `count` bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Keeps the first `count` bytes.
    pub(crate) fn truncate(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.end = self.start + count;
    }

    /// Appends as much of `bytes` as there is room for, and returns how much.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        self.buf[self.end..self.end + count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// Appends all of `bytes`. The caller has checked [`room`](Self::room).
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let count = self.append(bytes);
        debug_assert_eq!(count, bytes.len());
    }

    /// Appends the first `count` bytes of `slices`. The caller has checked
    /// [`room`](Self::room).
    pub(crate) fn put_slices(&mut self, slices: &[IoSlice<'_>], mut count: usize) {
        for slice in slices {
            let piece = &slice[..count.min(slice.len())];
            self.put(piece);
            count -= piece.len();
        }
    }

    /// Fills the segment, which must be empty, with one call of `read`, up to
    /// `limit` bytes.
    pub(crate) fn fill(
        &mut self,
        limit: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        debug_assert!(self.is_empty());
        let limit = limit.min(self.buf.len());
        self.start = 0;
        // A transport may return a count larger than its buffer; `end` must not
        // exceed the limit.
        self.end = read(&mut self.buf[..limit])?.min(limit);
        Ok(self.end)
    }
}

/// Returns how many bytes `slices` have. Does not overflow, although several may be the same
/// bytes.
pub(crate) fn total_len(slices: &[IoSlice<'_>]) -> usize {
    slices
        .iter()
        .fold(0, |sum, slice| slice.len().saturating_add(sum))
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.buf.len() == SEGMENT {
            POOL.put(std::mem::take(&mut self.buf));
        }
    }
}

/// Frees the pooled segments that were not needed since the last call.
pub(crate) fn trim_pool() {
    POOL.trim();
}

/// Allows the pool to keep segments while this value exists. Without users the pool
/// keeps nothing, because no connection would trim it.
#[derive(Debug)]
pub(crate) struct PoolUser(());

impl PoolUser {
    pub(crate) fn new() -> Self {
        POOL.free.lock().users += 1;
        Self(())
    }
}

impl Drop for PoolUser {
    fn drop(&mut self) {
        POOL.leave();
    }
}

fn zeroed(len: usize) -> Box<[u8]> {
    vec![0; len].into_boxed_slice()
}

struct SegmentPool {
    free: Mutex<Free>,
}

struct Free {
    segments: Vec<Box<[u8]>>,
    /// The smallest number of pooled segments since the last trim. This many are
    /// not needed.
    least: usize,
    users: usize,
}

impl SegmentPool {
    const fn new() -> Self {
        Self {
            free: Mutex::new(Free {
                segments: Vec::new(),
                least: 0,
                users: 0,
            }),
        }
    }

    fn take(&self) -> Box<[u8]> {
        let mut free = self.free.lock();
        let segment = free.segments.pop();
        free.least = free.least.min(free.segments.len());
        drop(free);
        segment.unwrap_or_else(|| zeroed(SEGMENT))
    }

    fn put(&self, segment: Box<[u8]>) {
        let mut free = self.free.lock();
        if free.segments.len() < POOLED && free.users > 0 {
            free.segments.push(segment);
        }
    }

    /// Removes a user. The last one empties the pool.
    fn leave(&self) {
        let mut free = self.free.lock();
        free.users -= 1;
        let surplus = match free.users {
            0 => std::mem::take(&mut free.segments),
            _ => Vec::new(),
        };
        drop(free);
        drop(surplus);
    }

    fn trim(&self) {
        let mut free = self.free.lock();
        let keep = free.segments.len() - free.least.min(free.segments.len());
        let surplus = free.segments.split_off(keep);
        free.least = free.segments.len();
        drop(free);
        drop(surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_returns_its_bytes_in_order_and_reuses_its_room_when_empty() {
        let mut segment = Segment::with_room(10);
        assert_eq!(segment.capacity(), MIN_SEGMENT);
        assert_eq!(segment.append(b"hello"), 5);
        segment.consume(2);
        assert_eq!(segment.data(), b"llo");
        segment.consume(3);
        assert_eq!(segment.room(), MIN_SEGMENT);
    }

    #[test]
    fn an_append_copies_as_much_as_fits() {
        let mut segment = Segment::with_room(0);
        assert_eq!(segment.append(&[7; 2 * MIN_SEGMENT]), MIN_SEGMENT);
        assert_eq!(segment.append(&[7]), 0);
    }

    #[test]
    fn a_pool_keeps_what_was_needed_since_the_last_trim() {
        let pool = SegmentPool::new();
        pool.free.lock().users = 1;
        for _ in 0..3 {
            pool.put(zeroed(SEGMENT));
        }
        // None of the three was unused since the last trim, so all stay.
        pool.trim();
        assert_eq!(pool.free.lock().segments.len(), 3);
        let needed = pool.take();
        pool.put(needed);
        pool.trim();
        assert_eq!(pool.free.lock().segments.len(), 1);
        pool.trim();
        assert_eq!(pool.free.lock().segments.len(), 0);
    }

    #[test]
    fn a_pool_without_users_keeps_nothing() {
        let pool = SegmentPool::new();
        pool.put(zeroed(SEGMENT));
        assert_eq!(pool.free.lock().segments.len(), 0);
        pool.free.lock().users = 2;
        pool.put(zeroed(SEGMENT));
        pool.leave();
        assert_eq!(pool.free.lock().segments.len(), 1);
        pool.leave();
        assert_eq!(pool.free.lock().segments.len(), 0);
    }
}
