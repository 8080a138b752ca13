//! Streams that the peer opens: handing them over, and holding those that have no
//! place yet.
//!
//! As many as [`Config::max_streams`](crate::yamux::Config::max_streams) allows are
//! handed to the [`Acceptor`] as they come. Beyond that, up to
//! [`Config::backlog`](crate::yamux::Config::backlog) streams are *held*: what the
//! peer sends on such a stream is buffered, but the stream is neither acknowledged
//! nor handed over until it has a place. A place becomes free when another of the
//! peer's streams is gone. Peers stop opening streams when some number of them is
//! not acknowledged, so a peer that opens many at once waits, as it would for a
//! side that is slow to accept.
//!
//! A held stream reserves its window from the connection's budget, so that held
//! streams do not increase what a peer may make this side buffer.
//!
//! A stream may end in a call on any thread, while the caller holds locks of its
//! own. Such a call therefore only assigns the place (the held stream is
//! *promoted*). The reader calls the acceptor if it is dispatching at that moment;
//! otherwise a thread is started for that.

use super::Shared;
use crate::{
    spawn::spawn,
    sync::{self, thread},
    yamux::{
        acceptor::Acceptor,
        core::{Core, Incoming},
        frame::{Flags, Header},
        outbox::Lane,
        state::ResetBy,
        window::INITIAL_WINDOW,
    },
};
use std::{sync::Arc, time::Instant};

impl Shared {
    pub(in crate::yamux) fn set_acceptor(&self, acceptor: Acceptor) {
        let before = self.acceptor.lock().replace(acceptor);
        // Not under the lock, because dropping it may take locks.
        drop(before);
    }

    /// Drops what the acceptor holds, which may be the connection.
    pub(in crate::yamux) fn drop_acceptor(&self) {
        let acceptor = self.acceptor.lock().take();
        drop(acceptor);
    }

    /// Hands over a stream that has a place.
    pub(in crate::yamux) fn offer(self: &Arc<Self>, core: &Arc<Core>) {
        let acceptor = self.acceptor.lock().clone();
        let stream = Incoming(Arc::clone(core));
        if !acceptor.is_some_and(|acceptor| acceptor.offer(stream)) {
            self.reset(core);
        }
    }

    /// Notes that the reader begins to dispatch. Returns whether the reader must
    /// hand over, at the end, the streams that are promoted meanwhile.
    pub(in crate::yamux) fn begin_handing_over(&self) -> bool {
        self.handing_over.begin()
    }

    /// Starts a thread that hands over a promoted stream, unless another thread
    /// already does.
    pub(super) fn hand_over_elsewhere(self: &Arc<Self>) {
        if !self.handing_over.begin() {
            return;
        }
        #[cfg(any(test, fuzzing))]
        if self.config.in_lockstep {
            return self.handing_over.end();
        }
        let shared = Arc::clone(self);
        let helper = thread::Builder::new()
            .name(format!("{}-acceptor", self.config.thread_name))
            .stack_size(self.config.stack_size);
        if spawn(helper, move || shared.hand_over_promoted()).is_err() {
            // The next read hands the stream over.
            self.handing_over.end();
        }
    }

    /// Makes places for held streams and hands over those that got one, after the
    /// reader has dispatched. Returns whether streams were waiting: then the reader must
    /// do so again. Only a reader holds streams, so none is added meanwhile.
    pub(in crate::yamux) fn end_handing_over(self: &Arc<Self>, begun: bool) -> bool {
        let waits = self.table.lock().has_waiting();
        if waits {
            self.evict_for_held();
        }
        if begun {
            self.handing_over.end();
        }
        if waits && self.handing_over.begin() {
            self.hand_over_promoted();
        }
        waits
    }

    /// Hands over the promoted streams, including those promoted meanwhile. Only
    /// for a thread that has claimed this job.
    fn hand_over_promoted(self: &Arc<Self>) {
        loop {
            while let Some(core) = self.next_promoted() {
                self.offer(&core);
            }
            self.handing_over.end();
            // Another thread may just have promoted a stream, and left it to this
            // thread.
            if !self.table.lock().has_promoted() || !self.handing_over.begin() {
                return;
            }
        }
    }

    /// A function of its own, so that the table is not locked in the loop's body.
    fn next_promoted(&self) -> Option<Arc<Core>> {
        self.table.lock().next_promoted()
    }

    /// Resets half-open streams that the peer has had time to end, to make places
    /// for held ones.
    fn evict_for_held(self: &Arc<Self>) {
        let mut table = self.table.lock();
        for _ in 0..table.held() {
            let Some(overdue) = table.overdue(&self.config, sync::now) else {
                return;
            };
            drop(table);
            self.reset(&overdue);
            table = self.table.lock();
        }
    }

    /// Returns when a stream may have to be evicted to make a place for a held one.
    pub(in crate::yamux) fn next_eviction(&self) -> Option<Instant> {
        let table = self.table.lock();
        let is_wanted = table.held() > 0;
        is_wanted.then(|| table.next_overdue(&self.config, sync::now))
    }

    /// Refuses all held streams, because this side accepts no more. Queues the
    /// resets without flushing.
    pub(super) fn refuse_held(&self) {
        let held = self.table.lock().take_held();
        for core in &held {
            self.release_window();
            // The reader may be handling the peer's reset.
            if core.mark_reset(ResetBy::Us) {
                let reset = Header::window_update(core.id, Flags::RST, 0);
                self.outbox.push(Lane::Answer, reset);
            }
        }
    }

    /// Reserves the window of one more held stream from the budget.
    pub(in crate::yamux) fn reserve_window(&self) -> bool {
        self.budget.reserve(INITIAL_WINDOW as usize)
    }

    pub(super) fn release_window(&self) {
        self.budget.release(INITIAL_WINDOW as usize);
    }
}
