//! Flow control: how much may be sent, how much may be received, and when the
//! receive window grows. Pure: time is an argument, arithmetic is checked.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// The window that every stream starts with, each way, in bytes.
pub const INITIAL_WINDOW: u32 = 262_144;

/// A peer's number that does not fit the window it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowViolation;

/// What the peer allows us to send.
#[derive(Debug)]
pub(crate) struct SendWindow {
    credit: u32,
}

impl SendWindow {
    pub(crate) fn new() -> Self {
        Self {
            credit: INITIAL_WINDOW,
        }
    }

    pub(crate) fn credit(&self) -> u32 {
        self.credit
    }

    /// Takes `count` bytes of credit; the caller has looked at
    /// [`credit`](Self::credit).
    pub(crate) fn take(&mut self, count: u32) {
        debug_assert!(count <= self.credit);
        self.credit = self.credit.saturating_sub(count);
    }

    /// Adds what the peer granted.
    pub(crate) fn grant(&mut self, delta: u32) -> Result<(), WindowViolation> {
        self.credit = self.credit.checked_add(delta).ok_or(WindowViolation)?;
        Ok(())
    }
}

/// What the peer may send to us, and what became of what it sent.
///
/// Invariant: `granted + buffered + consumed == size`.
#[derive(Debug)]
pub(crate) struct RecvWindow {
    /// The whole window.
    size: u32,
    /// What the peer may still send.
    granted: u32,
    /// Received and not yet read.
    buffered: u32,
    /// Read since the last update was sent.
    consumed: u32,
    /// When the last update was sent, or the first byte came.
    since: Option<Instant>,
    /// Bytes of the budget that growth has taken.
    grown: usize,
}

/// What growth of a receive window depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning<'a> {
    pub(crate) now: Instant,
    /// The smallest round trip seen: a larger one may have waited behind the
    /// very bytes that a larger window would let in.
    pub(crate) round_trip: Option<Duration>,
    /// The size at which a window stops growing.
    pub(crate) max: u32,
    /// What all of the connection's windows may grow by.
    pub(crate) budget: &'a Budget,
}

