//! Streams that the peer opens: which of them get a place, are held, or are
//! refused.

use super::Table;
use crate::yamux::{config::Config, core::Core, error::Violation, frame::StreamId, table::Removed};
use std::{mem, sync::Arc, time::Instant};

/// What to do about a stream that the peer wants to open.
#[derive(Debug)]
pub(in crate::yamux) enum Inbound {
    Open,
    /// Keep it until it has a place.
    Hold,
    /// Reset this half-open stream, which the peer has had time to end, and judge
    /// again.
    Evict(Arc<Core>),
    /// There are too many, or this side is going away.
    Refuse,
}

impl Table {
    /// Judges a SYN from the peer.
    pub(in crate::yamux) fn judge(
        &self,
        id: StreamId,
        config: &Config,
        now: impl FnOnce() -> Instant,
    ) -> Result<Inbound, Violation> {
        if self.role.is_ours(id) {
            return Err(Violation::WrongParity(id));
        }
        match self.get(id) {
            // The peer knows that it is gone, and the thread that ended it has not
            // removed it yet.
            Some(core) if core.is_gone() => return Ok(Inbound::Refuse),
            Some(_) => return Err(Violation::OpenedTwice(id)),
            None => {}
        }
        if self.life.refuses_streams() {
            return Ok(Inbound::Refuse);
        }
        if self.inbound < config.max_streams {
            return Ok(Inbound::Open);
        }
        if let Some(overdue) = self.overdue(config, now) {
            return Ok(Inbound::Evict(overdue));
        }
        // Without any places, none would ever become free.
        let may_wait = config.max_streams > 0 && self.held.len() < config.backlog;
        Ok(if may_wait {
            Inbound::Hold
        } else {
            Inbound::Refuse
        })
    }

    /// Returns the oldest half-open stream of the peer, if the peer has had time to
    /// end it.
    pub(in crate::yamux) fn overdue(
        &self,
        config: &Config,
        now: impl FnOnce() -> Instant,
    ) -> Option<Arc<Core>> {
        let oldest = self.oldest(&self.half_open.peers);
        let overdue = oldest.filter(|(_, since)| *since + config.write_timeout <= now());
        overdue.map(|(core, _)| core)
    }

    /// Returns the earliest time at which a stream may be [overdue](Self::overdue).
    pub(in crate::yamux) fn next_overdue(
        &self,
        config: &Config,
        now: impl FnOnce() -> Instant,
    ) -> Instant {
        let oldest = self.half_open.peers.oldest();
        oldest.map_or_else(now, |(since, _)| since) + config.write_timeout
    }

    /// Adds a stream that the peer opened.
    pub(in crate::yamux) fn accept(&mut self, id: StreamId) -> Arc<Core> {
        let core = Core::shared(id, true);
        self.insert(&core);
        self.inbound += 1;
        self.live += 1;
        self.stats.streams_accepted += 1;
        core
    }

    /// Adds a stream that the peer opened and that has no place yet.
    pub(in crate::yamux) fn hold(&mut self, id: StreamId) -> Arc<Core> {
        let core = Core::shared(id, true);
        self.insert(&core);
        let at = self.held.partition_point(|other| *other < id);
        self.held.insert(at, id);
        self.live += 1;
        core
    }

    /// Returns how many streams have no place.
    pub(in crate::yamux) fn held(&self) -> usize {
        self.held.len()
    }

    /// Removes all held streams, in one step, so that none of them gets a place
    /// meanwhile.
    pub(in crate::yamux) fn take_held(&mut self) -> Vec<Arc<Core>> {
        let held = mem::take(&mut self.held).into_iter();
        let entries = held.filter_map(|id| self.streams.remove(&id));
        let held: Vec<_> = entries.map(|entry| entry.core).collect();
        self.stats.streams_refused += held.len() as u64;
        self.live -= held.iter().filter(|core| core.mark_unused()).count();
        held
    }

    /// Takes the place from a stream that is gone, if it had one, and gives it to
    /// a held stream.
    pub(super) fn leave_place(&mut self, id: StreamId) -> Removed {
        let held = self.held.iter().position(|other| *other == id);
        if let Some(at) = held {
            self.held.remove(at);
            self.stats.streams_refused += 1;
        } else {
            self.inbound -= 1;
        }
        let was_held = held.is_some();
        Removed {
            was_held,
            promoted: !was_held && self.promote(),
            ..Removed::default()
        }
    }

    /// Gives a free place to the oldest held stream. Returns whether there was one.
    fn promote(&mut self) -> bool {
        let oldest = (!self.held.is_empty()).then(|| self.held.remove(0));
        let Some(core) = oldest.and_then(|id| self.get(id).cloned()) else {
            return false;
        };
        self.inbound += 1;
        self.stats.streams_accepted += 1;
        self.promoted.push_back(core);
        true
    }

    /// Returns whether streams wait for a place, or to be handed over now that they
    /// have one.
    pub(in crate::yamux) fn has_waiting(&self) -> bool {
        !self.held.is_empty() || self.has_promoted()
    }

