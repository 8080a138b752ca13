//! Letting in the streams that the peer opens.
//!
//! As many as [`Config::max_streams`](super::Config::max_streams) says are
//! handed to the [`Acceptor`] as they come. Of more, the
//! [backlog](super::Config::backlog) is *held*: what the peer sends on such a
//! stream is buffered, but the stream is neither acknowledged nor handed over
//! before it has a place, which another stream of the peer's leaves when it is
//! gone. Peers stop opening at some number of streams that are not acknowledged,
//! so one that opens many at once waits, as for a side that is slow to accept.
//!
//! A held stream reserves its window from the connection's budget, so that
//! what a peer may make this side buffer stays what it is without any.
//!
//! A stream may be gone by a call on any thread, under locks of the caller's.
//! So the call only gives the place away; the acceptor is called by the reader,
//! if it is dispatching just then, or else by a thread that is started for it.

use super::Shared;
use crate::{
    guard,
    spawn::spawn,
    sync::{self, thread},
    yamux::{
        acceptor::Acceptor,
        core::{Core, Incoming},
        frame::{Flags, Header},
        state::ResetBy,
        window::INITIAL_WINDOW,
    },
};
use std::{sync::Arc, time::Instant};

impl Shared {
    pub(in crate::yamux) fn set_acceptor(&self, acceptor: Acceptor) {
        let before = self.acceptor.lock().replace(acceptor);
        // Not under the lock: it may be the last to hold something.
        drop(before);
    }

    /// What the acceptor holds may hold the connection.
    pub(in crate::yamux) fn drop_acceptor(&self) {
        let acceptor = self.acceptor.lock().take();
        drop(acceptor);
    }

    /// Hands a stream over that has its place.
    pub(in crate::yamux) fn offer(self: &Arc<Self>, core: &Arc<Core>) {
        let acceptor = self.acceptor.lock().clone();
        let stream = Incoming(Arc::clone(core));
        if !acceptor.is_some_and(|acceptor| acceptor.offer(stream)) {
            self.reset(core);
        }
    }

    /// The reader begins to dispatch; says whether it is the one to hand over at
    /// the end what is promoted meanwhile.
    pub(in crate::yamux) fn begin_handing_over(&self) -> bool {
        self.handing_over.begin()
    }

    /// A stream was promoted: has it handed over.
    pub(in crate::yamux) fn hand_over_elsewhere(self: &Arc<Self>) {
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
            guard::log(|| {
                log::debug!(target: "wirenet::yamux", "left to the reader's next turn: {error}");
            });
            self.handing_over.end();
        }
    }

    /// The reader has dispatched: makes places for what is held, and hands over
    /// what got one. Says whether the reader is to come back to that, `true`
    /// unless nothing is held: only a reader holds streams.
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

    /// Hands over what was promoted, and is meanwhile; for who has begun to.
    fn hand_over_promoted(self: &Arc<Self>) {
        loop {
            while let Some(core) = self.next_promoted() {
                self.offer(&core);
            }
            self.handing_over.end();
            // Who promoted another just before has left it to this call.
            if !self.table.lock().has_promoted() || !self.handing_over.begin() {
                return;
            }
        }
    }

    /// Apart, so that the table is not locked meanwhile.
    fn next_promoted(&self) -> Option<Arc<Core>> {
        self.table.lock().next_promoted()
    }

    /// Resets streams that the peer has had its time to end, for those that are
    /// held.
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

    /// When there may be something to evict for those that are held.
    pub(in crate::yamux) fn next_eviction(&self) -> Option<Instant> {
        let table = self.table.lock();
        let is_wanted = table.held() > 0;
        is_wanted.then(|| table.next_overdue(&self.config, sync::now))
    }

    /// Refuses what is held, to leave with what is sent next: this side lets no
    /// more in.
    pub(in crate::yamux) fn refuse_held(&self) {
        let held = self.table.lock().take_held();
        for core in &held {
            self.release_window();
            // The reader may be dealing with the peer's reset.
            if core.reset(ResetBy::Us) {
                let reset = Header::window_update(core.id, Flags::RST, 0);
                self.outbox.push_owed(reset);
            }
        }
    }

    /// Takes the window of one more held stream from the budget.
    pub(in crate::yamux) fn reserve_window(&self) -> bool {
        self.budget.reserve(INITIAL_WINDOW as usize)
    }

    pub(in crate::yamux) fn release_window(&self) {
        self.budget.release(INITIAL_WINDOW as usize);
    }
}
