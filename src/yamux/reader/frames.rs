//! Handles each kind of frame.

use super::{Body, ConnectionReader};
use crate::{
    sync,
    yamux::{
        core::Core,
        error::{Error, Violation},
        frame::{Flags, Header, Kind, StreamId},
        outbox::Lane,
        state::ResetBy,
        table::{Gone, inbound::Inbound},
    },
};
use std::sync::Arc;

impl ConnectionReader {
    pub(super) fn on_header(&mut self, header: Header) -> Result<(), Error> {
        if let Some(left) = &mut self.preauth_frames {
            *left = left.checked_sub(1).ok_or(Violation::NotLetIn)?;
        }
        let for_connection = matches!(header.kind, Kind::Ping | Kind::GoAway);
        if for_connection != (header.stream == StreamId::CONNECTION) {
            return Err(Violation::WrongStream(header.stream).into());
        }
        match header.kind {
            Kind::Ping => self.on_ping(header),
            Kind::GoAway => self.on_go_away(header.length)?,
            Kind::Data | Kind::WindowUpdate => self.on_stream_frame(header)?,
        }
        Ok(())
    }

    fn on_ping(&mut self, header: Header) {
        if header.flags.contains(Flags::SYN) {
            self.shared
                .push_control(Header::ping(Flags::ACK, header.length));
            self.answer_due = true;
        } else if header.flags.contains(Flags::ACK) {
            self.shared.pings.answer(header.length, sync::now());
        }
    }

    fn on_go_away(&mut self, code: u32) -> Result<(), Error> {
        if code != 0 {
            return Err(Error::PeerFailed(code));
        }
        self.shared.table.lock().life.on_go_away();
        self.shared.freed.notify_all();
        // Queued acknowledgements must be flushed, because the peer's close waits for
        // them.
        self.answer_due = true;
        Ok(())
    }

    fn on_stream_frame(&mut self, header: Header) -> Result<(), Violation> {
        if header.body_len() > self.shared.config.largest_frame() {
            return Err(Violation::FrameTooLarge(header.length));
        }
        let (core, has_place) = match header.flags.contains(Flags::SYN) {
            true => self.on_syn(header)?,
            false => (self.find(header), false),
        };
        let Some(core) = core else {
            if self.preauth_frames.is_some() && header.body_len() > 0 {
                return Err(Violation::NotLetIn);
            }
            // The stream is gone: its body is skipped.
            self.body = None;
            return Ok(());
        };
        if header.flags.contains(Flags::ACK) {
            self.shared.acknowledge(&core);
        }
        if header.flags.contains(Flags::RST) {
            self.body = None;
            if core.mark_reset(ResetBy::Peer) {
                self.shared.forget(&core, Gone::Reset);
            }
            self.touch(&core);
        } else {
            self.on_payload(&core, header)?;
        }
        if has_place {
            self.fresh.push(core);
        }
        Ok(())
    }

    /// Handles the frame's payload, after all its flags except FIN.
    fn on_payload(&mut self, core: &Arc<Core>, header: Header) -> Result<(), Violation> {
        let fin = header.flags.contains(Flags::FIN);
        match header.kind {
            Kind::Data if header.length > 0 => {
                core.on_data(header.length)?;
                let core = Arc::clone(core);
                self.body = Some(Body { core, fin });
                return Ok(());
            }
            Kind::WindowUpdate => {
                core.on_window_update(header.length)?;
                self.touch(core);
            }
            Kind::Data | Kind::Ping | Kind::GoAway => {}
        }
        if fin {
            self.on_fin(core);
        }
        Ok(())
    }

    /// Handles a SYN. Returns the stream, if it is accepted, and whether to hand it
    /// over now.
    fn on_syn(&mut self, header: Header) -> Result<(Option<Arc<Core>>, bool), Violation> {
        let id = header.stream;
        let config = &self.shared.config;
        let mut table = self.shared.table.lock();
        if self.preauth_frames.is_some() && table.stats.streams_accepted > 0 {
            return Err(Violation::NotLetIn);
        }
        let mut verdict = table.judge(id, config, sync::now)?;
        // Each eviction makes a place, and the held streams get it first.
        for _ in 0..=table.held() {
            let Inbound::Evict(overdue) = verdict else {
                break;
            };
            drop(table);
            self.shared.reset(&overdue);
            table = self.shared.table.lock();
            verdict = table.judge(id, config, sync::now)?;
        }
        let admitted = match verdict {
            // Each stream makes us send at least an ACK.
            Inbound::Open | Inbound::Hold if self.shared.outbox.is_overfull() => {
                return Err(Violation::AnswersUnread);
            }
            Inbound::Open => Some((table.accept(id), true)),
            Inbound::Hold if self.shared.reserve_window() => Some((table.hold(id), false)),
            Inbound::Hold | Inbound::Refuse | Inbound::Evict(_) => None,
        };
        match admitted {
            Some((core, has_place)) => {
                table.stats.bytes_received += u64::from(header.body_len());
                Ok((Some(core), has_place))
            }
            None => {
                table.stats.streams_refused += 1;
                let has_ended = table.life.end().is_some();
                drop(table);
                // The end of the connection tells the peer more than a reset.
                if !has_ended {
                    self.refuse(id)?;
                }
                Ok((None, false))
            }
        }
    }

    fn refuse(&mut self, id: StreamId) -> Result<(), Violation> {
        self.answer_due = true;
        let reset = Header::window_update(id, Flags::RST, 0);
        let pushed = self.shared.outbox.try_push(Lane::Answer, reset);
        pushed.then_some(()).ok_or(Violation::AnswersUnread)
    }

    /// Returns the stream of a frame, unless it is gone. Then the thread that ended it may not
    /// have removed it yet.
    fn find(&self, header: Header) -> Option<Arc<Core>> {
        let mut table = self.shared.table.lock();
        let core = table.get(header.stream).filter(|core| !core.is_gone());
        let core = Arc::clone(core?);
        table.stats.bytes_received += u64::from(header.body_len());
        Some(core)
    }

    pub(super) fn on_fin(&mut self, core: &Arc<Core>) {
        if core.on_fin() {
            self.shared.forget(core, Gone::Finished);
        } else {
            self.shared.end_at_rest(core);
        }
        self.touch(core);
    }
}
