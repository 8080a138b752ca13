//! What the handles of a stream share: sending, receiving, ending.

use crate::{
    sync::{Mutex, MutexGuard},
    transport::Wait,
    yamux::{
        core::{Core, RecvHalf, SendHalf},
        error::Error,
        error_context::AboutStream,
        frame::{Flags, Header},
        outbox::{Lane, Pushed},
        segment::Segment,
        shared::{Handle, sending::wait_for},
        state::{RecvState, ResetBy, SendState},
        table::Gone,
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(in crate::yamux) struct SharedStream {
    pub(super) core: Arc<Core>,
    pub(super) handle: Arc<Handle>,
    pub(super) timeouts: Mutex<Timeouts>,
}

/// Whether the stream may end after the frame that was just filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It may: nothing is being sent.
    Resting,
    /// More must follow.
    Busy,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Timeouts {
    pub(super) read: Option<Duration>,
    pub(super) write: Option<Duration>,
}

impl SharedStream {
    /// Waits until the inbox is not empty. Returns `None` at the stream's end.
    pub(in crate::yamux) fn wait_readable(
        &self,
        deadline: Option<Instant>,
    ) -> Result<Option<MutexGuard<'_, RecvHalf>>, Error> {
        let mut recv = self.core.recv.lock();
        loop {
            if !recv.inbox.is_empty() {
                return Ok(Some(recv));
            }
            match recv.state {
                _ if recv.reads_ended => return Err(Error::StreamClosed(self.about())),
                RecvState::Open | RecvState::Stopped => {}
                RecvState::Finished => return Ok(None),
                RecvState::Reset(by) => {
                    drop(recv);
                    return Err(self.reset_error(by));
                }
            }
            match deadline {
                None => self.core.readable.wait(&mut recv),
                Some(deadline) => {
                    let timed_out = self
                        .core
                        .readable
                        .wait_until(&mut recv, deadline)
                        .timed_out();
                    if timed_out && recv.waits() {
                        return Err(Error::timed_out());
                    }
                }
            }
        }
    }

    /// Grants the peer credit for the bytes that were taken out of the inbox.
    pub(super) fn give_credit(&self, mut recv: MutexGuard<'_, RecvHalf>, count: usize) {
        let shared = &self.handle.shared;
        let update = recv.consumed(count, || shared.tuning());
        drop(recv);
        if let Some(delta) = update {
            shared.update_window(self.core.id, delta);
        }
    }

    pub(in crate::yamux) fn send_frame(
        &self,
        deadline: Option<Instant>,
        plan: impl Fn(usize) -> usize,
        mut fill: impl FnMut(&mut Segment, usize) -> Rest,
    ) -> Result<usize, Error> {
        let shared = &self.handle.shared;
        loop {
            let mut send = self.core.send.lock();
            self.check_sending(&send)?;
            let count = plan(send.window.credit() as usize);
            if count == 0 && self.core.input_has_arrived() {
                shared.outbox.pass_on();
                return Ok(0);
            }
            if count == 0 {
                shared.outbox.pass_on();
                self.wait_credit(&mut send, deadline, &plan)?;
                continue;
            }
            let pushed = self.push_frame(&mut send, count, &mut fill);
            let rests = send.at_rest;
            drop(send);
            if self.after_push(pushed, wait_for(deadline)) {
                if rests {
                    shared.end_at_rest(&self.core);
                }
                return Ok(count);
            }
            shared.wait_room(deadline)?;
        }
    }

    /// Queues a frame within the credit. Under the sending half's lock, so that a FIN
    /// comes after it.
    fn push_frame(
        &self,
        send: &mut SendHalf,
        count: usize,
        fill: impl FnOnce(&mut Segment, usize) -> Rest,
    ) -> Pushed {
        let header = Header::data(self.core.id, count as u32);
        let outbox = &self.handle.shared.outbox;
        let mut rest = Rest::Busy;
        let pushed = outbox.try_send(header, count, |segment| rest = fill(segment, count));
        if !matches!(pushed, Pushed::NoRoom) {
            send.window.take(count as u32);
            send.at_rest = rest == Rest::Resting;
        }
        pushed
    }

    /// Writes if that is now this thread's job. Returns whether the frame was
    /// queued.
    fn after_push(&self, pushed: Pushed, wait: Wait) -> bool {
        let shared = &self.handle.shared;
        match pushed {
            Pushed::NoRoom => return false,
            Pushed::Queued => {}
            Pushed::Relieve => shared.flush(wait),
            Pushed::Role(writer) => shared.drain(writer, wait),
        }
        true
    }

    fn wait_credit(
        &self,
        send: &mut MutexGuard<'_, SendHalf>,
        deadline: Option<Instant>,
        plan: impl Fn(usize) -> usize,
    ) -> Result<(), Error> {
        while plan(send.window.credit() as usize) == 0 && !self.core.input_has_arrived() {
            self.check_sending(send)?;
            match deadline {
                None => self.core.writable.wait(send),
                Some(deadline) => {
                    if self.core.writable.wait_until(send, deadline).timed_out() {
                        return Err(Error::timed_out());
                    }
                }
            }
        }
        Ok(())
    }

    fn check_sending(&self, send: &SendHalf) -> Result<(), Error> {
        match send.state {
            SendState::Open => Ok(()),
            SendState::Finished => Err(Error::StreamClosed(self.about())),
            SendState::Reset(by) => Err(self.reset_error(by)),
        }
    }

    fn about(&self) -> AboutStream {
        AboutStream::new(self.core.id)
    }

    pub(super) fn reset_error(&self, by: ResetBy) -> Error {
        match by {
            ResetBy::Us => Error::Reset(self.about()),
            ResetBy::Peer => Error::ResetByPeer(self.about()),
            ResetBy::Connection => self.handle.shared.end_error(),
        }
    }

    pub(super) fn finish_sending(&self) {
        let shared = &self.handle.shared;
        let mut send = self.core.send.lock();
        let first = send.state.finish();
        if first {
            let fin = Header::window_update(self.core.id, Flags::FIN, 0);
            shared.outbox.push(Lane::Data, fin);
        }
        drop(send);
        if first {
            // Another thread's write fails instead of waiting for credit.
            self.core.writable.notify_all();
            if self.core.send_done() {
                shared.forget(&self.core, Gone::Finished);
            }
            shared.flush(Wait::Never);
            self.retire_if_done();
        }
    }

    pub(super) fn stop_receiving(&self) {
        let shared = &self.handle.shared;
        let update = self.core.recv.lock().stop(|| shared.tuning());
        self.core.wake_at_end();
        if let Some(delta) = update {
            shared.update_window(self.core.id, delta);
        }
        self.retire_if_done();
    }

    /// Retires the stream if it neither sends nor receives.
    fn retire_if_done(&self) {
        let sending = self.core.send.lock().state == SendState::Open;
        let receiving = !self.core.recv.lock().reads_ended;
        if !sending && !receiving {
            self.handle.shared.retire(&self.core);
        }
    }
}

impl Drop for SharedStream {
    fn drop(&mut self) {
        if self.core.relay().is_some() {
            // The stream belongs to its relay.
            return;
        }
        self.finish_sending();
        self.stop_receiving();
    }
}
