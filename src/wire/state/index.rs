//! Sessions by a key that several may share: an identification, or a stream name.

use crate::wire::session::id::SessionId;
use std::collections::BTreeSet;

/// The ids of sessions by a key, and for each key in the order in which the sessions were
/// established.
#[derive(Default)]
pub(super) struct Index {
    entries: BTreeSet<(Box<[u8]>, Order, SessionId)>,
}

/// The position of a session in the order in which they were established.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order(u64);

impl Order {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Index {
    pub(super) fn insert(&mut self, key: &[u8], order: Order, id: SessionId) {
        self.entries.insert((key.into(), order, id));
    }

    pub(super) fn remove(&mut self, key: &[u8], order: Order, id: SessionId) {
        self.entries.remove(&(key.into(), order, id));
    }

    /// Returns the sessions with this key. The one that was established last comes first.
    pub(super) fn latest_first(&self, key: &[u8]) -> impl Iterator<Item = SessionId> {
        let first = (key.into(), Order(0), SessionId::MIN);
        let last = (key.into(), Order(u64::MAX), SessionId::MAX);
        let entries = self.entries.range(first..=last);
        entries.rev().map(|(_, _, id)| *id)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