impl RecvWindow {
    pub(crate) fn new() -> Self {
        Self {
            size: INITIAL_WINDOW,
            granted: INITIAL_WINDOW,
            buffered: 0,
            consumed: 0,
            since: None,
            grown: 0,
        }
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// Books `count` bytes that the peer sends.
    pub(crate) fn receive(&mut self, count: u32, now: Instant) -> Result<(), WindowViolation> {
        self.granted = self.granted.checked_sub(count).ok_or(WindowViolation)?;
        self.buffered += count;
        self.since.get_or_insert(now);
        Ok(())
    }

    /// Books `count` bytes that were read. Once half of the window has been,
    /// says by how much to update the peer's.
    pub(crate) fn consume(&mut self, count: u32, tuning: Tuning<'_>) -> Option<u32> {
        debug_assert!(count <= self.buffered);
        self.buffered -= count;
        self.consumed += count;
        if self.consumed < self.size / 2 {
            return None;
        }
        let growth = self.growth(tuning);
        let delta = self.consumed + growth;
        self.size += growth;
        self.grown += growth as usize;
        self.granted += delta;
        self.consumed = 0;
        self.since = Some(tuning.now);
        Some(delta)
    }

    /// The window limits the speed where half of it is read in less than two
    /// round trips; then it doubles.
    fn growth(&self, tuning: Tuning<'_>) -> u32 {
        let (Some(round_trip), Some(since)) = (tuning.round_trip, self.since) else {
            return 0;
        };
        let growth = self.size.min(tuning.max.saturating_sub(self.size));
        let limits_speed = tuning.now.saturating_duration_since(since) < round_trip * 2;
        if limits_speed && growth > 0 && tuning.budget.reserve(growth as usize) {
            growth
        } else {
            0
        }
    }

    /// How far the window has grown: the stream is gone, and the budget gets
    /// it back, once.
    pub(crate) fn take_grown(&mut self) -> usize {
        std::mem::take(&mut self.grown)
    }
}

/// Bytes by which a connection's windows may grow beyond their initial size,
/// all together.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            left: AtomicUsize::new(bytes),
        }
    }

    fn reserve(&self, bytes: usize) -> bool {
        // A count of its own: nothing else is read on the strength of it.
        self.left
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: u32 = 16 << 20;

    fn tuning(now: Instant, round_trip: Option<Duration>, budget: &Budget) -> Tuning<'_> {
        Tuning {
            now,
            round_trip,
            max: MAX,
            budget,
        }
    }

    fn assert_invariant(window: &RecvWindow) {
        let parts = [window.granted, window.buffered, window.consumed];
        assert_eq!(
            parts.iter().map(|part| u64::from(*part)).sum::<u64>(),
            u64::from(window.size)
        );
    }

    #[test]
    fn an_update_comes_when_half_of_the_window_was_read() {
        let (now, budget) = (Instant::now(), Budget::new(0));
        let mut window = RecvWindow::new();
        window.receive(INITIAL_WINDOW, now).unwrap();
        let half = INITIAL_WINDOW / 2;
        assert_eq!(window.consume(half - 1, tuning(now, None, &budget)), None);
        assert_eq!(window.consume(1, tuning(now, None, &budget)), Some(half));
    }

    #[test]
    fn data_beyond_the_window_is_a_violation() {
        let mut window = RecvWindow::new();
        let now = Instant::now();
        window.receive(INITIAL_WINDOW, now).unwrap();
        assert_eq!(window.receive(1, now), Err(WindowViolation));
    }

    #[test]
    fn a_window_doubles_only_where_it_limits_the_speed() {
        let round_trip = Duration::from_millis(100);
        let start = Instant::now();
        let half = INITIAL_WINDOW / 2;
        for (elapsed, doubled) in [(199, true), (200, false)] {
            let budget = Budget::new(MAX as usize);
            let mut window = RecvWindow::new();
            window.receive(half, start).unwrap();
            let now = start + Duration::from_millis(elapsed);
            let delta = window.consume(half, tuning(now, Some(round_trip), &budget));
            let growth = if doubled { INITIAL_WINDOW } else { 0 };
            assert_eq!(delta, Some(half + growth));
            assert_eq!(window.take_grown(), growth as usize);
        }
    }

    #[test]
    fn windows_grow_within_the_budget_and_give_it_back() {
        let (now, budget) = (Instant::now(), Budget::new(INITIAL_WINDOW as usize));
        let grow = || {
            let mut window = RecvWindow::new();
            window.receive(INITIAL_WINDOW, now).unwrap();
            window.consume(
                INITIAL_WINDOW,
                tuning(now, Some(Duration::from_secs(1)), &budget),
            );
            window.take_grown()
        };
        let first = grow();
        assert_eq!(first, INITIAL_WINDOW as usize);
        assert_eq!(grow(), 0);
        budget.release(first);
        assert_eq!(grow(), INITIAL_WINDOW as usize);
    }

    proptest! {
        #[test]
        fn a_send_window_never_goes_negative_nor_overflows(
            steps in prop::collection::vec((any::<bool>(), any::<u32>()), 0..60)
        ) {
            let mut window = SendWindow::new();
            let mut model = u64::from(INITIAL_WINDOW);
            for (grant, amount) in steps {
                if grant {
                    let fits = model + u64::from(amount) <= u64::from(u32::MAX);
                    prop_assert_eq!(window.grant(amount).is_ok(), fits);
                    if fits { model += u64::from(amount); }
                } else {
                    let take = amount.min(window.credit());
                    window.take(take);
                    model -= u64::from(take);
                }
                prop_assert_eq!(u64::from(window.credit()), model);
            }
        }

        #[test]
        fn a_receive_window_keeps_its_sum_and_never_passes_its_maximum(
            steps in prop::collection::vec((any::<bool>(), any::<u32>(), 0u64..300), 0..200),
            budget in 0usize..(64 << 20),
        ) {
            let (mut now, budget) = (Instant::now(), Budget::new(budget));
            let mut window = RecvWindow::new();
            for (receive, amount, millis) in steps {
                now += Duration::from_millis(millis);
                if receive {
                    let before = window.granted;
                    prop_assert_eq!(window.receive(amount % (1 << 21), now).is_ok(), amount % (1 << 21) <= before);
                } else {
                    let count = amount.min(window.buffered);
                    window.consume(count, tuning(now, Some(Duration::from_millis(100)), &budget));
                }
                assert_invariant(&window);
                prop_assert!(window.size() <= MAX);
            }
        }
    }
}
