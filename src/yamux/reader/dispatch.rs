//! From bytes to headers and bodies, and from bodies to their streams' inboxes.

use super::ConnectionReader;
use crate::{
    transport::Wait,
    yamux::{
        core::{Core, Delivery},
        error::{Error, Violation},
        frame::{Event, HEADER_LEN},
        inbox::Inbox,
        relay::Flushes,
        segment::{SEGMENT, Segment},
    },
};
use std::{mem, sync::Arc};

/// The capacity that is kept for streams, and for relays, between reads.
const IDLE_CAPACITY: usize = 32;

impl ConnectionReader {
    /// Dispatches the bytes that were read.
    pub(super) fn dispatch(&mut self) -> Result<(), Error> {
        let filled = self.buf.room() == 0;
        let hands_over = self.shared.begin_handing_over();
        while !self.buf.is_empty() {
            if self.take_over_body() {
                continue;
            }
            // Taken out because `event` borrows from it.
            let mut buf = mem::take(&mut self.buf);
            let mut input = buf.data();
            let event = self.decoder.next(&mut input);
            let outcome = match event {
                Ok(Some(Event::Header(header))) => self.on_header(header),
                Ok(Some(Event::Body(body))) => {
                    self.on_body(body);
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(error) => Err(match self.decoder.first_bytes() {
                    Some(first) => Violation::NotYamux(first).into(),
                    None => Violation::Header(error).into(),
                }),
            };
            let used = buf.len() - input.len();
            buf.consume(used);
            self.buf = buf;
            if let Err(error) = outcome {
                self.buf.consume(self.buf.len());
                // Hands over everything before the error, however it was split into
                // reads.
                self.hand_over(hands_over);
                return Err(self.give_up(error));
            }
        }
        if filled && self.buf.capacity() < SEGMENT {
            self.buf = Segment::large();
        }
        self.hand_over(hands_over);
        Ok(())
    }

    /// Ends the connection because of what the peer has sent. Returns the reason,
    /// which may be an earlier one.
    fn give_up(&self, error: Error) -> Error {
        let Error::Protocol(violation) = error else {
            return self.fail(error);
        };
        self.shared.end_for(violation);
        self.shared.end_error()
    }

    /// Delivers the whole buffer without copying, if most of it is one body.
    fn take_over_body(&mut self) -> bool {
        let left = self.decoder.body_left() as usize;
        let len = self.buf.len();
        if len < SEGMENT / 2 || left < len - HEADER_LEN.min(len) || left == 0 {
            return false;
        }
        let Some(body) = &self.body else {
            return false;
        };
        let mut rest = [0; HEADER_LEN];
        let tail = len.saturating_sub(left);
        rest[..tail].copy_from_slice(&self.buf.data()[len - tail..]);
        let mut segment = mem::replace(&mut self.buf, Segment::large());
        segment.truncate(len - tail);
        self.buf.put(&rest[..tail]);
        self.decoder.skip_body(segment.len() as u32);
        let core = Arc::clone(&body.core);
        self.deliver(&core, segment.len(), |inbox| inbox.push_segment(segment));
        true
    }

    fn on_body(&mut self, bytes: &[u8]) {
        let Some(body) = &self.body else {
            return;
        };
        let core = Arc::clone(&body.core);
        self.deliver(&core, bytes.len(), |inbox| inbox.push(bytes));
    }

    fn deliver(&mut self, core: &Arc<Core>, len: usize, push: impl FnOnce(&mut Inbox)) {
        let end = self.decoder.body_left() == 0;
        match core.deliver(len, push, || self.shared.tuning()) {
            Delivery::Done => {}
            Delivery::Update(delta) => self.shared.update_window(core.id, delta),
            Delivery::Unwanted => self.shared.reset(core),
        }
        if end {
            self.touch(core);
            if self.body.take().is_some_and(|body| body.fin) {
                self.on_fin(core);
            }
        }
    }

    /// Notes that something was received for the stream. If the stream is relayed,
    /// its relay is pumped when everything that was read is dispatched.
    pub(super) fn touch(&mut self, core: &Core) {
        if let Some(relay) = core.relay()
            && relay.touch()
        {
            self.relays.push(Arc::clone(relay));
        }
    }

    /// Hands over new streams and sends answers to the peer, when everything that
    /// was read is dispatched.
    fn hand_over(&mut self, hands_over: bool) {
        for core in self.fresh.drain(..) {
            self.shared.offer(&core);
        }
        self.streams_wait = self.shared.end_handing_over(hands_over);
        self.pump_relays();
        self.fresh.shrink_to(IDLE_CAPACITY);
        self.relays.shrink_to(IDLE_CAPACITY);
        if mem::take(&mut self.answer_due) {
            self.shared.flush(Wait::Never);
        }
    }

    pub(super) fn pump_relays(&mut self) {
        let mut due = Flushes::default();
        for relay in self.relays.drain(..) {
            relay.pump(&mut due);
            due.run();
        }
    }
}
