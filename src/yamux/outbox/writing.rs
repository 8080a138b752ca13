//! The writing role: taking it, using it, handing it on.

use super::{Outbox, OutboxPhase, OutboxState};
use crate::{
    transport::Wait,
    yamux::{
        relay::{Relay, RelayEnd},
        writer::OutboxWriter,
    },
};
use std::{io, sync::Arc};

/// Bytes after which the holder of the role wants to be relieved of it.
const LONG_SHIFT: usize = 1024 * 1024;

/// One thread's time with the writing role.
#[derive(Debug)]
pub(in crate::yamux) struct Shift {
    writer: Box<OutboxWriter>,
    wait: Wait,
    /// Whether the thread was started to write. Any other thread has something else
    /// to do, so relays that refill the outbox must not keep it busy.
    is_helper: bool,
    /// Bytes that were taken out of the queue, to be written in this shift.
    served: usize,
}

/// How far a shift has got.
#[derive(Debug)]
pub(in crate::yamux) enum Drained {
    /// Everything is written, or another thread continues.
    Done,
    /// Another thread must continue: the transport accepts no more without waiting,
    /// or the shift is over.
    Unfinished(Box<OutboxWriter>),
    /// Relays wait for room, and there may be some: the caller serves them, and
    /// continues.
    Room(Shift),
}

impl Shift {
    pub(in crate::yamux) fn new(writer: Box<OutboxWriter>, wait: Wait) -> Self {
        let served = writer.pending();
        Self {
            writer,
            wait,
            is_helper: false,
            served,
        }
    }

    /// Begins the shift of a thread that was started to write, and may wait.
    pub(in crate::yamux) fn of_helper(writer: Box<OutboxWriter>) -> Self {
        Self {
            is_helper: true,
            ..Self::new(writer, Wait::Block)
        }
    }

    /// Returns whether waiting relays are left to a helper.
    fn leaves_relays(&self, state: &OutboxState) -> bool {
        // A thread that may block could wait for long on behalf of others.
        let enough = match self.wait {
            Wait::Block => 0,
            Wait::Never => LONG_SHIFT,
        };
        state.relays_wait() && !self.is_helper && self.served >= enough && state.waiting == 0
    }
}

impl OutboxState {
    pub(super) fn relays_wait(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Notes that everything taken out of the queue is written. Only the holder of
    /// the role takes more out.
    fn note_written(&mut self) {
        self.written = self.queue.taken();
        self.loads_written = self.loads;
    }
}

impl Outbox {
    /// Takes the role if frames are queued and no thread is writing. A caller that
    /// may block waits for the role if its holder wants to be relieved.
    pub(in crate::yamux) fn take_role(&self, wait: Wait) -> Option<Box<OutboxWriter>> {
        let mut state = self.state.lock();
        while wait == Wait::Block
            && state.relief
            && state.writer.is_none()
            && state.phase != OutboxPhase::Ended
        {
            self.wait(&mut state, None);
        }
        if state.queue.is_empty() && state.phase != OutboxPhase::Finishing {
            self.pass_on_locked(&state);
            return None;
        }
        self.take_locked(&mut state)
    }

    /// Takes the role if it is free, and all queued frames with it.
    pub(super) fn take_locked(&self, state: &mut OutboxState) -> Option<Box<OutboxWriter>> {
        let mut writer = state.writer.take()?;
        self.load(state, &mut writer);
        Some(writer)
    }

    /// Moves all queued frames to the writer, which makes room.
    fn load(&self, state: &mut OutboxState, writer: &mut OutboxWriter) {
        writer.load(&mut state.queue);
        state.loads += 1;
        self.pass_on_locked(state);
    }

    /// Writes the frames that the writer has taken out and those queued meanwhile,
    /// until none are left, another thread takes over, or relays are to be served.
    ///
    /// # Errors
    ///
    /// The transport's error. If the shift may block, `WouldBlock` means that the
    /// write timeout has passed.
    pub(in crate::yamux) fn drain(&self, mut shift: Shift) -> io::Result<Drained> {
        loop {
            if !shift.writer.write(shift.wait)? {
                return Ok(Drained::Unfinished(shift.writer));
            }
            let mut state = self.state.lock();
            state.note_written();
            if state.phase == OutboxPhase::Ended {
                return Ok(Drained::Done);
            }
            if shift.leaves_relays(&state) {
                return Ok(Drained::Unfinished(shift.writer));
            }
            if state.queue.is_empty() {
                if state.relays_wait() {
                    return Ok(Drained::Room(shift));
                }
                if state.phase == OutboxPhase::Open || shift.writer.is_finished() {
                    self.rest(&mut state, shift.writer);
                    return Ok(Drained::Done);
                }
                // Noted first, because the peer may answer the end immediately.
                state.finish_begun = true;
                drop(state);
                if !shift.writer.finish(shift.wait)? {
                    return Ok(Drained::Unfinished(shift.writer));
                }
                continue;
            }
            if state.waiting > 0 {
                self.hand_on(&mut state, shift.writer);
                return Ok(Drained::Done);
            }
            state.relief = shift.served >= LONG_SHIFT || shift.wait == Wait::Never;
            self.load(&mut state, &mut shift.writer);
            shift.served += shift.writer.pending();
            if state.relays_wait() {
                return Ok(Drained::Room(shift));
            }
        }
    }

    /// Frees the role, because everything is written.
    fn rest(&self, state: &mut OutboxState, mut writer: Box<OutboxWriter>) {
        state.relief = false;
        writer.give_back();
        state.queue.give_back();
        self.return_role(state, writer);
        self.pass_on_locked(state);
    }

    /// Gives the role to one of the waiting threads.
    fn hand_on(&self, state: &mut OutboxState, writer: Box<OutboxWriter>) {
        state.relief = false;
        self.return_role(state, writer);
        self.changed.notify_one();
    }

    fn return_role(&self, state: &mut OutboxState, writer: Box<OutboxWriter>) {
        state.writer = Some(writer);
        self.settled.notify_all();
    }

    /// Returns the relay to serve next, if there is room for one of its frames.
    /// Only for the holder of the role.
    pub(in crate::yamux) fn next_relay(&self) -> Option<(Arc<dyn Relay>, RelayEnd)> {
        let mut state = self.state.lock();
        // Without room for both frames and grants, a relay would only be parked
        // again.
        if state.queue.is_full_for_relays() || !state.queue.has_room_for_grants() {
            return None;
        }
        state.parked.pop_front()
    }
}
