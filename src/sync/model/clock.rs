//! The time of a model. It stands still, or moves on when a timed wait ends by
//! its deadline.

use super::Time;
use shuttle::rand::{Rng, thread_rng};
use std::{
    cell::Cell,
    sync::LazyLock,
    time::{Duration, Instant},
};

/// One timed wait in so many ends when it is looked at.
const RUNS_OUT: u32 = 4;

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

std::thread_local! {
    // All threads of a model are one of the system's.
    static TIME: Cell<Time> = const { Cell::new(Time::Stands) };
    static ELAPSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

pub(crate) fn now() -> Instant {
    *BEGINNING + ELAPSED.get()
}

/// A run begins.
pub(super) fn reset(time: Time) {
    TIME.set(time);
    ELAPSED.set(Duration::ZERO);
}

pub(super) fn passes() -> bool {
    TIME.get() == Time::Passes
}

/// Whether a timed wait ends now.
pub(super) fn runs_out() -> bool {
    thread_rng().gen_ratio(1, RUNS_OUT)
}

/// It is at least `deadline` now.
pub(super) fn advance(deadline: Instant) {
    let elapsed = deadline.saturating_duration_since(*BEGINNING);
    ELAPSED.set(ELAPSED.get().max(elapsed));
}
