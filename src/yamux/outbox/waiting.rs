//! Waiting for the outbox: for room, for everything to be written, for the writer.

use super::{Outbox, OutboxPhase, OutboxState};
use crate::{sync::MutexGuard, yamux::writer::OutboxWriter};
use std::time::Instant;

/// The outbox has ended, or the deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::yamux) enum NoRoom {
    Ended,
    TimedOut,
}

/// The outcome of waiting for room.
#[derive(Debug)]
pub(in crate::yamux) enum Admission {
    /// The thread may try again; another thread may be faster.
    Retry,
    /// The thread has the writing role, which was free, and must use it.
    Role(Box<OutboxWriter>),
}

impl Outbox {
    /// Waits until data may be queued, or something else has changed. The caller
    /// must try again, and then queue something or call [`pass_on`](Self::pass_on).
    pub(in crate::yamux) fn wait_room(
        &self,
        deadline: Option<Instant>,
    ) -> Result<Admission, NoRoom> {
        let mut state = self.state.lock();
        let (mut waited, mut timed_out) = (false, false);
        loop {
            if state.phase == OutboxPhase::Ended {
                return Err(NoRoom::Ended);
            }
            // Perhaps only this thread was woken because the role is free, so the role is
            // checked before the room and the deadline.
            if (waited || state.queue.is_full())
                && !state.queue.is_empty()
                && let Some(writer) = self.take_locked(&mut state)
            {
                return Ok(Admission::Role(writer));
            }
            if state.phase == OutboxPhase::Finishing {
                self.pass_on_locked(&state);
                return Err(NoRoom::Ended);
            }
            if !state.queue.is_full() || (waited && !timed_out) {
                return Ok(Admission::Retry);
            }
            if timed_out {
                self.pass_on_locked(&state);
                return Err(NoRoom::TimedOut);
            }
            timed_out = self.wait(&mut state, deadline);
            waited = true;
        }
    }

    /// Returns a mark that is reached when all frames that are now queued ahead of
    /// data are written.
    pub(in crate::yamux) fn control_mark(&self) -> u64 {
        let state = self.state.lock();
        state.loads + u64::from(state.queue.has_control())
    }

    /// Waits until everything up to a [mark](Self::control_mark) is written; without a
    /// mark, or once this side has finished, until everything is. Returns the writer
    /// if the caller has to write; `None` when it is done, the outbox has ended, or
    /// the deadline has passed.
    pub(in crate::yamux) fn wait_written(
        &self,
        mark: Option<u64>,
        deadline: Instant,
    ) -> Option<Box<OutboxWriter>> {
        let mut state = self.state.lock();
        loop {
            let is_enough = match (state.phase, mark) {
                (OutboxPhase::Ended, _) => return None,
                (OutboxPhase::Finishing, _) => {
                    state.writer.as_ref().is_some_and(|w| w.is_finished())
                }
                (OutboxPhase::Open, Some(mark)) => state.loads_written >= mark,
                (OutboxPhase::Open, None) => state.queue.is_empty() && state.writer.is_some(),
            };
            if is_enough {
                self.pass_on_locked(&state);
                return None;
            }
            if let Some(writer) = self.take_locked(&mut state) {
                return Some(writer);
            }
            if self.wait(&mut state, Some(deadline)) {
                return None;
            }
        }
    }

    /// Returns whether a thread has the writing role.
    pub(in crate::yamux) fn is_being_written(&self) -> bool {
        self.state.lock().is_being_written()
    }

    /// Waits until no thread is writing. A holder whose write fails records the
    /// reason before it ends the outbox.
    pub(in crate::yamux) fn wait_writer(&self, deadline: Instant) {
        let mut state = self.state.lock();
        while state.is_being_written() {
            if self.settled.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    /// Wakes another waiting thread, for a caller that was woken and does not use
    /// the room.
    pub(in crate::yamux) fn pass_on(&self) {
        self.pass_on_locked(&self.state.lock());
    }

    pub(super) fn pass_on_locked(&self, state: &OutboxState) {
        if state.waiting > 0 && (!state.queue.is_full() || state.writer.is_some()) {
            self.changed.notify_one();
        }
    }

    /// Makes all waiting threads check again.
    pub(in crate::yamux) fn wake_all(&self) {
        self.changed.notify_all();
    }

    /// Waits on `changed`. Returns whether the deadline passed.
    pub(super) fn wait(
        &self,
        state: &mut MutexGuard<'_, OutboxState>,
        deadline: Option<Instant>,
    ) -> bool {
        state.waiting += 1;
        let timed_out = match deadline {
            None => {
                self.changed.wait(state);
                false
            }
            Some(deadline) => self.changed.wait_until(state, deadline).timed_out(),
        };
        state.waiting -= 1;
        timed_out
    }
}

impl OutboxState {
    fn is_being_written(&self) -> bool {
        self.writer.is_none() && self.phase != OutboxPhase::Ended
    }
}
