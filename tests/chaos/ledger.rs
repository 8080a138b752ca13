//! What senders were told, and what receivers have seen.

use super::content;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller,
    Owner,
}

#[derive(Default)]
pub struct Ledger {
    next: AtomicU64,
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    /// Messages that their receivers took for complete, and that were.
    arrived: BTreeSet<u64>,
    /// Messages of which their senders were told that they are finished, and
    /// their stream closed; with what was done to send them.
    finished: [BTreeMap<u64, String>; 2],
    violations: Vec<String>,
}

impl Ledger {
    /// The number of a new message.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn finished(&self, side: Side, messages: Vec<(u64, String)>) {
        self.seen.lock().finished[side as usize].extend(messages);
    }

    /// A receiver takes this for a complete message.
    pub fn complete(&self, message: &[u8], how: &str) {
        let mut seen = self.seen.lock();
        match content::check(message) {
            Ok(number) if seen.arrived.insert(number) => {}
            Ok(number) => {
                let twice = format!("{how}: message {number} came twice");
                seen.violations.push(twice);
            }
            Err(what) => {
                let text = format!("{how}: complete, and is not: {what}");
                seen.violations.push(text);
            }
        }
        drop(seen);
        self.changed.notify_all();
    }

    /// Waits until all has arrived that this side was told is delivered, and
    /// says how many that are.
    pub fn expect_delivered(&self, side: Side, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        let mut seen = self.seen.lock();
        loop {
            let finished = &seen.finished[side as usize];
            let missing = |number: &&u64| !seen.arrived.contains(number);
            let missing: Vec<_> = finished.keys().filter(missing).copied().collect();
            let promised = finished.len();
            let in_time =
                missing.is_empty() || !self.changed.wait_until(&mut seen, deadline).timed_out();
            if missing.is_empty() {
                return promised;
            }
            if !in_time {
                let finished = &seen.finished[side as usize];
                let sent: Vec<_> = missing.iter().map(|number| &finished[number]).collect();
                let count = missing.len();
                let text = format!(
                    "the {side:?}'s close said Ok, and {count} of {promised} messages never arrived: {sent:?}"
                );
                seen.violations.push(text);
                return promised;
            }
        }
    }

    /// How many messages were complete, and what is wrong.
    pub fn close(&self) -> (usize, Vec<String>) {
        let mut seen = self.seen.lock();
        (seen.arrived.len(), std::mem::take(&mut seen.violations))
    }
}
