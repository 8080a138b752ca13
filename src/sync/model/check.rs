//! Runs a model in many orders.

use super::clock;
use shuttle::{
    Config, MaxSteps, Runner,
    scheduler::{DfsScheduler, PctScheduler, RandomScheduler},
};
use std::{env, sync::Arc, time::Instant};

/// Orders that each of the two ways of choosing them tries, unless the
/// environment says otherwise.
const SCHEDULES: usize = 1_000;
const SCHEDULES_FROM: &str = "WIRENET_MODEL_SCHEDULES";

/// Of a model's threads that run side by side, how many changes of who goes
/// first a mistake may need.
const DEPTH: usize = 3;

/// Enough for each thread of a model: they run the library's code unoptimised.
const STACK: usize = 256 * 1024;

/// Moments after which a run counts as one that does not end.
const STEPS: usize = 100_000;

/// What the clock does in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// It stands still: a wait whose deadline lies ahead must be ended by
    /// somebody, or the model fails.
    Stands,
    /// It runs: such a wait may end by its deadline at any moment.
    Passes,
}

/// Runs `model` in many orders, chosen at random and by priorities (PCT). It
/// fails if an assertion does, or if a thread waits that nobody wakes any more.
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

/// Runs a small `model` in all orders there are. Time stands in it.
pub(crate) fn check_all(model: impl Fn() + Send + Sync + 'static) {
    let began = Instant::now();
    let scheduler = DfsScheduler::new(None, false);
    let tried = Runner::new(scheduler, config()).run(move || {
        clock::reset(Time::Stands);
        model();
    });
    report(tried, ", all there are", began);
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
