//! The record of a scenario: what senders finished, and what receivers read.

use super::content;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The side that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller,
    Owner,
}

#[derive(Default)]
pub struct Record {
    next: AtomicU64,
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Default)]
struct Entries {
    /// Messages that their receivers considered complete, and that were intact.
    arrived: BTreeSet<u64>,
    /// Messages of each side for which `finish` and the close of the stream
    /// returned `Ok`, with a description of how they were sent.
    finished: [BTreeMap<u64, String>; 2],
    violations: Vec<String>,
}

impl Record {
    /// Returns the number of a new message.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn finished(&self, side: Side, messages: Vec<(u64, String)>) {
        self.entries.lock().finished[side as usize].extend(messages);
    }

    /// Records a message that its receiver considers complete.
    pub fn complete(&self, message: &[u8], how: &str) {
        let mut entries = self.entries.lock();
        match content::check(message) {
            Ok(number) if entries.arrived.insert(number) => {}
            Ok(number) => {
                let twice = format!("{how}: message {number} arrived twice");
                entries.violations.push(twice);
            }
            Err(what) => {
                let text = format!("{how}: considered complete, but it is not: {what}");
                entries.violations.push(text);
            }
        }
        drop(entries);
        self.changed.notify_all();
    }

    /// Waits until every message that this side has finished has arrived. Returns
    /// the number of these messages.
    pub fn expect_delivered(&self, side: Side, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        let mut entries = self.entries.lock();
        loop {
            let finished = &entries.finished[side as usize];
            let missing = |number: &&u64| !entries.arrived.contains(number);
            let missing: Vec<_> = finished.keys().filter(missing).copied().collect();
            let promised = finished.len();
            let in_time =
                missing.is_empty() || !self.changed.wait_until(&mut entries, deadline).timed_out();
            if missing.is_empty() {
                return promised;
            }
            if !in_time {
                let finished = &entries.finished[side as usize];
                let sent: Vec<_> = missing.iter().map(|number| &finished[number]).collect();
                let count = missing.len();
                let text = format!(
                    "the {side:?}'s close returned Ok, but {count} of {promised} messages never arrived: {sent:?}"
                );
                entries.violations.push(text);
                return promised;
            }
        }
    }

    /// Returns the number of complete messages, and the violations.
    pub fn close(&self) -> (usize, Vec<String>) {
        let mut entries = self.entries.lock();
        (
            entries.arrived.len(),
            std::mem::take(&mut entries.violations),
        )
    }
}
