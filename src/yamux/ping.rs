//! Pings that wait for their answers, the round trips that they measure, and whether
//! the peer is alive.

use crate::sync::{
    self, Condvar, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::time::{Duration, Instant};

/// How many pings may wait for their answers at once. No more are sent.
const MAX_WAITING: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Pings {
    state: Mutex<PingState>,
    answered: Condvar,
    /// How often the reader has received something. It synchronizes no other
    /// memory.
    heard: AtomicUsize,
}

#[derive(Debug, Default)]
struct PingState {
    next: u32,
    waiting: Vec<Ping>,
    latest: Option<Duration>,
    smallest: Option<Duration>,
    last_sent: Option<Instant>,
    /// The bytes of data that the peer has acknowledged, by answering a ping that was
    /// sent after them.
    acknowledged: u64,
    /// When the peer was last asked for a sign of life.
    asked: Option<Asked>,
    ended: bool,
}

/// The state when the peer was asked for a sign of life.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    heard: usize,
    taken: u64,
}

/// Whether the peer has given a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerSign {
    /// The caller must send this ping now, if there is one. The peer has until this
    /// time to answer.
    Asked(Option<u32>, Instant),
    /// The peer was asked, and has until this time to answer.
    Awaited(Instant),
    /// The peer has not answered in time.
    Silent,
}

#[derive(Debug)]
struct Ping {
    value: u32,
    sent: Instant,
    /// The bytes of data that are sent before this ping.
    behind: u64,
    answer: Option<Duration>,
    /// Whether a thread waits for the answer, and will remove this ping.
    awaited: bool,
}

impl Pings {
    /// Notes a ping that is sent after `behind` bytes of data, and returns the value
    /// to send with it; `None` when too many pings wait for their answers.
    pub(super) fn begin(&self, now: Instant, behind: u64, awaited: bool) -> Option<u32> {
        let mut state = self.state.lock();
        if state.waiting.len() >= MAX_WAITING {
            return None;
        }
        let value = state.next;
        state.next = state.next.wrapping_add(1);
        state.last_sent = Some(now);
        state.waiting.push(Ping {
            value,
            sent: now,
            behind,
            answer: None,
            awaited,
        });
        Some(value)
    }

    /// Notes that something was received from the peer.
    pub(super) fn hear(&self) {
        // Only the reader thread stores this.
        let heard = self.heard.load(Ordering::Relaxed);
        self.heard.store(heard.wrapping_add(1), Ordering::Relaxed);
    }

    /// Returns whether the peer is alive. Within `patience` after it was asked, the
    /// peer must send something, or accept more of the queued data. `taken` is how
    /// much data it has accepted so far, and `waits` whether more is queued.
    pub(super) fn look(
        &self,
        now: Instant,
        patience: Duration,
        taken: u64,
        waits: bool,
    ) -> PeerSign {
        let heard = self.heard.load(Ordering::Relaxed);
        let mut state = self.state.lock();
        if let Some(asked) = state.asked
            && asked.heard == heard
            && !(waits && asked.taken != taken)
        {
            let due = asked.at + patience;
            return match now >= due {
                true => PeerSign::Silent,
                false => PeerSign::Awaited(due),
            };
        }
        let at = now;
        state.asked = Some(Asked { at, heard, taken });
        drop(state);
        // If no ping can be sent, enough other pings wait for their answers.
        PeerSign::Asked(self.begin(now, taken, false), now + patience)
    }

    /// Handles the answer to a ping. Unknown values are ignored.
    pub(super) fn answer(&self, value: u32, now: Instant) {
        let mut state = self.state.lock();
        let Some(index) = state.waiting.iter().position(|ping| ping.value == value) else {
            return;
        };
        let took = now.saturating_duration_since(state.waiting[index].sent);
        state.latest = Some(took);
        state.acknowledged = state.acknowledged.max(state.waiting[index].behind);
        state.smallest = Some(state.smallest.map_or(took, |least| least.min(took)));
        if state.waiting[index].awaited {
            state.waiting[index].answer = Some(took);
            drop(state);
            self.answered.notify_all();
        } else {
            state.waiting.swap_remove(index);
        }
    }

