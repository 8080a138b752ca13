//! Flow control: the send window, the receive window, and the growth of the receive
//! window. Pure: time is an argument, and arithmetic is checked.

use super::budget::Budget;
use std::time::{Duration, Instant};

/// The initial window of every stream, in each direction, in bytes.
pub const INITIAL_WINDOW: u32 = 262_144;

/// The shortest round trip that is assumed: waking a thread at both ends takes about
/// as long.
const LEAST_ROUND_TRIP: Duration = Duration::from_micros(100);

/// The shortest period over which the speed is measured. Threads run in bursts, and
/// buffered bytes are read at the speed of memory. Over a shorter period any window
/// would seem too small, and each doubling adds to the latency of the other
/// streams.
const LEAST_PERIOD: Duration = Duration::from_millis(1);

/// The smallest grant of a relay, unless the sender has too little credit to
/// continue. A far peer that grants single bytes thus causes few window updates.
pub(crate) const LEAST_GRANT: u32 = INITIAL_WINDOW / 16;

/// With less credit than this, a sender may be stuck: it may not send smaller
/// pieces, or its data is buffered here until the far peer has room for it.
const TOO_LITTLE: u32 = 4 * 1024;

/// The peer exceeded its window, or made ours overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowViolation;

/// The send window: how much the peer allows us to send.
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

    /// Uses `count` bytes of credit. The caller has checked
    /// [`credit`](Self::credit).
    pub(crate) fn take(&mut self, count: u32) {
        debug_assert!(count <= self.credit);
        self.credit = self.credit.saturating_sub(count);
    }

    /// Adds credit that the peer granted.
    pub(crate) fn grant(&mut self, delta: u32) -> Result<(), WindowViolation> {
        self.credit = self.credit.checked_add(delta).ok_or(WindowViolation)?;
        Ok(())
    }
}

/// The receive window: how much the peer may send, and what became of its data.
///
/// Invariant: `granted + buffered + consumed == size`.
#[derive(Debug)]
pub(crate) struct RecvWindow {
    /// The size of the window.
    size: u32,
    /// How much the peer may still send.
    granted: u32,
    /// How much is received and not yet read.
    buffered: u32,
    /// How much was read since the last window update.
    consumed: u32,
    /// When the period over which the speed is measured began, and how much was read
    /// in it.
    since: Option<Instant>,
    read: u64,
    /// The bytes that growth has reserved from the budget.
    grown: usize,
    /// On a relay: the size of the window regardless of the far connection's
    /// credit; 0 until that credit limits the speed.
    tuned: u32,
}

