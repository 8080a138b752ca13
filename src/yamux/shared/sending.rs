//! Sending: frames into the outbox, and the outbox into the transport.

use super::Shared;
use crate::{
    spawn::spawn,
    sync::{thread, thread_local},
    transport::Wait,
    yamux::{
        error::{Error, Violation},
        frame::{Flags, Header, StreamId},
        outbox::{Drained, NoRoom, Room, Shift},
        writer::Writer,
    },
};
use std::{cell::RefCell, sync::Arc, time::Instant};

thread_local! {
    /// Connections whose turn it is next, while this thread is about to write on
    /// one that another led to.
    static NEXT: RefCell<Option<Vec<Arc<Shared>>>> = const { RefCell::new(None) };
}

impl Shared {
    /// Writes what waits, unless somebody else does.
    pub(in crate::yamux) fn flush(self: &Arc<Self>, wait: Wait) {
        if let Some(writer) = self.outbox.take_role(wait) {
            self.drain(writer, wait);
        }
    }

    /// Writes what waits, perhaps in the middle of another connection's writing.
    /// Relays may lead from there to the next, and so on: one after the other,
    /// not all on one stack.
    pub(in crate::yamux) fn flush_within(self: &Arc<Self>) {
        /// Also when it unwinds, as a handler's thread goes on then.
        struct Done;
        impl Drop for Done {
            fn drop(&mut self) {
                // There is none when the thread is about to end.
                let _ = NEXT.try_with(|next| next.take());
            }
        }
        let nested = NEXT.try_with(|next| match &mut *next.borrow_mut() {
            Some(next) => {
                next.push(Arc::clone(self));
                true
            }
            next => {
                *next = Some(Vec::new());
                false
            }
        });
        // There is none when the thread is about to end.
        if nested.unwrap_or(false) {
            return;
        }
        let _done = Done;
        self.flush(Wait::Never);
        let next = || NEXT.try_with(|next| next.borrow_mut().as_mut()?.pop());
        // As above: where there is none, nothing was put into it.
        while let Ok(Some(shared)) = next() {
            shared.flush(Wait::Never);
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
                Ok(Room::Free) => return Ok(()),
                Ok(Room::Role(writer)) => self.drain(writer, wait),
                Err(NoRoom::TimedOut) => return Err(Error::TimedOut),
                Err(NoRoom::Ended) => return Err(self.end_error()),
            }
        }
    }

    /// Writes with the role, which the caller has taken.
    pub(in crate::yamux) fn drain(self: &Arc<Self>, writer: Box<Writer>, wait: Wait) {
        self.ask_for_acknowledgement();
        self.drain_for(writer, wait, Shift::Short);
    }

    fn drain_for(self: &Arc<Self>, writer: Box<Writer>, wait: Wait, shift: Shift) {
        match self.outbox.drain(writer, wait, shift) {
            Ok(Drained::Done) => {}
            Ok(Drained::Left(writer)) => self.spawn_helper(writer),
            Err(error) => self.write_failed(Error::from_write(error)),
        }
    }

    /// Nothing more can be sent. A peer that took nothing for so long is dead.
    /// Leaves the writing to a thread that lives while the transport is full, or
    /// relays go on filling the outbox.
    pub(super) fn spawn_helper(self: &Arc<Self>, writer: Box<Writer>) {
        let shared = Arc::clone(self);
        let helper = thread::Builder::new()
            .name(format!("{}-writer", self.config.thread_name))
            .stack_size(self.config.stack_size);
        let work = move || shared.drain_for(writer, Wait::Block, Shift::Long);
        if let Err(error) = spawn(helper, work) {
            // The writer, and what it was writing, is lost with the thread.
            self.end(Error::Io(Arc::new(error)));
        }
    }

    /// Grants the peer more of a window. Measures the round trip on the way,
    /// now and then: data comes in, so it will be asked for.
    pub(in crate::yamux) fn update_window(self: &Arc<Self>, id: StreamId, delta: u32) {
        if let Some(ping) = self.due_ping() {
            self.push_control(ping);
        }
        self.push_control(Header::window_update(id, Flags::NONE, delta));
        self.flush(Wait::Never);
    }

    /// The same for a relay, to leave with what is sent next.
    pub(in crate::yamux) fn queue_grant(&self, id: StreamId, delta: u32) {
        if let Some(ping) = self.due_ping() {
            self.outbox.push_grant(ping);
        }
        let update = Header::window_update(id, Flags::NONE, delta);
        self.outbox.push_grant(update);
    }

    /// Queues a frame ahead of data. A peer that lets them pile up is cut off.
    pub(in crate::yamux) fn push_control(&self, header: Header) {
        if !self.outbox.push_control(header) {
            self.end(Violation::AnswersUnread.into());
        }
    }
}

/// Who has a deadline of its own does not wait in the transport.
pub(in crate::yamux) fn wait_for(deadline: Option<Instant>) -> Wait {
    match deadline {
        None => Wait::Block,
        Some(_) => Wait::Never,
    }
}
