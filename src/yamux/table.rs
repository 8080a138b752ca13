//! The streams of a connection that are not gone, and the ids that they got.

use super::{
    config::Config,
    core::Core,
    error::{Error, Violation},
    frame::StreamId,
    role::Role,
    stats::Stats,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

#[derive(Debug)]
pub(super) struct Table {
    pub(super) role: Role,
    /// Ordered, because that needs no random keys: a peer chooses the ids, and
    /// making keys takes more stack than all else that a reader does.
    pub(super) streams: BTreeMap<StreamId, Entry>,
    /// The next id to open with; `None` when they are used up.
    next: Option<u32>,
    /// Streams in the table that the peer opened and that have a place.
    pub(super) inbound: usize,
    /// Those that have none yet; the lowest number gets the next one.
    ///
    /// Invariant: empty unless all places are taken.
    held: Vec<StreamId>,
    /// Those that had none, until they are handed over.
    promoted: VecDeque<Arc<Core>>,
    /// Streams in the table that nobody here uses any more, those that this side
    /// opened and those that the peer did.
    pub(super) left: Left,
    /// Streams that somebody here still uses.
    live: usize,
    /// The connection is to close when there are none of those.
    pub(super) closing: bool,
    /// All but the bytes sent.
    pub(super) stats: Stats,
    /// Streams that we opened and the peer has not acknowledged.
    pub(super) unacknowledged: usize,
    /// We have sent a go-away.
    pub(super) going_away: bool,
    /// The peer has.
    pub(super) peer_going_away: bool,
    /// The peer has sent a second one: it has closed, and used its streams no more.
    pub(super) peer_has_closed: bool,
    /// Why nothing more can be sent.
    write_error: Option<Error>,
    /// Why the connection ended.
    end: Option<Error>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) core: Arc<Core>,
    /// Since when nobody here uses the stream, of which the peer has not ended
    /// its half.
    pub(super) left: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) ours: LeftQueue,
    pub(super) theirs: LeftQueue,
}

/// In the order in which they were left: a peer that opens streams in vain does
/// not have them all looked at each time.
#[derive(Debug, Default)]
pub(super) struct LeftQueue(pub(super) VecDeque<(Instant, StreamId)>);

impl LeftQueue {
    /// Room for so many is kept when there are none.
    const KEPT: usize = 64;

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// `since` is no earlier than any before.
    fn push(&mut self, since: Instant, id: StreamId) {
        self.0.push_back((since, id));
    }

    fn remove(&mut self, since: Instant, id: StreamId) {
        let first = self.0.partition_point(|(other, _)| *other < since);
        let index = self.0.range(first..).position(|(_, other)| *other == id);
        if let Some(index) = index {
            self.0.remove(first + index);
        }
        if self.0.is_empty() && self.0.capacity() > Self::KEPT {
            self.0 = VecDeque::new();
        }
    }
}

/// Whether there is room for a stream of this side's.
#[derive(Debug)]
pub(super) enum Room {
    Free,
    /// There will be if this one is reset, which the peer has had its time to
    /// end.
    Instead(Arc<Core>),
    /// There will be by then at the latest.
    At(Instant),
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    InOrder,
    Reset,
}

/// What to do about a stream that the peer wants to open.
#[derive(Debug)]
pub(super) enum Inbound {
    Open,
    /// Keep it until it has a place.
    Hold,
    /// There may be a place when this one is reset, which the peer has had its
    /// time to end.
    Instead(Arc<Core>),
    /// There are too many, or we are going away.
    Refuse,
}

