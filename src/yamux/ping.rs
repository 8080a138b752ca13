//! Pings that wait for their answers, and what they tell about the round trip.

use crate::sync::{self, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Pings under way at once; more are not sent.
const MAX_UNDER_WAY: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Pings {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next: u32,
    under_way: Vec<Ping>,
    latest: Option<Duration>,
    smallest: Option<Duration>,
    last_sent: Option<Instant>,
    /// Bytes of data that the peer has acknowledged: it has answered a ping that came
    /// after them.
    acknowledged: u64,
    ended: bool,
}

#[derive(Debug)]
struct Ping {
    value: u32,
    sent: Instant,
    /// Bytes of data that go before it.
    behind: u64,
    answer: Option<Duration>,
    /// Somebody waits for the answer and will take it away.
    awaited: bool,
}

impl Pings {
    /// Notes a ping that is sent behind so many bytes of data, and gives the value to
    /// send with it; `None` when too many are under way.
    pub(super) fn begin(&self, now: Instant, behind: u64, awaited: bool) -> Option<u32> {
        let mut state = self.state.lock();
        if state.under_way.len() >= MAX_UNDER_WAY {
            return None;
        }
        let value = state.next;
        state.next = state.next.wrapping_add(1);
        state.last_sent = Some(now);
        state.under_way.push(Ping {
            value,
            sent: now,
            behind,
            answer: None,
            awaited,
        });
        Some(value)
    }

    /// An answer has come. One that nobody asked for is ignored.
    pub(super) fn answer(&self, value: u32, now: Instant) {
        let mut state = self.state.lock();
        let Some(index) = state.under_way.iter().position(|ping| ping.value == value) else {
            return;
        };
        let took = now.saturating_duration_since(state.under_way[index].sent);
        state.latest = Some(took);
        state.acknowledged = state.acknowledged.max(state.under_way[index].behind);
        state.smallest = Some(state.smallest.map_or(took, |least| least.min(took)));
        if state.under_way[index].awaited {
            state.under_way[index].answer = Some(took);
            drop(state);
            self.answered.notify_all();
        } else {
            state.under_way.swap_remove(index);
        }
    }

    /// Waits for the answer to `value`; `None` when it did not come by then.
    pub(super) fn wait(&self, value: u32, deadline: Instant) -> Option<Duration> {
        let mut state = self.state.lock();
        loop {
            let index = state
                .under_way
                .iter()
                .position(|ping| ping.value == value)?;
            let answer = state.under_way[index].answer;
            if answer.is_some() || state.ended || sync::now() >= deadline {
                state.under_way.swap_remove(index);
                return answer;
            }
            self.answered.wait_until(&mut state, deadline);
        }
    }

    /// Whether a ping was sent less than `interval` ago.
    pub(super) fn sent_within(&self, interval: Duration, now: Instant) -> bool {
        let last = self.state.lock().last_sent;
        last.is_some_and(|last| now.saturating_duration_since(last) < interval)
    }

    /// Bytes of data that the peer has acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.state.lock().acknowledged
    }

    /// Takes so many bytes of data for acknowledged.
    pub(super) fn acknowledge(&self, count: u64) {
        let mut state = self.state.lock();
        state.acknowledged = state.acknowledged.max(count);
    }

    /// When the last ping was sent.
    pub(super) fn last_sent(&self) -> Option<Instant> {
        self.state.lock().last_sent
    }

    pub(super) fn latest(&self) -> Option<Duration> {
        self.state.lock().latest
    }

    pub(super) fn smallest(&self) -> Option<Duration> {
        self.state.lock().smallest
    }

    /// Makes what is under way older.
    #[cfg(any(test, fuzzing))]
    pub(super) fn age(&self, by: Duration) {
        for ping in &mut self.state.lock().under_way {
            ping.sent -= by;
        }
    }

    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.answered.notify_all();
    }
}
