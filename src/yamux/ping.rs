//! Pings that wait for their answers, and what they tell about the round trip.

use crate::sync::{
    self, Condvar, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::time::{Duration, Instant};

/// Pings under way at once; more are not sent.
const MAX_UNDER_WAY: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Pings {
    state: Mutex<State>,
    answered: Condvar,
    /// How often the reader has got something. Nothing else is read on the
    /// strength of it.
    heard: AtomicUsize,
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
    /// When the peer was asked for a sign of life.
    asked: Option<Asked>,
    ended: bool,
}

/// What there was of a peer's life when it was asked for more.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    heard: usize,
    taken: u64,
}

/// Whether a peer that was asked for a sign of life has given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It is to be asked now, with this ping if there is one, and has time until
    /// then.
    Asked(Option<u32>, Instant),
    /// It was, and has time until then.
    Awaited(Instant),
    /// Its time is over.
    Silent,
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

    /// Something has come from the peer.
    pub(super) fn hear(&self) {
        // Only the reader counts.
        let heard = self.heard.load(Ordering::Relaxed);
        self.heard.store(heard.wrapping_add(1), Ordering::Relaxed);
    }

    /// Whether the peer lives: within `patience` of having been asked it is to be
    /// heard, or to take more of what waits to be sent. `taken` is how much that
    /// was so far, and `waits` whether there is more.
    pub(super) fn look(&self, now: Instant, patience: Duration, taken: u64, waits: bool) -> Life {
        let heard = self.heard.load(Ordering::Relaxed);
        let mut state = self.state.lock();
        if let Some(asked) = state.asked
            && asked.heard == heard
            && !(waits && asked.taken != taken)
        {
            let due = asked.at + patience;
            return match now >= due {
                true => Life::Silent,
                false => Life::Awaited(due),
            };
        }
        let at = now;
        state.asked = Some(Asked { at, heard, taken });
        drop(state);
        // Where none can be sent, enough of them wait for answers.
        Life::Asked(self.begin(now, taken, false), now + patience)
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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_peer_that_is_not_heard_within_the_patience_is_silent() {
        let (pings, now) = (Pings::default(), sync::now());
        let look = |at| pings.look(at, 3 * S, 0, false);
        assert_eq!(look(now), Life::Asked(Some(0), now + 3 * S));
        assert_eq!(look(now + S), Life::Awaited(now + 3 * S));
        assert_eq!(look(now + 3 * S), Life::Silent);
        // It is heard after all, and then no more.
        pings.hear();
        assert_eq!(look(now + 3 * S), Life::Asked(Some(1), now + 6 * S));
        assert_eq!(look(now + 6 * S), Life::Silent);
    }

    #[test]
    fn a_peer_that_takes_what_waits_for_it_is_not_silent() {
        let (pings, now) = (Pings::default(), sync::now());
        pings.look(now, S, 10, true);
        // What the system took, and nothing waits any more, tells nothing.
        assert_eq!(pings.look(now + S, S, 20, false), Life::Silent);
        assert_eq!(pings.look(now + S, S, 10, true), Life::Silent);
        let more = pings.look(now + S, S, 20, true);
        assert_eq!(more, Life::Asked(Some(1), now + 2 * S));
    }

    #[test]
    fn a_peer_with_as_many_pings_as_there_may_be_is_looked_at_all_the_same() {
        let (pings, now) = (Pings::default(), sync::now());
        while pings.begin(now, 0, false).is_some() {}
        assert_eq!(pings.look(now, S, 0, false), Life::Asked(None, now + S));
        assert_eq!(pings.look(now + S, S, 0, false), Life::Silent);
    }
}
