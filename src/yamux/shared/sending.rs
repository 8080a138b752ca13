//! Sending: frames into the outbox, and the outbox into the transport.

use super::Shared;
use crate::{
    spawn::spawn,
    sync::thread,
    transport::Wait,
    yamux::{
        error::{Error, Violation},
        frame::{Flags, Header, StreamId},
        outbox::{
            Lane,
            waiting::{Admission, NoRoom},
            writing::{Drained, Shift},
        },
        relay::{Flush, Flushes},
        writer::OutboxWriter,
    },
};
use std::{io, sync::Arc, time::Instant};

impl Shared {
    /// Writes what is queued, unless another thread is writing.
    pub(in crate::yamux) fn flush(self: &Arc<Self>, wait: Wait) {
        if let Some(writer) = self.outbox.take_role(wait) {
            self.drain(writer, wait);
        }
    }

    /// Writes with the role that the caller has taken.
    pub(in crate::yamux) fn drain(self: &Arc<Self>, writer: Box<OutboxWriter>, wait: Wait) {
        self.ask_for_acknowledgement();
        self.work(Shift::new(writer, wait));
    }

    /// Works a shift to its end. Connections on which relays queue something are
    /// flushed in between, because this connection's transport may be slow.
    fn work(self: &Arc<Self>, shift: Shift) {
        let mut due = Flushes::default();
        let outcome = self.write(shift, &mut due, Flushes::run);
        self.conclude(outcome, &mut due);
        due.run();
    }

    /// Writes as much as possible without waiting. Returns the writer if another
    /// thread must continue.
    pub(super) fn write_now(
        &self,
        writer: Box<OutboxWriter>,
    ) -> io::Result<Option<Box<OutboxWriter>>> {
        let shift = Shift::new(writer, Wait::Never);
        self.write(shift, &mut Flushes::default(), Flushes::run)
    }

    /// Writes until the shift is over, and serves waiting relays with the room that
    /// this makes; `flush_others` flushes what they queue on other connections.
    /// Returns the writer if another thread must continue.
    fn write(
        &self,
        mut shift: Shift,
        due: &mut Flushes,
        flush_others: fn(&mut Flushes),
    ) -> io::Result<Option<Box<OutboxWriter>>> {
        loop {
            shift = match self.outbox.drain(shift)? {
                Drained::Done => return Ok(None),
                Drained::Unfinished(writer) => return Ok(Some(writer)),
                Drained::Room(shift) => shift,
            };
            while let Some((relay, end)) = self.outbox.next_relay() {
                relay.on_room(end, due);
            }
            flush_others(due);
        }
    }

    /// Handles the outcome of a shift.
    fn conclude(
        self: &Arc<Self>,
        outcome: io::Result<Option<Box<OutboxWriter>>>,
        due: &mut Flushes,
    ) {
        match outcome {
            Ok(None) => {}
            Ok(Some(writer)) => self.spawn_helper(writer, due),
            Err(error) => self.write_failed(self.config.write_error(error), due),
        }
    }

    /// Leaves the writing to a helper thread, which runs while the transport is
    /// full or relays refill the outbox.
    pub(super) fn spawn_helper(self: &Arc<Self>, writer: Box<OutboxWriter>, due: &mut Flushes) {
        let shared = Arc::clone(self);
        let helper = thread::Builder::new()
            .name(format!("{}-writer", self.config.thread_name))
            .stack_size(self.config.stack_size);
        let work = move || shared.work(Shift::of_helper(writer));
        if let Err(error) = spawn(helper, work) {
            // The writer, and what it was writing, is lost with the thread.
            self.end_into(Error::Io(Arc::new(error)), due);
        }
    }

    /// Waits until there is room in the outbox.
    pub(in crate::yamux) fn wait_room(
        self: &Arc<Self>,
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        let wait = wait_for(deadline);
        loop {
            match self.outbox.wait_room(deadline) {
                Ok(Admission::Retry) => return Ok(()),
                Ok(Admission::Role(writer)) => self.drain(writer, wait),
                Err(NoRoom::TimedOut) => return Err(Error::timed_out()),
                Err(NoRoom::Ended) => return Err(self.end_error()),
            }
        }
    }

    /// Queues a frame ahead of data. The connection ends if the peer lets these
    /// pile up.
    pub(in crate::yamux) fn push_control(&self, header: Header) {
        if !self.outbox.try_push(Lane::Control, header) {
            self.end(Violation::AnswersUnread.into());
        }
    }

    /// Grants the peer more credit. From time to time this also measures the round
    /// trip, which is needed when data is received.
    pub(in crate::yamux) fn update_window(self: &Arc<Self>, id: StreamId, delta: u32) {
        if let Some(ping) = self.due_ping() {
            self.push_control(ping);
        }
        self.push_control(Header::window_update(id, Flags::NONE, delta));
        self.flush(Wait::Never);
    }

    /// Grants the peer more credit on behalf of a relay, without flushing.
    pub(in crate::yamux) fn queue_grant(&self, id: StreamId, delta: u32) {
        if let Some(ping) = self.due_ping() {
            self.outbox.push(Lane::Control, ping);
        }
        let update = Header::window_update(id, Flags::NONE, delta);
        self.outbox.push(Lane::Control, update);
    }
}

impl Flush for Shared {
    fn flush_into(self: Arc<Self>, due: &mut Flushes) {
        if let Some(writer) = self.outbox.take_role(Wait::Never) {
            self.ask_for_acknowledgement();
            let shift = Shift::new(writer, Wait::Never);
            // The caller flushes the other connections one after the other, so that
            // flushes do not nest.
            let outcome = self.write(shift, due, |_| {});
            self.conclude(outcome, due);
        }
    }
}

/// Returns how to write for a caller with this deadline: with a deadline, the
/// caller does not wait in the transport.
pub(in crate::yamux) fn wait_for(deadline: Option<Instant>) -> Wait {
    match deadline {
        None => Wait::Block,
        Some(_) => Wait::Never,
    }
}
