//! The streams of a connection, from their SYN until both halves have ended.

pub(super) mod inbound;

use super::{
    config::Config,
    core::Core,
    error::Error,
    frame::StreamId,
    half_open::{HalfOpen, HalfOpenQueue},
    phase::ConnectionLife,
    role::Role,
    stats::Stats,
};
use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
    time::Instant,
};

#[derive(Debug)]
pub(super) struct Table {
    pub(super) role: Role,
    /// Ordered, because that needs no random keys: a peer chooses the ids, and
    /// making keys takes more stack than everything else that a reader does.
    pub(super) streams: BTreeMap<StreamId, Entry>,
    /// The next id to open a stream with; `None` when they are used up.
    next: Option<u32>,
    /// Streams in the table that the peer opened and that have a place.
    pub(super) inbound: usize,
    /// Streams of the peer that have no place yet. The lowest id gets the next
    /// place.
    ///
    /// Invariant: empty unless all places are taken.
    held: Vec<StreamId>,
    /// Streams that were held and now have a place, until they are handed over.
    promoted: VecDeque<Arc<Core>>,
    /// Streams in the table that this side no longer uses.
    pub(super) half_open: HalfOpen,
    /// How many streams are in use on this side.
    live: usize,
    /// All counts but the bytes sent.
    pub(super) stats: Stats,
    /// Streams that this side opened and the peer has not acknowledged.
    pub(super) unacknowledged: usize,
    pub(super) life: ConnectionLife,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) core: Arc<Core>,
    /// Since when this side no longer uses the stream, while the peer has not ended
    /// its half.
    pub(super) half_open_since: Option<Instant>,
}

/// Whether this side may open one more stream.
#[derive(Debug)]
pub(super) enum OpenSlot {
    Free,
    /// It may after this half-open stream is reset, which the peer has had time to
    /// end.
    Evict(Arc<Core>),
    /// It must wait, until this time at the latest.
    At(Instant),
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Finished,
    Reset,
}

/// The effects of removing a stream from the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// Streams may be [opened](Table::open_slot) again. All waiting threads must be
    /// woken: a stream that is opened is not half open, so all of them may go on.
    pub(super) frees_slot: bool,
    /// The stream had no place.
    pub(super) was_held: bool,
    /// The stream had a place, and a held stream has it now.
    pub(super) promoted: bool,
}

