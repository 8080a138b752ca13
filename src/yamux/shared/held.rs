//! Streams that the peer opens: handing them over, and holding those that have no
//! place yet.
//!
//! As many as [`Config::max_streams`](crate::yamux::Config::max_streams) allows are
//! handed to the [`Acceptor`] as they come. Beyond that, up to
//! [`Config::backlog`](crate::yamux::Config::backlog) streams are *held*: what the
//! peer sends on such a stream is buffered, but the stream is neither acknowledged
//! nor handed over before it has a place, which another stream of the peer's leaves
//! when it is gone. Peers stop opening streams when some number of them is not
//! acknowledged, so a peer that opens many at once waits, as it would for a side
//! that is slow to accept.
//!
//! A held stream reserves its window from the connection's budget, so that held
//! streams do not increase what a peer may make this side buffer.
//!
//! A stream may end in a call on any thread, while the caller holds locks of its
//! own. So that call only gives the place away (the held stream is *promoted*). The
//! acceptor is called by the reader if it is dispatching just then, or else by a
//! thread that is started for it.

use super::Shared;
use crate::{
    spawn::spawn,
    sync::{self, thread},
    user_code,
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
        // Not under the lock: it may own what takes locks when it is dropped.
        drop(before);
    }

    /// Drops what the acceptor holds, which may be the connection.
    pub(in crate::yamux) fn drop_acceptor(&self) {
        let acceptor = self.acceptor.lock().take();
        drop(acceptor);
    }

    /// Hands over a stream that has its place.
    pub(in crate::yamux) fn offer(self: &Arc<Self>, core: &Arc<Core>) {
        let acceptor = self.acceptor.lock().clone();
        let stream = Incoming(Arc::clone(core));
        if !acceptor.is_some_and(|acceptor| acceptor.offer(stream)) {
            self.reset(core);
        }
    }

    /// The reader begins to dispatch. Returns whether it is to hand over at the end
    /// what is promoted meanwhile.
    pub(in crate::yamux) fn begin_handing_over(&self) -> bool {
        self.handing_over.begin()
    }

    /// A stream was promoted: has another thread hand it over.
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
        if let Err(error) = spawn(helper, move || shared.hand_over_promoted()) {
            user_code::log(|| {
                log::debug!(target: "wirenet::yamux", "left to the reader's next read: {error}");
            });
            self.handing_over.end();
        }
    }

    /// The reader has dispatched: makes places for held streams, and hands over
    /// those that got one. Returns whether the reader is to come back to that, which
    /// is `true` unless nothing is held: only a reader holds streams.
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

    /// Hands over what was promoted, and what is promoted meanwhile. For a thread
    /// that has begun to.
    fn hand_over_promoted(self: &Arc<Self>) {
        loop {
            while let Some(core) = self.next_promoted() {
                self.offer(&core);
            }
            self.handing_over.end();
            // A thread that has just promoted another one has left it to this one.
            if !self.table.lock().has_promoted() || !self.handing_over.begin() {
                return;
            }
        }
    }

    /// A function of its own, so that the table is not locked in the loop's body.
    fn next_promoted(&self) -> Option<Arc<Core>> {
        self.table.lock().next_promoted()
    }

    /// Resets half-open streams that the peer has had time to end, for those that
    /// are held.
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

    /// When a stream may have to be evicted for those that are held.
    pub(in crate::yamux) fn next_eviction(&self) -> Option<Instant> {
        let table = self.table.lock();
        let is_wanted = table.held() > 0;
        is_wanted.then(|| table.next_overdue(&self.config, sync::now))
    }

    /// Refuses all held streams, as this side lets no more in. The resets leave with
    /// what is sent next.
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

    /// Takes the window of one more held stream from the budget.
    pub(in crate::yamux) fn reserve_window(&self) -> bool {
        self.budget.reserve(INITIAL_WINDOW as usize)
    }

    pub(super) fn release_window(&self) {
        self.budget.release(INITIAL_WINDOW as usize);
    }
}
