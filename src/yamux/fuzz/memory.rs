//! Checks of a connection's memory and counters.

use crate::yamux::{
    Connection,
    core::Core,
    frame::StreamId,
    segment::{MAX_PAYLOAD, SEGMENT},
    shared::Shared,
    window::INITIAL_WINDOW,
};
use std::{sync::Arc, time::Duration};

impl Connection {
    /// Checks the connection; see [`Shared::check`].
    pub(crate) fn check(&self, alone: bool) {
        self.shared().check(alone);
    }

    /// Lets time pass for windows and pings.
    pub(crate) fn age(&self) {
        let shared = self.shared();
        shared.pings.age(A_WHILE);
        for core in shared.streams() {
            core.recv.lock().window.age(A_WHILE);
        }
    }

    /// Returns a function that counts the owners of the connection's state.
    pub(crate) fn keepers(&self) -> impl Fn() -> usize + use<> {
        let shared = Arc::downgrade(self.shared());
        move || shared.strong_count()
    }
}

/// Long enough for the speed to be measured.
const A_WHILE: Duration = Duration::from_millis(5);

/// How many bytes of memory an outbox may take: its limit, one more frame, and the
/// answers to the peer in both of its parts; twice that, because buffers grow by
/// doubling; and a segment.
const OUTBOX: usize = 2 * (256 * 1024 + MAX_PAYLOAD + 2 * 64 * 1024) + SEGMENT;

impl Shared {
    /// Panics if the connection takes more memory than its limits allow. With
    /// `alone`, when no other thread is about to update the counters, also panics if
    /// a counter is wrong.
    pub(crate) fn check(&self, alone: bool) {
        let outbox = self.outbox.memory();
        assert!(outbox <= OUTBOX, "the outbox holds {outbox} bytes");
        let streams = self.streams();
        let grown: usize = streams.iter().map(|core| self.check_stream(core)).sum();
        let table = self.table.lock();
        if table.life.end().is_some() {
            assert_eq!(table.len(), 0, "streams outlive their connection");
            return;
        }
        assert!(table.inbound <= self.config.max_streams);
        assert!(table.held() <= self.config.backlog);
        assert!(table.held() == 0 || table.inbound == self.config.max_streams);
        assert!(table.unacknowledged <= self.config.backlog);
        if !alone {
            return;
        }
        let held = table.held() * INITIAL_WINDOW as usize;
        let taken = grown + self.orphaned.lock().bytes + held;
        assert_eq!(taken + self.budget.left(), self.config.window_budget);
        let count = |found: fn(&Core) -> bool| streams.iter().filter(|core| found(core)).count();
        assert_eq!(table.unacknowledged, count(Core::is_unacknowledged));
        assert_eq!(table.live(), count(Core::is_live));
        assert_eq!(count(Core::is_gone), 0, "a stream that is gone is kept");
        let is_inbound = |id: &&StreamId| !table.role.is_ours(**id);
        let inbound = table.streams.keys().filter(is_inbound).count();
        assert_eq!(table.inbound + table.held(), inbound);
        let half_open = &table.half_open;
        for (queue, inbound) in [(&half_open.ours, false), (&half_open.peers, true)] {
            let entries = table.streams.iter();
            let entries = entries.filter(|(id, _)| is_inbound(id) == inbound);
            let since = entries.filter_map(|(id, entry)| Some((entry.half_open_since?, *id)));
            let mut since: Vec<_> = since.collect();
            since.sort_unstable();
            assert!(queue.0.iter().is_sorted_by_key(|(since, _)| *since));
            let mut queue: Vec<_> = queue.0.iter().copied().collect();
            queue.sort_unstable();
            assert_eq!(queue, since);
        }
    }

    /// Returns the streams as a copy, because a stream is locked before the table.
    fn streams(&self) -> Vec<Arc<Core>> {
        let table = self.table.lock();
        let streams = table.streams.values();
        streams.map(|entry| Arc::clone(&entry.core)).collect()
    }

    /// Returns by how much the stream's window has grown.
    fn check_stream(&self, core: &Core) -> usize {
        let recv = core.recv.lock();
        let (buffered, grown) = recv.window.check(self.config.max_window);
        let (len, held) = (recv.inbox.len(), recv.inbox.memory());
        if !recv.reads_ended {
            // The rest belongs to a frame that is being received.
            assert!(len <= buffered as usize, "{len} of {buffered} bytes");
        }
        // The first and the last segment may be almost empty.
        assert!(held <= 2 * len + 2 * SEGMENT, "{held} bytes for {len}");
        grown
    }
}
