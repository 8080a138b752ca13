//! Flow control: how much may be sent, how much may be received, and when the
//! receive window grows. Pure: time is an argument, arithmetic is checked.

use crate::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The window that every stream starts with, each way, in bytes.
pub const INITIAL_WINDOW: u32 = 262_144;

/// A round trip counts as no shorter than this: waking a thread at each end of
/// it takes about as long.
const LEAST_ROUND_TRIP: Duration = Duration::from_micros(100);

/// The speed is measured over no less than this. Threads run in bursts, and
/// what lies ready is read at the speed of memory: over a shorter stretch any
/// window would seem to be too small, and each doubling adds to the latency of
/// the other streams.
const LEAST_STRETCH: Duration = Duration::from_millis(1);

/// A relay grants no less at a time, unless the sender has too little to go on
/// with: so a far end that grants byte by byte does not make many updates of it.
pub(crate) const LEAST_GRANT: u32 = INITIAL_WINDOW / 16;

/// With less than this a sender may wait for more: it may send nothing smaller,
/// or what it has sent lies here until the far end has room for it.
const TOO_LITTLE: u32 = 4 * 1024;

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
    /// When the stretch began over which the speed is measured, and what was
    /// read in it.
    since: Option<Instant>,
    read: u64,
    /// Bytes of the budget that growth has taken.
    grown: usize,
    /// On a relay, what the peer may send and have lie here whatever the far
    /// end's credit; 0 until that limits the speed.
    tuned: u32,
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
            read: 0,
            grown: 0,
            tuned: 0,
        }
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// Books `count` bytes that the peer sends.
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

    /// Books `count` bytes that were read. Once about half of the window was,
    /// says by how much to update the peer's; only then `tuning` is asked for.
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

    /// A little under half: a sender that fills a window with whole chunks
    /// leaves its last bytes unused, and two updates are to come of it all the
    /// same.
    fn update_at(&self) -> u32 {
        self.size / 2 - self.size / 16
    }

    /// The window limits the speed where half of it is read in less than two
    /// round trips, on average over a stretch; then it doubles.
    fn growth(&mut self, size: u32, tuning: Tuning<'_>) -> u32 {
        let (Some(round_trip), Some(since)) = (tuning.round_trip, self.since) else {
            return 0;
        };
        let round_trip = round_trip.max(LEAST_ROUND_TRIP);
        let elapsed = tuning.now.saturating_duration_since(since);
        if elapsed < round_trip.max(LEAST_STRETCH) {
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

    /// The bytes that lie here are for a relay from now on: what was read before
    /// is not granted again, and `put_back` bytes were not read after all.
    pub(crate) fn begin_relay(&mut self, put_back: u32) {
        self.buffered += put_back;
        self.consumed = 0;
        self.size = self.granted + self.buffered;
    }

    /// Books `count` bytes that were passed on; they are not granted again here,
    /// but by [`align`](Self::align).
    pub(crate) fn relayed(&mut self, count: u32) {
        debug_assert!(count <= self.buffered);
        self.buffered -= count;
        self.size -= count;
        self.read += u64::from(count);
    }

    /// Makes what the peer may send, with what lies here, as much as the far
    /// end's `credit`, within what the window may grow to; by how much to
    /// update the peer's.
    ///
    /// The far end knows its own round trip alone. Where this one's is longer,
    /// and what is passed on so fast that it limits the speed, the window grows
    /// beyond the credit, and what there is none for yet lies here.
    pub(crate) fn align(&mut self, credit: u32, tuning: Tuning<'_>) -> Option<u32> {
        let window = self.tuned.max(INITIAL_WINDOW);
        let growth = self.growth(window, tuning);
        if growth > 0 {
            self.tuned = window + growth;
            self.grown += growth as usize;
        }
        // It fits: no window is larger than half of a u32's range.
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

    /// Makes the stretch over which the speed is measured longer.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn age(&mut self, by: Duration) {
        self.since = self.since.map(|since| since - by);
    }

    /// Fails if its parts do not add up; says what the peer has sent and nobody
    /// read yet, and by how much it has grown.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self, max: u32) -> (u32, usize) {
        let parts = [self.granted, self.buffered, self.consumed].map(u64::from);
        assert_eq!(parts.iter().sum::<u64>(), u64::from(self.size), "{self:?}");
        assert!(self.size <= max.max(INITIAL_WINDOW), "{self:?}");
        (self.buffered, self.grown)
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

    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        // A count of its own: nothing else is read on the strength of it.
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    /// Takes as much of `bytes` as is left, and says how much.
    fn reserve_up_to(&self, bytes: usize) -> usize {
        let mut taken = 0;
        // Fails where nothing is left: then `taken` is 0.
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                taken = left.min(bytes);
                (taken > 0).then(|| left - taken)
            });
        taken
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
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
    fn a_relays_window_keeps_to_its_limit_however_it_has_grown() {
        let (began, round_trip) = (Instant::now(), Duration::from_millis(50));
        let budget = Budget::new(64 << 20);
        let mut window = RecvWindow::new();
        window.begin_relay(0);
        for number in 0..100 {
            // First it follows the credit, then it grows, then it follows again.
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

    /// With the largest options there are, it follows a credit, and then grows
    /// by itself too.
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

    /// A window of a relay for which `rate` bytes are passed on in each of so
    /// many round trips; all that the peer may send.
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
    fn a_relays_window_is_the_credit_of_the_far_end_where_that_is_no_limit() {
        let budget = Budget::new(64 << 20);
        let slow = relayed_for(100, INITIAL_WINDOW / 8, INITIAL_WINDOW, &budget);
        assert_eq!(slow, INITIAL_WINDOW);
        let followed = relayed_for(1, 0, 1 << 20, &budget);
        assert_eq!(followed, 1 << 20);
        // Nothing has come that could lie here.
        assert_eq!(relayed_for(1, 0, 0, &budget), INITIAL_WINDOW);
    }

    #[test]
    fn a_relays_window_grows_beyond_the_far_ends_credit_where_that_limits_the_speed() {
        let budget = Budget::new(64 << 20);
        let fast = relayed_for(100, u32::MAX, INITIAL_WINDOW, &budget);
        assert_eq!(fast, MAX);
        let bounded = relayed_for(100, u32::MAX, INITIAL_WINDOW, &Budget::new(1 << 20));
        assert!(bounded <= INITIAL_WINDOW + (1 << 20), "{bounded}");
    }

    #[test]
    fn a_relay_takes_what_is_left_of_a_budget() {
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
    fn an_update_comes_when_about_half_of_the_window_was_read() {
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
    fn a_window_doubles_only_where_it_limits_the_speed() {
        let round_trip = Duration::from_millis(100);
        let start = Instant::now();
        // A window was read in that time: four round trips are the limit.
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
    fn windows_grow_within_the_budget_and_give_it_back() {
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