/// What came of taking a stream out of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// There is [`room`](Table::room) again by it. That is for all who wait:
    /// opening does not use it up.
    pub(super) makes_room: bool,
    /// It had no place.
    pub(super) was_held: bool,
    /// It had one, and a stream that was held has it now.
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
            left: Left::default(),
            live: 0,
            closing: false,
            stats: Stats::default(),
            unacknowledged: 0,
            going_away: false,
            peer_going_away: false,
            peer_has_closed: false,
            write_error: None,
            end: None,
        }
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Arc<Core>> {
        self.streams.get(&id).map(|entry| &entry.core)
    }

    /// Whether the peer has nothing more to send on any stream.
    pub(super) fn peer_has_finished(&self) -> bool {
        let mut streams = self.streams.values();
        streams.all(|entry| entry.core.has_received_all())
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Why no stream can be opened from this side, if so.
    pub(super) fn closed_to_us(&self) -> Option<Error> {
        let closed = self.is_going_away() || self.has_used_up_ids();
        self.failure().or(closed.then_some(Error::GoingAway))
    }

    /// The same for a stream that carries on one which was let in before this side
    /// went away.
    pub(super) fn closed_to_relays(&self) -> Option<Error> {
        let closed = self.peer_going_away || self.has_used_up_ids();
        self.failure().or(closed.then_some(Error::GoingAway))
    }

    /// Whether this side has numbered all the streams it can.
    pub(super) fn has_used_up_ids(&self) -> bool {
        self.next.is_none()
    }

    /// Has the stream that is opened next be the last one.
    #[cfg(test)]
    pub(super) fn use_up_ids(&mut self) {
        self.next = match self.role {
            Role::Client => Some(u32::MAX),
            Role::Server => Some(u32::MAX - 1),
        };
    }

    /// Whether one more stream of ours is in the bounds. Those that nobody here
    /// uses any more count, as the peer may never end its halves.
    pub(super) fn room(&self, config: &Config, now: impl FnOnce() -> Instant) -> Room {
        if self.left.ours.len() < most_left(config) {
            return Room::Free;
        }
        let first = self.first(&self.left.ours);
        first.map_or(Room::Free, |(core, left)| {
            let due = left + config.write_timeout;
            if due <= now() {
                Room::Instead(core)
            } else {
                Room::At(due)
            }
        })
    }

    /// The one of these that nobody here has used for the longest time, and
    /// since when.
    fn first(&self, left: &LeftQueue) -> Option<(Arc<Core>, Instant)> {
        let (since, id) = left.0.front()?;
        Some((Arc::clone(self.get(*id)?), *since))
    }

    /// Whether this side numbered the stream.
    pub(super) fn is_ours(&self, id: StreamId) -> bool {
        self.role.is_ours(id)
    }

    /// Where the stream is, or would be, once nobody here uses it any more.
    fn left_like(&mut self, id: StreamId) -> &mut LeftQueue {
        match self.role.is_ours(id) {
            true => &mut self.left.ours,
            false => &mut self.left.theirs,
        }
    }

    /// Numbers and enters a stream of ours.
    pub(super) fn open(&mut self) -> Result<Arc<Core>, Error> {
        let id = self.next.ok_or(Error::GoingAway)?;
        self.next = id.checked_add(2);
        let core = Arc::new(Core::new(StreamId(id), false));
        self.insert(&core);
        self.unacknowledged += 1;
        self.live += 1;
        self.stats.streams_opened += 1;
        Ok(core)
    }

    /// Judges a SYN of the peer's.
    pub(super) fn judge(
        &self,
        id: StreamId,
        config: &Config,
        now: impl FnOnce() -> Instant,
    ) -> Result<Inbound, Violation> {
        if self.role.is_ours(id) {
            return Err(Violation::WrongParity(id));
        }
        if self.streams.contains_key(&id) {
            return Err(Violation::OpenedTwice(id));
        }
        if self.going_away || self.end.is_some() {
            return Ok(Inbound::Refuse);
        }
        if self.inbound < config.max_streams {
            return Ok(Inbound::Open);
        }
        if let Some(overdue) = self.overdue(config, now) {
            return Ok(Inbound::Instead(overdue));
        }
        // Without any place, none would ever be free.
        let may_wait = config.max_streams > 0 && self.held.len() < config.backlog;
        Ok(if may_wait {
            Inbound::Hold
        } else {
            Inbound::Refuse
        })
    }

    /// The stream of the peer's that nobody here has used for the longest time,
    /// if the peer has had its time to end it.
    pub(super) fn overdue(
        &self,
        config: &Config,
        now: impl FnOnce() -> Instant,
    ) -> Option<Arc<Core>> {
        let first = self.first(&self.left.theirs);
        let overdue = first.filter(|(_, left)| *left + config.write_timeout <= now());
        overdue.map(|(core, _)| core)
    }

    /// The earliest time at which there may be an [overdue](Self::overdue)
    /// stream.
    pub(super) fn next_overdue(&self, config: &Config, now: impl FnOnce() -> Instant) -> Instant {
        let first = self.left.theirs.0.front();
        first.map_or_else(now, |(since, _)| *since) + config.write_timeout
    }

    fn insert(&mut self, core: &Arc<Core>) {
        let core = Arc::clone(core);
        self.streams.insert(core.id, Entry { core, left: None });
    }

    /// Enters a stream that the peer opened.
    pub(super) fn accept(&mut self, id: StreamId) -> Arc<Core> {
        let core = Arc::new(Core::new(id, true));
        self.insert(&core);
        self.inbound += 1;
        self.live += 1;
        self.stats.streams_accepted += 1;
        core
    }

    /// Enters a stream that the peer opened and that has no place yet.
    pub(super) fn hold(&mut self, id: StreamId) -> Arc<Core> {
        let core = Arc::new(Core::new(id, true));
        self.insert(&core);
        let at = self.held.partition_point(|other| *other < id);
        self.held.insert(at, id);
        self.live += 1;
        core
    }

    /// How many streams have no place.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes those out that have no place: at once, so that none of them gets one
    /// meanwhile.
    pub(super) fn take_held(&mut self) -> Vec<Arc<Core>> {
        let held = std::mem::take(&mut self.held).into_iter();
        let entries = held.filter_map(|id| self.streams.remove(&id));
        let held: Vec<_> = entries.map(|entry| entry.core).collect();
        self.stats.streams_refused += held.len() as u64;
        self.live -= held.iter().filter(|core| core.retire()).count();
        held
    }

    /// Gives a place that is free to a stream that has none; says whether there
    /// was one.
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

    /// Whether streams wait for a place, or to be handed over since they have
    /// one.
    pub(super) fn has_waiting(&self) -> bool {
        !self.held.is_empty() || self.has_promoted()
    }

    /// Whether streams wait to be handed over that had no place before.
    pub(super) fn has_promoted(&self) -> bool {
        !self.promoted.is_empty()
    }

    pub(super) fn next_promoted(&mut self) -> Option<Arc<Core>> {
        self.promoted.pop_front()
    }

    /// Nobody here uses the stream any more; says whether the connection is to
    /// close by it.
    pub(super) fn retire(&mut self, id: StreamId, now: impl FnOnce() -> Instant) -> bool {
        self.live -= 1;
        if let Some(entry) = self.streams.get_mut(&id) {
            let since = now();
            entry.left = Some(since);
            self.left_like(id).push(since, id);
        }
        self.is_idle()
    }

    /// Whether the connection is to close, and nothing keeps it from that. A stream
    /// that the peer has not acknowledged does, though nobody here uses it any more:
    /// the peer may hold it until it has a place, and lets go of it when the
    /// connection ends.
    pub(super) fn is_idle(&self) -> bool {
        self.closing && self.live == 0 && self.unacknowledged == 0
    }

    /// Streams that keep it from that.
    pub(super) fn busy(&self) -> usize {
        let streams = self.streams.values();
        let left = streams.filter(|entry| entry.left.is_some());
        let unacknowledged = left.filter(|entry| entry.core.is_unacknowledged());
        self.live + unacknowledged.count()
    }

    /// Streams that somebody here still uses.
    #[cfg(any(test, fuzzing))]
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Whether either side has said that it wants no new streams.
    pub(super) fn is_going_away(&self) -> bool {
        self.going_away || self.peer_going_away
    }

    /// Counts a stream that was reset. At the connection's end all are counted
    /// that were in use then, those among them whose users find out now.
    pub(super) fn count_reset(&mut self) {
        if self.end.is_none() {
            self.stats.streams_reset += 1;
        }
    }

    /// Forgets a stream that is gone; `None` if it was taken out before.
    pub(super) fn remove(&mut self, id: StreamId, config: &Config) -> Option<Removed> {
        let entry = self.streams.remove(&id)?;
        if let Some(since) = entry.left {
            self.left_like(id).remove(since, id);
        }
        if self.role.is_ours(id) {
            let makes_room = entry.left.is_some() && self.left.ours.len() + 1 == most_left(config);
            return Some(Removed {
                makes_room,
                ..Removed::default()
            });
        }
        let held = self.held.iter().position(|other| *other == id);
        let was_held = held.is_some();
        if let Some(at) = held {
            self.held.remove(at);
        }
        if was_held {
            self.stats.streams_refused += 1;
        } else {
            self.inbound -= 1;
        }
        Some(Removed {
            was_held,
            promoted: !was_held && self.promote(),
            ..Removed::default()
        })
    }

    /// Why the connection is of no use for sending, if so.
    pub(super) fn failure(&self) -> Option<Error> {
        self.end.as_ref().or(self.write_error.as_ref()).cloned()
    }

    /// Notes why nothing more can be sent; gives the streams.
    pub(super) fn set_write_error(&mut self, error: Error) -> Vec<Arc<Core>> {
        self.write_error.get_or_insert(error);
        let streams = self.streams.values();
        streams.map(|entry| Arc::clone(&entry.core)).collect()
    }

    pub(super) fn end(&self) -> Option<&Error> {
        self.end.as_ref()
    }

    /// Notes why the connection ended, and gives up the streams; `None` when
    /// it had ended before.
    pub(super) fn set_end(&mut self, error: Error) -> Option<Vec<Arc<Core>>> {
        if self.end.is_some() {
            return None;
        }
        self.end = Some(match (error, self.write_error.take()) {
            (error, None) => error,
            // The connection had ended before that write. How, the reader has
            // found, unless it gave up waiting for it.
            (error, Some(first)) if first.is_broken_pipe() && !matches!(error, Error::Closed) => {
                error
            }
            // What failed first is the cause: a peer's end that is read then is
            // what such a failure leaves.
            (_, Some(first)) => first,
        });
        self.inbound = 0;
        self.left = Left::default();
        self.promoted = VecDeque::new();
        let held = std::mem::take(&mut self.held).len();
        self.stats.streams_refused += held as u64;
        self.stats.streams_reset += (self.live - held) as u64;
        let streams = std::mem::take(&mut self.streams).into_values();
        Some(streams.map(|entry| entry.core).collect())
    }
}