/// What the growth of a receive window depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning<'a> {
    pub(crate) now: Instant,
    /// The shortest round trip that was measured. A longer one may include time in a
    /// queue behind the bytes that a larger window allows.
    pub(crate) round_trip: Option<Duration>,
    /// The largest size of a window.
    pub(crate) max: u32,
    /// The budget for the growth of all the connection's windows.
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
            read: 0,
            grown: 0,
            tuned: 0,
        }
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// Notes that the peer sent `count` bytes.
    pub(crate) fn receive(
        &mut self,
        count: u32,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), WindowViolation> {
        self.granted = self.granted.checked_sub(count).ok_or(WindowViolation)?;
        self.buffered += count;
        self.since.get_or_insert_with(now);
        Ok(())
    }

    /// Notes that `count` bytes were read. Once about half of the window was read,
    /// returns the delta of the window update to send. `tuning` is called only then.
    pub(crate) fn consume<'a>(
        &mut self,
        count: u32,
        tuning: impl FnOnce() -> Tuning<'a>,
    ) -> Option<u32> {
        debug_assert!(count <= self.buffered);
        self.buffered -= count;
        self.consumed += count;
        self.read += u64::from(count);
        if self.consumed < self.update_at() {
            return None;
        }
        let growth = self.growth(self.size, tuning());
        let delta = self.consumed + growth;
        self.size += growth;
        self.grown += growth as usize;
        self.granted += delta;
        self.consumed = 0;
        Some(delta)
    }

    /// Returns how much must be read before a window update is sent: a little under
    /// half of the window. A sender that sends whole chunks leaves the last bytes of
    /// a window unused, and should still get two updates per window.
    fn update_at(&self) -> u32 {
        self.size / 2 - self.size / 16
    }

    /// Returns by how much the window grows. It doubles when it limits the speed: when
    /// half of it is read in less than two round trips, on average over a period.
    fn growth(&mut self, size: u32, tuning: Tuning<'_>) -> u32 {
        let (Some(round_trip), Some(since)) = (tuning.round_trip, self.since) else {
            return 0;
        };
        let round_trip = round_trip.max(LEAST_ROUND_TRIP);
        let elapsed = tuning.now.saturating_duration_since(since);
        if elapsed < round_trip.max(LEAST_PERIOD) {
            return 0;
        }
        let read = u128::from(std::mem::take(&mut self.read));
        self.since = Some(tuning.now);
        let in_two_round_trips = 2 * read * round_trip.as_nanos() / elapsed.as_nanos();
        let limits_speed = in_two_round_trips > u128::from(size / 2);
        let growth = size.min(tuning.max.saturating_sub(size));
        if limits_speed && growth > 0 && tuning.budget.reserve(growth as usize) {
            growth
        } else {
            0
        }
    }

    /// Switches the window to a relay. The buffered bytes are passed on from now on.
    /// Bytes that were read before are not granted again, and `put_back` of them
    /// count as unread.
    pub(crate) fn begin_relay(&mut self, put_back: u32) {
        self.buffered += put_back;
        self.consumed = 0;
        self.size = self.granted + self.buffered;
    }

    /// Notes that `count` bytes were passed on. [`align`](Self::align) grants them
    /// again.
    pub(crate) fn relayed(&mut self, count: u32) {
        debug_assert!(count <= self.buffered);
        self.buffered -= count;
        self.size -= count;
        self.read += u64::from(count);
    }

    /// Adjusts the size of a relay's window to the `credit` of the far connection,
    /// within the limits of growth. Returns the delta of the window update to send,
    /// if one is due.
    ///
    /// The far peer's window depends only on the round trip of its own connection. If
    /// the round trip of this connection is longer, and the credit limits the speed,
    /// the window grows beyond the credit, and data without credit is buffered here.
    pub(crate) fn align(&mut self, credit: u32, tuning: Tuning<'_>) -> Option<u32> {
        let window = self.tuned.max(INITIAL_WINDOW);
        let growth = self.growth(window, tuning);
        if growth > 0 {
            self.tuned = window + growth;
            self.grown += growth as usize;
        }
        // The sum fits: no window exceeds half the range of a u32.
        let limit = INITIAL_WINDOW + self.grown as u32;
        let credit = credit.min(tuning.max.max(INITIAL_WINDOW));
        let followed = tuning
            .budget
            .reserve_up_to(credit.saturating_sub(limit) as usize);
        self.grown += followed;
        let target = credit.min(limit + followed as u32).max(self.tuned);
        let delta = target.saturating_sub(self.size);
        if delta == 0 || (delta < LEAST_GRANT && self.size >= TOO_LITTLE) {
            return None;
        }
        self.granted += delta;
        self.size += delta;
        Some(delta)
    }

    /// Makes the period over which the speed is measured longer.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn age(&mut self, by: Duration) {
        self.since = self.since.map(|since| since - by);
    }

    /// Panics if the parts do not add up. Returns how much is received and not
    /// read, and how much the window has grown.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self, max: u32) -> (u32, usize) {
        let parts = [self.granted, self.buffered, self.consumed].map(u64::from);
        assert_eq!(parts.iter().sum::<u64>(), u64::from(self.size), "{self:?}");
        assert!(self.size <= max.max(INITIAL_WINDOW), "{self:?}");
        (self.buffered, self.grown)
    }

    /// Takes out how much the window has grown, so that the caller gives it back to
    /// the budget once.
    pub(crate) fn take_grown(&mut self) -> usize {
        std::mem::take(&mut self.grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yamux::Config;
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

    #[test]
    fn the_window_of_a_relay_never_exceeds_its_limit() {
        let (began, round_trip) = (Instant::now(), Duration::from_millis(50));
        let budget = Budget::new(64 << 20);
        let mut window = RecvWindow::new();
        window.begin_relay(0);
        for number in 0..100 {
            // The window follows the credit, then grows, then follows it again.
            let credit = if number % 3 == 0 { 1 << 20 } else { 0 };
            let now = began + round_trip * number;
            let tuning = Tuning {
                max: 400_000,
                ..tuning(now, Some(round_trip), &budget)
            };
            window.align(credit, tuning);
            assert!(window.size <= 400_000, "{}", window.size);
            let count = window.granted;
            window.receive(count, || began).unwrap();
            window.relayed(count);
            assert_invariant(&window);
        }
        assert_eq!(window.tuned, 400_000);
    }

    /// With the largest options, the window follows the credit, and then grows by
    /// itself too.
    #[test]
    fn the_largest_window_of_a_relay_does_not_overflow() {
        let max = Config::default().max_window(u32::MAX).max_window;
        let (began, round_trip) = (Instant::now(), Duration::from_millis(50));
        let budget = Budget::new(usize::MAX);
        let mut window = RecvWindow::new();
        window.begin_relay(0);
        for number in 0..20 {
            let now = began + round_trip * number;
            let tuning = Tuning {
                max,
                ..tuning(now, Some(round_trip), &budget)
            };
            window.align(u32::MAX, tuning);
            assert_eq!(window.size, max);
            let count = window.granted;
            window.receive(count, || began).unwrap();
            window.relayed(count);
            assert_invariant(&window);
        }
        assert_eq!(window.tuned, max);
    }

    /// Returns the size of a relay's window after this many round trips, with `rate`
    /// bytes passed on in each.
    fn relayed_for(round_trips: u32, rate: u32, credit: u32, budget: &Budget) -> u32 {
        let (began, round_trip) = (Instant::now(), Duration::from_millis(50));
        let mut window = RecvWindow::new();
        window.begin_relay(0);
        for number in 0..round_trips {
            let count = rate.min(window.granted);
            window.receive(count, || began).unwrap();
            window.relayed(count);
            let now = began + round_trip * (number + 1);
            window.align(credit, tuning(now, Some(round_trip), budget));
            assert_invariant(&window);
        }
        window.size
    }

    #[test]
    fn the_window_of_a_relay_follows_the_credit_that_does_not_limit_the_speed() {
        let budget = Budget::new(64 << 20);
        let slow = relayed_for(100, INITIAL_WINDOW / 8, INITIAL_WINDOW, &budget);
        assert_eq!(slow, INITIAL_WINDOW);
        let followed = relayed_for(1, 0, 1 << 20, &budget);
        assert_eq!(followed, 1 << 20);
        // Without credit the window keeps its initial size.
        assert_eq!(relayed_for(1, 0, 0, &budget), INITIAL_WINDOW);
    }

    #[test]
    fn the_window_of_a_relay_grows_beyond_the_credit_that_limits_the_speed() {
        let budget = Budget::new(64 << 20);
        let fast = relayed_for(100, u32::MAX, INITIAL_WINDOW, &budget);
        assert_eq!(fast, MAX);
        let bounded = relayed_for(100, u32::MAX, INITIAL_WINDOW, &Budget::new(1 << 20));
        assert!(bounded <= INITIAL_WINDOW + (1 << 20), "{bounded}");
    }

    #[test]
    fn a_relay_reserves_what_is_left_of_the_budget() {
        let budget = Budget::new(100_000);
        assert_eq!(
            relayed_for(1, 0, 1 << 20, &budget),
            INITIAL_WINDOW + 100_000
        );
        assert_eq!(budget.reserve_up_to(1), 0);
    }

    fn assert_invariant(window: &RecvWindow) {
        let parts = [window.granted, window.buffered, window.consumed];
        assert_eq!(
            parts.iter().map(|part| u64::from(*part)).sum::<u64>(),
            u64::from(window.size)
        );
    }

    #[test]
    fn a_window_update_is_due_when_about_half_of_the_window_was_read() {
        let (now, budget) = (Instant::now(), Budget::new(0));
        let mut window = RecvWindow::new();
        window.receive(INITIAL_WINDOW, || now).unwrap();
        let half = INITIAL_WINDOW / 16 * 7;
        assert_eq!(
            window.consume(half - 1, || tuning(now, None, &budget)),
            None
        );
        assert_eq!(window.consume(1, || tuning(now, None, &budget)), Some(half));
    }

    #[test]
    fn data_beyond_the_window_is_a_violation() {
        let mut window = RecvWindow::new();
        let now = Instant::now();
        window.receive(INITIAL_WINDOW, || now).unwrap();
        assert_eq!(window.receive(1, || now), Err(WindowViolation));
    }

    /// Reads a whole window after `elapsed`, and half of one more.
    fn grow(window: &mut RecvWindow, start: Instant, elapsed: Duration, tuning: Tuning<'_>) -> u32 {
        let half = window.size() / 2;
        let mut grown = 0;
        for now in [start, start + elapsed] {
            window.receive(half, || start).unwrap();
            let delta = window.consume(half, || Tuning { now, ..tuning }).unwrap();
            grown = delta - half;
        }
        grown
    }

    #[test]
    fn a_window_doubles_only_if_it_limits_the_speed() {
        let round_trip = Duration::from_millis(100);
        let start = Instant::now();
        // A whole window is read in that time, so four round trips are the limit.
        for (millis, doubled) in [(100, true), (399, true), (400, false), (5000, false)] {
            let budget = Budget::new(MAX as usize);
            let mut window = RecvWindow::new();
            let elapsed = Duration::from_millis(millis);
            let tuning = tuning(start, Some(round_trip), &budget);
            let grown = grow(&mut window, start, elapsed, tuning);
            assert_eq!(grown, if doubled { INITIAL_WINDOW } else { 0 }, "{millis}");
            assert_eq!(window.take_grown(), grown as usize);
        }
    }

    #[test]
    fn a_burst_does_not_make_a_window_grow() {
        let start = Instant::now();
        let budget = Budget::new(MAX as usize);
        let mut window = RecvWindow::new();
        let tuning = tuning(start, Some(Duration::from_micros(50)), &budget);
        let elapsed = Duration::from_micros(30);
        assert_eq!(grow(&mut window, start, elapsed, tuning), 0);
    }

    #[test]
    fn windows_grow_within_the_budget_which_can_be_released() {
        let (start, budget) = (Instant::now(), Budget::new(INITIAL_WINDOW as usize));
        let tuning = tuning(start, Some(Duration::from_secs(1)), &budget);
        let elapsed = Duration::from_secs(1);
        let mut first = RecvWindow::new();
        assert_eq!(grow(&mut first, start, elapsed, tuning), INITIAL_WINDOW);
        let mut second = RecvWindow::new();
        assert_eq!(grow(&mut second, start, elapsed, tuning), 0);
        budget.release(first.take_grown());
        let mut third = RecvWindow::new();
        assert_eq!(grow(&mut third, start, elapsed, tuning), INITIAL_WINDOW);
    }

    proptest! {
        #[test]
        fn a_send_window_neither_underflows_nor_overflows(
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
        fn a_receive_window_keeps_its_sum_and_never_exceeds_its_maximum(
            steps in prop::collection::vec((any::<bool>(), any::<u32>(), 0u64..300), 0..200),
            budget in 0usize..(64 << 20),
        ) {
            let (mut now, budget) = (Instant::now(), Budget::new(budget));
            let mut window = RecvWindow::new();
            for (receive, amount, millis) in steps {
                now += Duration::from_millis(millis);
                if receive {
                    let before = window.granted;
                    prop_assert_eq!(window.receive(amount % (1 << 21), || now).is_ok(), amount % (1 << 21) <= before);
                } else {
                    let count = amount.min(window.buffered);
                    window.consume(count, || tuning(now, Some(Duration::from_millis(100)), &budget));
                }
                assert_invariant(&window);
                prop_assert!(window.size() <= MAX);
            }
        }
    }
}
