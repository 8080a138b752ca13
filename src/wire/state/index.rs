//! Sessions by a key that several may share: an identification, or a stream name.

use crate::wire::session::id::SessionId;
use std::collections::BTreeMap;

/// The ids of sessions by a key, and for each key in the order in which the sessions were
/// established.
#[derive(Default)]
pub(super) struct Index {
    /// No list is empty.
    sessions: BTreeMap<Box<[u8]>, Vec<(Order, SessionId)>>,
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
    /// Adds a session, which was established after those that have the key already.
    pub(super) fn add(&mut self, key: &[u8], order: Order, id: SessionId) {
        match self.sessions.get_mut(key) {
            Some(sessions) => sessions.push((order, id)),
            None => self.set(key, order, id),
        }
    }

    /// Makes a session the only one that has the key.
    pub(super) fn set(&mut self, key: &[u8], order: Order, id: SessionId) {
        self.sessions.insert(key.into(), vec![(order, id)]);
    }

    /// Removes a session, if it has the key.
    pub(super) fn remove(&mut self, key: &[u8], order: Order, id: SessionId) {
        let Some(sessions) = self.sessions.get_mut(key) else {
            return;
        };
        if let Ok(index) = sessions.binary_search(&(order, id)) {
            // Moving entries costs little compared with the thread that each session has.
            sessions.remove(index);
        }
        if sessions.is_empty() {
            self.sessions.remove(key);
        }
    }

    /// Returns the sessions with this key. The one that was established last comes first.
    pub(super) fn latest_first(&self, key: &[u8]) -> impl Iterator<Item = SessionId> {
        let sessions = self.sessions.get(key).into_iter().flatten();
        sessions.rev().map(|(_, id)| *id)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}