/// How many streams of ours may wait for the peer to end its half.
fn most_left(config: &Config) -> usize {
    config.max_streams.max(config.backlog)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn config() -> Config {
        Config::default()
            .max_streams(2)
            .backlog(2)
            .write_timeout(Duration::from_secs(10))
    }

    /// Whether the verdict is that this one gives way.
    fn is_instead(verdict: &Inbound, id: u32) -> bool {
        matches!(verdict, Inbound::Instead(core) if core.id == StreamId(id))
    }

    #[test]
    fn a_stream_that_the_peer_leaves_half_open_gives_way_after_its_time() {
        let (config, began) = (config(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut table = Table::new(Role::Server);
        let judge = |table: &Table, seconds| table.judge(StreamId(5), &config, || at(seconds));
        table.accept(StreamId(1));
        table.accept(StreamId(3));
        // Both are in use, for however long.
        assert!(matches!(judge(&table, 1000), Ok(Inbound::Hold)));
        table.retire(StreamId(3), || at(0));
        table.retire(StreamId(1), || at(1));
        assert!(matches!(judge(&table, 9), Ok(Inbound::Hold)));
        assert!(is_instead(&judge(&table, 10).unwrap(), 3));
        table.remove(StreamId(3), &config);
        assert!(matches!(judge(&table, 10), Ok(Inbound::Open)));
        table.accept(StreamId(5));
        let verdict = table.judge(StreamId(7), &config, || at(11));
        assert!(is_instead(&verdict.unwrap(), 1));
    }

    #[test]
    fn a_place_goes_to_the_oldest_stream_that_is_held() {
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
        // There is none for the newcomer.
        assert!(matches!(judge(&table, 9), Ok(Inbound::Hold)));
        // One that is held leaves none.
        let removed = table.remove(StreamId(7), &config).unwrap();
        assert!(removed.was_held && !removed.promoted);
        assert!(!table.remove(StreamId(1), &config).unwrap().promoted);
        assert!(!table.has_waiting());
        assert!(matches!(judge(&table, 9), Ok(Inbound::Open)));
        let stats = table.stats;
        assert_eq!((stats.streams_accepted, stats.streams_refused), (3, 1));
    }

    #[test]
    fn without_any_place_nothing_is_held() {
        let (config, table) = (config().max_streams(0), Table::new(Role::Server));
        let verdict = table.judge(StreamId(1), &config, Instant::now);
        assert!(matches!(verdict, Ok(Inbound::Refuse)));
    }

    #[test]
    fn streams_of_ours_that_the_peer_leaves_half_open_have_a_bound() {
        let (config, began) = (config(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut table = Table::new(Role::Client);
        let ids = [(); 4].map(|()| table.open().unwrap().id);
        table.retire(ids[0], || at(1));
        assert!(matches!(table.room(&config, || at(1000)), Room::Free));
        table.retire(ids[1], || at(2));
        assert!(matches!(table.room(&config, || at(10)), Room::At(due) if due == at(11)));
        let room = table.room(&config, || at(11));
        assert!(matches!(room, Room::Instead(core) if core.id == ids[0]));
        assert!(table.remove(ids[0], &config).unwrap().makes_room);
        assert!(matches!(table.room(&config, || at(11)), Room::Free));
        // One that ends in order is not counted at all.
        assert!(!table.remove(ids[2], &config).unwrap().makes_room);
        table.retire(ids[2], || at(11));
        assert!(matches!(table.room(&config, || at(11)), Room::Free));
    }

    #[test]
    fn room_for_many_streams_that_were_left_is_given_back_when_there_are_none() {
        let (config, began) = (config(), Instant::now());
        let mut table = Table::new(Role::Client);
        let ids = [(); 1000].map(|()| table.open().unwrap().id);
        for id in ids {
            table.retire(id, || began);
        }
        for id in ids {
            assert_ne!(table.left.ours.0.capacity(), 0);
            table.remove(id, &config);
        }
        assert_eq!(table.left.ours.0.capacity(), 0);
    }

    /// The least time that a hundred verdicts take, with so many streams that
    /// the peer has left half open.
    fn verdicts(streams: u32) -> Duration {
        let (config, began) = (config().max_streams(streams as usize), Instant::now());
        let mut table = Table::new(Role::Server);
        for id in (1..).step_by(2).map(StreamId).take(streams as usize) {
            table.accept(id);
            table.retire(id, || began);
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
    fn a_verdict_costs_little_however_many_streams_there_are() {
        let (few, many) = (verdicts(100), verdicts(10_000));
        assert!(many < 20 * few, "{few:?} and {many:?}");
    }
}
