//! Random scenarios on slow links, with timeouts and a close at a random moment.
//! In all of them, a message that its receiver considers complete is intact; and
//! a message arrives if every call of its sender, up to the close of the wire,
//! returned `Ok`.
//!
//! The test runs for 5 seconds, in CI for a minute; `WIRENET_CHAOS_SECONDS` sets
//! another duration. Each scenario has a seed that determines everything but the
//! timing of the threads; `WIRENET_CHAOS_SEED` repeats the scenario of one seed.

mod support;

#[path = "chaos/content.rs"]
mod content;
#[path = "chaos/receiving.rs"]
mod receiving;
#[path = "chaos/record.rs"]
mod record;
#[path = "chaos/scenario.rs"]
mod scenario;
#[path = "chaos/sending.rs"]
mod sending;

use std::{
    env,
    hash::{BuildHasher, RandomState},
    str::FromStr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{PATIENCE, within};

/// Scenarios that run at once: each of them mostly waits.
const LANES: usize = 8;

/// The test stops after this many failures.
const MAX_FAILURES: usize = 10;

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    let value = text.parse().ok();
    Some(value.unwrap_or_else(|| panic!("{name} must be a number, not {text:?}")))
}

fn duration() -> Duration {
    let default = if env::var_os("CI").is_some() { 60 } else { 5 };
    Duration::from_secs(variable("WIRENET_CHAOS_SECONDS").unwrap_or(default))
}

#[test]
fn complete_messages_are_intact_and_delivered_messages_have_arrived() {
    let duration = duration();
    within(duration + 2 * PATIENCE, move || {
        let fixed = variable::<u64>("WIRENET_CHAOS_SEED");
        // A different start each time, from the seed of the standard library's maps.
        let next = AtomicU64::new(RandomState::new().hash_one(0) % 1_000_000_000);
        let (ran, complete, promised) = Default::default();
        let tally: [&AtomicU64; 3] = [&ran, &complete, &promised];
        let failures = Mutex::new(Vec::new());
        let until = Instant::now() + duration;
        thread::scope(|scope| {
            for _ in 0..LANES {
                scope.spawn(|| {
                    while Instant::now() < until && failures.lock().unwrap().len() < MAX_FAILURES {
                        let seed = fixed.unwrap_or_else(|| next.fetch_add(1, Ordering::Relaxed));
                        let outcome = scenario::run(seed);
                        let counts = [1, outcome.complete, outcome.promised];
                        for (total, count) in tally.iter().zip(counts) {
                            total.fetch_add(count as u64, Ordering::Relaxed);
                        }
                        if !outcome.violations.is_empty() {
                            failures.lock().unwrap().push(outcome.to_string());
                        }
                    }
                });
            }
        });
        let [ran, complete, promised] = tally.map(|total| total.load(Ordering::Relaxed));
        println!("{ran} scenarios, {complete} complete messages, {promised} promised");
        let failures = failures.into_inner().unwrap();
        assert!(failures.is_empty(), "\n{}", failures.join("\n"));
        assert!(complete > 0, "no message arrived at all");
    });
}