impl Table {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            streams: BTreeMap::new(),
            next: Some(role.first_id()),
            inbound: 0,
            held: Vec::new(),
            promoted: VecDeque::new(),
            half_open: HalfOpen::default(),
            live: 0,
            stats: Stats::default(),
            unacknowledged: 0,
            life: ConnectionLife::default(),
        }
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Arc<Core>> {
        self.streams.get(&id).map(|entry| &entry.core)
    }

    /// Returns whether the peer has nothing more to send on any stream.
    pub(super) fn peer_has_finished(&self) -> bool {
        let mut streams = self.streams.values();
        streams.all(|entry| entry.core.has_received_all())
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Returns why this side may not open a stream; `None` if it may.
    pub(super) fn closed_to_us(&self) -> Option<Error> {
        self.closed_if(self.life.is_going_away())
    }

    /// Like [`closed_to_us`](Self::closed_to_us), for a stream that continues one
    /// which was accepted before this side announced that it is going away.
    pub(super) fn closed_to_relays(&self) -> Option<Error> {
        self.closed_if(self.life.peer_is_going_away())
    }

    fn closed_if(&self, going_away: bool) -> Option<Error> {
        let closed = going_away || self.has_used_up_ids();
        let failure = self.life.failure().cloned();
        let by_peer = !self.life.leaves() && !self.has_used_up_ids();
        failure.or(closed.then_some(Error::GoingAway { by_peer }))
    }

    /// Returns whether this side has used all its ids.
    pub(super) fn has_used_up_ids(&self) -> bool {
        self.next.is_none()
    }

    /// Makes the stream that is opened next the last one.
    #[cfg(test)]
    pub(super) fn use_up_ids(&mut self) {
        self.next = match self.role {
            Role::Client => Some(u32::MAX),
            Role::Server => Some(u32::MAX - 1),
        };
    }

    /// Returns whether one more stream of ours is within the limits. Half-open
    /// streams count, as the peer may never end its halves.
    pub(super) fn open_slot(&self, config: &Config, now: impl FnOnce() -> Instant) -> OpenSlot {
        if self.half_open.ours.len() < most_half_open(config) {
            return OpenSlot::Free;
        }
        let oldest = self.oldest(&self.half_open.ours);
        oldest.map_or(OpenSlot::Free, |(core, since)| {
            let due = since + config.write_timeout;
            if due <= now() {
                OpenSlot::Evict(core)
            } else {
                OpenSlot::At(due)
            }
        })
    }

    /// Returns the oldest of these half-open streams, and since when it is half
    /// open.
    fn oldest(&self, half_open: &HalfOpenQueue) -> Option<(Arc<Core>, Instant)> {
        let (since, id) = half_open.oldest()?;
        Some((Arc::clone(self.get(id)?), since))
    }

    /// Returns whether this side opened the stream.
    pub(super) fn is_ours(&self, id: StreamId) -> bool {
        self.role.is_ours(id)
    }

    /// Returns the queue that the stream is in while it is half open.
    fn half_open_like(&mut self, id: StreamId) -> &mut HalfOpenQueue {
        match self.role.is_ours(id) {
            true => &mut self.half_open.ours,
            false => &mut self.half_open.peers,
        }
    }

    /// Assigns an id to a new stream of ours, and adds the stream.
    pub(super) fn open(&mut self) -> Result<Arc<Core>, Error> {
        let id = self.next.ok_or(Error::GoingAway { by_peer: false })?;
        self.next = id.checked_add(2);
        let core = Core::shared(StreamId(id), false);
        self.insert(&core);
        self.unacknowledged += 1;
        self.live += 1;
        self.stats.streams_opened += 1;
        Ok(core)
    }

    fn insert(&mut self, core: &Arc<Core>) {
        let entry = Entry {
            core: Arc::clone(core),
            half_open_since: None,
        };
        self.streams.insert(core.id, entry);
    }

    /// Notes that this side no longer uses the stream. Returns whether the
    /// connection is to close now.
    pub(super) fn mark_unused(&mut self, id: StreamId, now: impl FnOnce() -> Instant) -> bool {
        self.live -= 1;
        if let Some(entry) = self.streams.get_mut(&id) {
            let since = now();
            entry.half_open_since = Some(since);
            self.half_open_like(id).push(since, id);
        }
        self.is_idle()
    }

    /// Returns whether the connection is idle and is to close when idle. A stream
    /// that the peer has not acknowledged keeps the connection open even if this
    /// side no longer uses the stream: the peer may be holding the stream until it
    /// has a place, and would drop it at the connection's end.
    pub(super) fn is_idle(&self) -> bool {
        self.life.closes_when_idle() && self.live == 0 && self.unacknowledged == 0
    }

    /// Returns the streams that keep the connection from being idle.
    pub(super) fn busy(&self) -> impl Iterator<Item = &Core> {
        let cores = self.streams.values().filter(|entry| {
            let is_live = entry.half_open_since.is_none();
            is_live || entry.core.is_unacknowledged()
        });
        cores.map(|entry| &*entry.core)
    }

    /// Returns how many streams are in use on this side.
    #[cfg(any(test, fuzzing))]
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Counts a stream that was reset. At the connection's end all streams in use
    /// are counted, including those whose users find out later.
    pub(super) fn count_reset(&mut self) {
        if self.life.end().is_none() {
            self.stats.streams_reset += 1;
        }
    }

    /// Removes a stream that is gone. Returns `None` if it was removed before.
    pub(super) fn remove(&mut self, id: StreamId, config: &Config) -> Option<Removed> {
        let entry = self.streams.remove(&id)?;
        if let Some(since) = entry.half_open_since {
            self.half_open_like(id).remove(since, id);
        }
        if !self.role.is_ours(id) {
            return Some(self.leave_place(id));
        }
        let was_half_open = entry.half_open_since.is_some();
        Some(Removed {
            frees_slot: was_half_open && self.half_open.ours.len() + 1 == most_half_open(config),
            ..Removed::default()
        })
    }

    /// Notes that nothing more can be sent. Returns all streams.
    pub(super) fn fail_writing(&mut self, error: Error) -> Vec<Arc<Core>> {
        self.life.fail_writing(error);
        self.cores()
    }

    /// Returns all streams.
    pub(super) fn cores(&self) -> Vec<Arc<Core>> {
        let streams = self.streams.values();
        streams.map(|entry| Arc::clone(&entry.core)).collect()
    }

    /// Notes why the connection ended, and removes and returns all streams. Returns
    /// `None` if it had ended before.
    pub(super) fn end_with(&mut self, error: Error) -> Option<Vec<Arc<Core>>> {
        if !self.life.end_with(error) {
            return None;
        }
        self.inbound = 0;
        self.half_open = HalfOpen::default();
        self.promoted = VecDeque::new();
        let held = mem::take(&mut self.held).len();
        self.stats.streams_refused += held as u64;
        self.stats.streams_reset += (self.live - held) as u64;
        let cores = self.cores();
        self.streams.clear();
        Some(cores)
    }
}

/// Returns how many streams of ours may wait for the peer to end its half.
fn most_half_open(config: &Config) -> usize {
    config.max_streams.max(config.backlog)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    pub(super) fn config() -> Config {
        Config::default()
            .max_streams(2)
            .backlog(2)
            .write_timeout(Duration::from_secs(10))
    }

    #[test]
    fn streams_of_ours_that_the_peer_leaves_half_open_are_limited() {
        let (config, began) = (config(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut table = Table::new(Role::Client);
        let ids = [(); 4].map(|()| table.open().unwrap().id);
        table.mark_unused(ids[0], || at(1));
        assert!(matches!(
            table.open_slot(&config, || at(1000)),
            OpenSlot::Free
        ));
        table.mark_unused(ids[1], || at(2));
        assert!(matches!(table.open_slot(&config, || at(10)), OpenSlot::At(due) if due == at(11)));
        let slot = table.open_slot(&config, || at(11));
        assert!(matches!(slot, OpenSlot::Evict(core) if core.id == ids[0]));
        assert!(table.remove(ids[0], &config).unwrap().frees_slot);
        assert!(matches!(
            table.open_slot(&config, || at(11)),
            OpenSlot::Free
        ));
        // A stream that ends gracefully is not counted at all.
        assert!(!table.remove(ids[2], &config).unwrap().frees_slot);
        table.mark_unused(ids[2], || at(11));
        assert!(matches!(
            table.open_slot(&config, || at(11)),
            OpenSlot::Free
        ));
    }

    #[test]
    fn memory_for_many_half_open_streams_is_given_back_when_there_are_none() {
        let (config, began) = (config(), Instant::now());
        let mut table = Table::new(Role::Client);
        let ids = [(); 1000].map(|()| table.open().unwrap().id);
        for id in ids {
            table.mark_unused(id, || began);
        }
        for id in ids {
            assert_ne!(table.half_open.ours.0.capacity(), 0);
            table.remove(id, &config);
        }
        assert_eq!(table.half_open.ours.0.capacity(), 0);
    }
}