    /// Returns whether a ping for which no thread waits was answered.
    pub(super) fn is_answered(&self, value: u32) -> bool {
        let state = self.state.lock();
        state.waiting.iter().all(|ping| ping.value != value)
    }

    /// Waits for the answer to `value`. Returns `None` if it was not received by the
    /// deadline.
    pub(super) fn wait(&self, value: u32, deadline: Instant) -> Option<Duration> {
        let mut state = self.state.lock();
        loop {
            let index = state.waiting.iter().position(|ping| ping.value == value)?;
            let answer = state.waiting[index].answer;
            if answer.is_some() || state.ended || sync::now() >= deadline {
                state.waiting.swap_remove(index);
                return answer;
            }
            self.answered.wait_until(&mut state, deadline);
        }
    }

    /// Returns whether a ping was sent less than `interval` ago.
    pub(super) fn sent_within(&self, interval: Duration, now: Instant) -> bool {
        let last = self.state.lock().last_sent;
        last.is_some_and(|last| now.saturating_duration_since(last) < interval)
    }

    /// Returns how many bytes of data the peer has acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.state.lock().acknowledged
    }

    /// Notes that the peer has acknowledged `count` bytes of data in all.
    pub(super) fn acknowledge(&self, count: u64) {
        let mut state = self.state.lock();
        state.acknowledged = state.acknowledged.max(count);
    }

    /// Returns when the last ping was sent.
    pub(super) fn last_sent(&self) -> Option<Instant> {
        self.state.lock().last_sent
    }

    pub(super) fn latest(&self) -> Option<Duration> {
        self.state.lock().latest
    }

    pub(super) fn smallest(&self) -> Option<Duration> {
        self.state.lock().smallest
    }

    /// Makes the pings that wait for answers older.
    #[cfg(any(test, fuzzing))]
    pub(super) fn age(&self, by: Duration) {
        for ping in &mut self.state.lock().waiting {
            ping.sent -= by;
        }
    }

    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.answered.notify_all();
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_peer_that_sends_nothing_in_time_is_silent() {
        let (pings, now) = (Pings::default(), sync::now());
        let look = |at| pings.look(at, 3 * S, 0, false);
        assert_eq!(look(now), PeerSign::Asked(Some(0), now + 3 * S));
        assert_eq!(look(now + S), PeerSign::Awaited(now + 3 * S));
        assert_eq!(look(now + 3 * S), PeerSign::Silent);
        // It sends something late, and then nothing more.
        pings.hear();
        assert_eq!(look(now + 3 * S), PeerSign::Asked(Some(1), now + 6 * S));
        assert_eq!(look(now + 6 * S), PeerSign::Silent);
    }

    #[test]
    fn a_peer_that_accepts_queued_data_is_not_silent() {
        let (pings, now) = (Pings::default(), sync::now());
        pings.look(now, S, 10, true);
        // Data that the system accepted is no sign of life if none is left queued.
        assert_eq!(pings.look(now + S, S, 20, false), PeerSign::Silent);
        assert_eq!(pings.look(now + S, S, 10, true), PeerSign::Silent);
        let more = pings.look(now + S, S, 20, true);
        assert_eq!(more, PeerSign::Asked(Some(1), now + 2 * S));
    }

    #[test]
    fn a_peer_is_watched_even_when_no_more_pings_can_be_sent() {
        let (pings, now) = (Pings::default(), sync::now());
        while pings.begin(now, 0, false).is_some() {}
        assert_eq!(pings.look(now, S, 0, false), PeerSign::Asked(None, now + S));
        assert_eq!(pings.look(now + S, S, 0, false), PeerSign::Silent);
    }
}
