//! The clock of a model: fixed, or advanced whenever a wait times out.

use super::Time;
use shuttle::rand::{Rng, thread_rng};
use std::{
    cell::Cell,
    sync::LazyLock,
    time::{Duration, Instant},
};

/// A wait that is checked times out with a chance of one in this many.
const RUNS_OUT: u32 = 4;

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

std::thread_local! {
    // All threads of a model run on one thread of the system.
    static TIME: Cell<Time> = const { Cell::new(Time::Fixed) };
    static ELAPSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

pub(crate) fn now() -> Instant {
    *BEGINNING + ELAPSED.get()
}

/// Starts a run of a model.
pub(super) fn reset(time: Time) {
    TIME.set(time);
    ELAPSED.set(Duration::ZERO);
}

pub(super) fn passes() -> bool {
    TIME.get() == Time::Advancing
}

/// Decides at random whether a wait times out now.
pub(super) fn runs_out() -> bool {
    thread_rng().gen_ratio(1, RUNS_OUT)
}

/// Advances the clock to `deadline`, unless it is past it.
pub(super) fn advance(deadline: Instant) {
    let elapsed = deadline.saturating_duration_since(*BEGINNING);
    ELAPSED.set(ELAPSED.get().max(elapsed));
}
