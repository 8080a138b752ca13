//! Runs a model in many schedules.

use super::clock;
use shuttle::{
    Config, MaxSteps, Runner,
    scheduler::{DfsScheduler, PctScheduler, RandomScheduler},
};
use std::{env, sync::Arc, time::Instant};

/// How many schedules each of the two schedulers tries by default.
const SCHEDULES: usize = 1_000;

/// The environment variable that overrides [`SCHEDULES`].
const SCHEDULES_FROM: &str = "WIRENET_MODEL_SCHEDULES";

/// How many changes of priority PCT makes in a run: it finds bugs that need up
/// to this many ordering constraints.
const DEPTH: usize = 3;

/// The stack of each thread of a model, in bytes. It is large enough for the
/// library's code without optimization.
const STACK: usize = 256 * 1024;

/// How many steps a run may take before it counts as endless.
const STEPS: usize = 100_000;

/// How the clock of a model behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// The clock does not advance. A wait whose deadline is in the future must be ended by
    /// another thread, or the model fails.
    Fixed,
    /// The clock runs: such a wait may time out at any moment.
    Advancing,
}

/// Runs `model` in many schedules, chosen at random and by priorities (PCT). Panics
/// if an assertion fails, or if a thread waits forever.
pub(crate) fn check(time: Time, model: impl Fn() + Send + Sync + 'static) {
    let began = Instant::now();
    let schedules = env::var(SCHEDULES_FROM).map_or(SCHEDULES, |count| {
        count.parse().expect("a number of schedules")
    });
    let model = Arc::new(move || {
        clock::reset(time);
        model();
    });
    let at_random = Arc::clone(&model);
    let mut tried = Runner::new(RandomScheduler::new(schedules), config()).run(move || at_random());
    tried += Runner::new(PctScheduler::new(DEPTH, schedules), config()).run(move || model());
    report(tried, "", began);
}

/// Runs a small `model` in every possible schedule, with [`Time::Fixed`].
pub(crate) fn check_all(model: impl Fn() + Send + Sync + 'static) {
    let began = Instant::now();
    let scheduler = DfsScheduler::new(None, false);
    let tried = Runner::new(scheduler, config()).run(move || {
        clock::reset(Time::Fixed);
        model();
    });
    report(tried, ", all of them", began);
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    config
}

fn report(tried: usize, how: &str, began: Instant) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    let took = began.elapsed();
    println!("{name}: {tried} schedules{how}, in {took:.1?}");
}
