//! Slow links, timeouts, and a close at a random moment. Whatever happens, a
//! message that its receiver takes for complete is whole; and one of which its
//! sender was told that all went well, up to the close of its wire, arrives.
//!
//! It goes on for 5 seconds, in CI for a minute; `WIRENET_CHAOS_SECONDS` sets
//! another length. Each scenario has a number of its own, from which all of it
//! follows but for the threads' timing; `WIRENET_CHAOS_SEED` plays that one
//! again and again.

mod support;

#[path = "chaos/content.rs"]
mod content;
#[path = "chaos/ledger.rs"]
mod ledger;
#[path = "chaos/receiving.rs"]
mod receiving;
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

/// Scenarios at once: each of them mostly waits.
const LANES: usize = 8;

/// More would tell nothing new.
const FAILURES: usize = 10;

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    let value = text.parse().ok();
    Some(value.unwrap_or_else(|| panic!("{name} is a number, not {text:?}")))
}

fn length() -> Duration {
    let default = if env::var_os("CI").is_some() { 60 } else { 5 };
    Duration::from_secs(variable("WIRENET_CHAOS_SECONDS").unwrap_or(default))
}

#[test]
fn what_is_complete_is_whole_and_what_is_delivered_has_arrived() {
    let length = length();
    within(length + 2 * PATIENCE, move || {
        let fixed = variable::<u64>("WIRENET_CHAOS_SEED");
        // Random each time, as the standard library's maps are.
        let next = AtomicU64::new(RandomState::new().hash_one(0) % 1_000_000_000);
        let (played, complete, promised) = Default::default();
        let tally: [&AtomicU64; 3] = [&played, &complete, &promised];
        let failures = Mutex::new(Vec::new());
        let until = Instant::now() + length;
        thread::scope(|scope| {
            for _ in 0..LANES {
                scope.spawn(|| {
                    while Instant::now() < until && failures.lock().unwrap().len() < FAILURES {
                        let seed = fixed.unwrap_or_else(|| next.fetch_add(1, Ordering::Relaxed));
                        let outcome = scenario::play(seed);
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
        let [played, complete, promised] = tally.map(|total| total.load(Ordering::Relaxed));
        println!("{played} scenarios, {complete} complete messages, {promised} promised");
        let failures = failures.into_inner().unwrap();
        assert!(failures.is_empty(), "\n{}", failures.join("\n"));
        assert!(complete > 0, "nothing arrived at all");
    });
}
