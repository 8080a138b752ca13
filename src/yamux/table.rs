//! The streams of a connection that are not gone, and the ids that they got.

use super::{
    config::Config,
    error::{Error, Violation},
    frame::StreamId,
    half::Core,
    stats::Stats,
};
use std::{collections::BTreeMap, sync::Arc};

/// Which side of the connection this is, and so whose ids are whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Dialled: opens streams 1, 3, 5 …
    Client,
    /// Accepted: opens streams 2, 4, 6 …
    Server,
}

impl Role {
    pub(super) fn first_id(self) -> u32 {
        match self {
            Self::Client => 1,
            Self::Server => 2,
        }
    }

    pub(super) fn is_ours(self, id: StreamId) -> bool {
        id.0 % 2 == self.first_id() % 2
    }
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) role: Role,
    /// Whether its streams may be relayed.
    relays: bool,
    /// Ordered, because that needs no random keys: a peer chooses the ids, and
    /// making keys takes more stack than all else that a reader does.
    pub(super) streams: BTreeMap<StreamId, Arc<Core>>,
    /// The next id to open with; `None` when they are used up.
    next: Option<u32>,
    /// Streams in the table that the peer opened.
    pub(super) inbound: usize,
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
    /// Why nothing more can be sent.
    write_error: Option<Error>,
    /// Why the connection ended.
    end: Option<Error>,
}

/// What to do about a stream that the peer wants to open.
#[derive(Debug)]
pub(super) enum Inbound {
    Open,
    /// There are too many, or we are going away.
    Refuse,
}

impl Table {
    pub(super) fn new(role: Role, relays: bool) -> Self {
        Self {
            role,
            relays,
            streams: BTreeMap::new(),
            next: Some(role.first_id()),
            inbound: 0,
            live: 0,
            closing: false,
            stats: Stats::default(),
            unacknowledged: 0,
            going_away: false,
            peer_going_away: false,
            write_error: None,
            end: None,
        }
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Arc<Core>> {
        self.streams.get(&id)
    }

    /// Whether the peer has nothing more to send on any stream.
    pub(super) fn peer_has_finished(&self) -> bool {
        self.streams.values().all(|core| core.has_received_all())
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Why no stream can be opened from this side, if so.
    pub(super) fn closed_to_us(&self) -> Option<Error> {
        self.failure()
            .or(self.is_going_away().then_some(Error::GoingAway))
    }

    /// Numbers and enters a stream of ours.
    pub(super) fn open(&mut self) -> Result<Arc<Core>, Error> {
        let id = self.next.ok_or(Error::IdsExhausted)?;
        self.next = id.checked_add(2);
        let core = Arc::new(Core::new(StreamId(id), false, self.relays));
        self.streams.insert(core.id, Arc::clone(&core));
        self.unacknowledged += 1;
        self.live += 1;
        self.stats.streams_opened += 1;
        Ok(core)
    }

    /// Judges a SYN of the peer's.
    pub(super) fn judge(&self, id: StreamId, config: &Config) -> Result<Inbound, Violation> {
        if self.role.is_ours(id) {
            return Err(Violation::WrongParity(id));
        }
        if self.streams.contains_key(&id) {
            return Err(Violation::OpenedTwice(id));
        }
        let full = self.inbound >= config.max_streams;
        Ok(if full || self.going_away || self.end.is_some() {
            Inbound::Refuse
        } else {
            Inbound::Open
        })
    }

    /// Enters a stream that the peer opened.
    pub(super) fn accept(&mut self, id: StreamId) -> Arc<Core> {
        let core = Arc::new(Core::new(id, true, self.relays));
        self.streams.insert(id, Arc::clone(&core));
        self.inbound += 1;
        self.live += 1;
        self.stats.streams_accepted += 1;
        core
    }

    /// Nobody here uses one of the streams any more; says whether the
    /// connection is to close by it.
    pub(super) fn retire(&mut self) -> bool {
        self.live -= 1;
        self.is_idle()
    }

    /// Whether the connection is to close, and nothing keeps it from that.
    pub(super) fn is_idle(&self) -> bool {
        self.closing && self.live == 0
    }

    /// Streams that somebody here still uses.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Whether either side has said that it wants no new streams.
    pub(super) fn is_going_away(&self) -> bool {
        self.going_away || self.peer_going_away
    }

    /// Forgets a stream that is gone.
    pub(super) fn remove(&mut self, id: StreamId) {
        if self.streams.remove(&id).is_none() {
            return;
        }
        if !self.role.is_ours(id) {
            self.inbound -= 1;
        }
    }

    /// Why the connection is of no use for sending, if so.
    pub(super) fn failure(&self) -> Option<Error> {
        self.end.as_ref().or(self.write_error.as_ref()).cloned()
    }

    /// Notes why nothing more can be sent; gives the streams.
    pub(super) fn set_write_error(&mut self, error: Error) -> Vec<Arc<Core>> {
        self.write_error.get_or_insert(error);
        self.streams.values().cloned().collect()
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
            // It had said all: what could not be sent then does not matter.
            (Error::ClosedByPeer, _) => Error::ClosedByPeer,
            (error, None) => error,
            // What failed first is the cause.
            (_, Some(first)) => first,
        });
        self.inbound = 0;
        self.stats.streams_reset += self.live as u64;
        Some(std::mem::take(&mut self.streams).into_values().collect())
    }
}