    /// Returns whether streams that were held wait to be handed over.
    pub(in crate::yamux) fn has_promoted(&self) -> bool {
        !self.promoted.is_empty()
    }

    pub(in crate::yamux) fn next_promoted(&mut self) -> Option<Arc<Core>> {
        self.promoted.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yamux::{role::Role, state::ResetBy, table::tests::config};
    use std::time::Duration;

    /// Returns whether the verdict is to reset this stream.
    fn is_evict(verdict: &Inbound, id: u32) -> bool {
        matches!(verdict, Inbound::Evict(core) if core.id == StreamId(id))
    }

    /// A thread that ends a stream marks it first. If it is then interrupted, the peer may
    /// open the id again in the meantime: that is useless, but no violation.
    #[test]
    fn an_id_whose_stream_is_about_to_be_removed_is_refused() {
        let config = config();
        let mut table = Table::new(Role::Server);
        let id = StreamId(1);
        let judge = |table: &Table| table.judge(id, &config, Instant::now);
        let core = table.accept(id);
        assert!(matches!(judge(&table), Err(Violation::OpenedTwice(_))));
        assert!(core.mark_reset(ResetBy::Us));
        assert!(matches!(judge(&table), Ok(Inbound::Refuse)));
        table.remove(id, &config).unwrap();
        assert!(matches!(judge(&table), Ok(Inbound::Open)));
    }

    #[test]
    fn a_stream_that_the_peer_leaves_half_open_is_evicted_after_the_write_timeout() {
        let (config, began) = (config(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut table = Table::new(Role::Server);
        let judge = |table: &Table, seconds| table.judge(StreamId(5), &config, || at(seconds));
        table.accept(StreamId(1));
        table.accept(StreamId(3));
        // Both are in use, however long ago they were opened.
        assert!(matches!(judge(&table, 1000), Ok(Inbound::Hold)));
        table.mark_unused(StreamId(3), || at(0));
        table.mark_unused(StreamId(1), || at(1));
        assert!(matches!(judge(&table, 9), Ok(Inbound::Hold)));
        assert!(is_evict(&judge(&table, 10).unwrap(), 3));
        table.remove(StreamId(3), &config);
        assert!(matches!(judge(&table, 10), Ok(Inbound::Open)));
        table.accept(StreamId(5));
        let verdict = table.judge(StreamId(7), &config, || at(11));
        assert!(is_evict(&verdict.unwrap(), 1));
    }

    #[test]
    fn a_free_place_goes_to_the_oldest_held_stream() {
        let (config, mut table) = (config(), Table::new(Role::Server));
        let judge = |table: &Table, id| table.judge(StreamId(id), &config, Instant::now);
        table.accept(StreamId(1));
        table.accept(StreamId(3));
        for id in [5, 7] {
            assert!(matches!(judge(&table, id), Ok(Inbound::Hold)));
            table.hold(StreamId(id));
        }
        assert!(matches!(judge(&table, 9), Ok(Inbound::Refuse)));
        assert!(matches!(judge(&table, 7), Err(Violation::OpenedTwice(_))));
        assert!(table.remove(StreamId(3), &config).unwrap().promoted);
        assert_eq!(table.next_promoted().unwrap().id, StreamId(5));
        // The new one gets none.
        assert!(matches!(judge(&table, 9), Ok(Inbound::Hold)));
        // A held stream leaves none.
        let removed = table.remove(StreamId(7), &config).unwrap();
        assert!(removed.was_held && !removed.promoted);
        assert!(!table.remove(StreamId(1), &config).unwrap().promoted);
        assert!(!table.has_waiting());
        assert!(matches!(judge(&table, 9), Ok(Inbound::Open)));
        let stats = table.stats;
        assert_eq!((stats.streams_accepted, stats.streams_refused), (3, 1));
    }

    #[test]
    fn with_no_places_nothing_is_held() {
        let (config, table) = (config().max_streams(0), Table::new(Role::Server));
        let verdict = table.judge(StreamId(1), &config, Instant::now);
        assert!(matches!(verdict, Ok(Inbound::Refuse)));
    }

    /// The least time that a hundred verdicts take with this many streams that the
    /// peer has left half open.
    fn verdicts(streams: u32) -> Duration {
        let (config, began) = (config().max_streams(streams as usize), Instant::now());
        let mut table = Table::new(Role::Server);
        for id in (1..).step_by(2).map(StreamId).take(streams as usize) {
            table.accept(id);
            table.mark_unused(id, || began);
        }
        let runs = (0..10).map(|_| {
            let start = Instant::now();
            for _ in 0..100 {
                let verdict = table.judge(StreamId(u32::MAX), &config, || began);
                assert!(matches!(verdict, Ok(Inbound::Hold)));
            }
            start.elapsed()
        });
        runs.min().unwrap()
    }

    #[test]
    fn the_cost_of_a_verdict_does_not_grow_with_the_number_of_streams() {
        let (few, many) = (verdicts(100), verdicts(10_000));
        assert!(many < 20 * few, "{few:?} and {many:?}");
    }
}
