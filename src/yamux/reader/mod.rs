//! Reads a connection: finds the frames, deals them out, answers what wants an
//! answer. Never waits for anything but the transport's bytes, so that two
//! peers that both wait to write cannot stop each other.
//!
//! The reader is an object with one method that does one read: who drives it,
//! a thread of its own or one that has something else to do first, is up to
//! the caller.

use super::{
    acceptor::Acceptor,
    core::{Core, Delivery},
    error::{Error, Violation},
    frame::{Decoder, Event, Flags, HEADER_LEN, Header, Kind, StreamId},
    inbox::Inbox,
    relayed::Relay,
    segment::{self, PoolUser, SEGMENT, Segment},
    shared::Shared,
    state::ResetBy,
    table::{Gone, Inbound},
};
use crate::{
    guard, sync,
    transport::{ReadHalf, Wait},
};
use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

/// The buffer of a connection on which little happens. It grows to [`SEGMENT`]
/// when a read fills it, and shrinks back when nothing has come for a while.
const IDLE_BUFFER: usize = 512;

/// How long a large buffer outlives the last byte; and those that the process
/// keeps for later, after which they outlive that.
const BUSY_TICK: Duration = Duration::from_secs(1);

/// How often the reader looks around where nothing comes, at least: whether the
/// connection was closed meanwhile, for one.
const IDLE_TICK: Duration = Duration::from_secs(15);

/// Streams, or relays, of one read for which room is kept.
const KEPT: usize = 32;

/// Frames that a peer may send before it is let in. It takes three, or some more
/// where its request is cut into small ones, and a ping or two while it waits.
const STRANGERS_FRAMES: u32 = 1024;

/// Whether there is more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There may be.
    More,
    /// Nothing came before the timeout; a signal may have cut that short.
    Idle,
}

/// Reads a connection; dropping it ends the connection.
pub(crate) struct Reader {
    half: Box<dyn ReadHalf>,
    shared: Arc<Shared>,
    /// While the peer is not let in: how many more frames it may send.
    strangers_frames: Option<u32>,
    decoder: Decoder,
    /// Empty between turns.
    buf: Segment,
    /// Much has come, and the process may keep large buffers for more.
    unsettled: bool,
    _pool: PoolUser,
    /// Where the body that is being received goes; `None` skips it.
    body: Option<Body>,
    /// Streams opened by what was read last. They are handed over at the end
    /// of a turn, when what came along with their SYN is there to be read.
    fresh: Vec<Arc<Core>>,
    /// Streams are held, or were when last looked.
    streams_wait: bool,
    /// Relays with an end among the streams of what was read last.
    relays: Vec<Arc<dyn Relay>>,
    /// What was read last wants an answer.
    answer_due: bool,
    /// What [`ReadHalf::set_timeout`] was told.
    timeout: Option<Duration>,
    /// When the peer was last heard.
    heard: Instant,
    /// It was not since the reader last looked around.
    quiet: bool,
    /// A keepalive ping is under way since then.
    pinged: Option<Instant>,
}

struct Body {
    core: Arc<Core>,
    fin: bool,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("half", &self.half)
            .finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn new(half: Box<dyn ReadHalf>, shared: Arc<Shared>) -> Self {
        Self {
            half,
            shared,
            strangers_frames: None,
            decoder: Decoder::default(),
            buf: Segment::with_room(IDLE_BUFFER),
            unsettled: false,
            _pool: PoolUser::new(),
            body: None,
            fresh: Vec::new(),
            streams_wait: false,
            relays: Vec::new(),
            answer_due: false,
            timeout: None,
            heard: sync::now(),
            quiet: false,
            pinged: None,
        }
    }

    /// Has the streams that the peer opens from now on go to `acceptor`.
    pub(crate) fn set_acceptor(&mut self, acceptor: Acceptor) {
        self.shared.set_acceptor(acceptor);
        self.strangers_frames = None;
    }

    /// Until there is another acceptor, the peer may open one stream, and send
    /// few frames.
    pub(crate) fn expect_stranger(&mut self) {
        self.strangers_frames = Some(STRANGERS_FRAMES);
    }

    /// Reads until the connection ends, and says why it did; `Ok` if it was
    /// closed, by whichever side.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        self.shared.reader_runs_here();
        self.heard = sync::now();
        loop {
            if self.shared.lingered_enough() {
                return in_order(self.fail(Error::Closed));
            }
            let tick = self.tick();
            match self.turn(tick) {
                Ok(Turn::More) => {
                    self.heard = sync::now();
                    self.quiet = false;
                    self.pinged = None;
                }
                Ok(Turn::Idle) => {
                    if let Err(error) = self.look_around() {
                        return in_order(error);
                    }
                }
                Err(error) => return in_order(error),
            }
        }
    }

    /// Does one read, for at most `timeout`, and deals out what it yields.
    ///
    /// # Errors
    ///
    /// When the connection has ended, for whatever reason; [`Error::Closed`] or
    /// [`Error::ClosedByPeer`] if that was in order.
    pub(crate) fn turn(&mut self, timeout: Duration) -> Result<Turn, Error> {
        if self.timeout != Some(timeout) {
            self.half
                .set_timeout(Some(timeout))
                .map_err(|error| self.fail(Error::from_read(error)))?;
            self.timeout = Some(timeout);
        }
        let half = &mut self.half;
        // In the middle of a large body, its end and the next header: so the
        // bodies that follow lie in one piece each.
        let left = self.decoder.body_left() as usize;
        let limit = if left >= SEGMENT / 2 {
            left + HEADER_LEN
        } else {
            SEGMENT
        };
        match self.buf.fill(limit, |buf| half.read(buf)) {
            Ok(0) => Err(self.at_end()),
            Ok(_) => {
                self.shared.pings.hear();
                self.dispatch().map(|()| Turn::More)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Ok(Turn::More),
                io::ErrorKind::WouldBlock => {
                    if self.streams_wait {
                        let hands_over = self.shared.begin_handing_over();
                        self.streams_wait = self.shared.end_handing_over(hands_over);
                    }
                    Ok(Turn::Idle)
                }
                // TLS: it ended without saying so.
                io::ErrorKind::UnexpectedEof => Err(self.end_found(Error::EndedByPeer)),
                _ => Err(self.fail(Error::from_read(error))),
            },
        }
    }

    /// How long the next read may take before there is something else to do.
    fn tick(&self) -> Duration {
        let tick = self.own_tick();
        if !self.streams_wait {
            return tick;
        }
        self.shared.next_eviction().map_or(tick, |due| {
            let left = due.saturating_duration_since(sync::now());
            tick.min(left.max(Duration::from_millis(1)))
        })
    }

    fn own_tick(&self) -> Duration {
        let config = &self.shared.config;
        if let Some(deadline) = self.shared.linger_deadline() {
            let left = deadline.saturating_duration_since(sync::now());
            return left.max(Duration::from_millis(1));
        }
        if let Some(pinged) = self.pinged {
            let left = config
                .write_timeout
                .saturating_sub(sync::now().saturating_duration_since(pinged));
            return left.max(Duration::from_millis(1));
        }
        let rest = if self.unsettled { BUSY_TICK } else { IDLE_TICK };
        let interval = config.keep_alive.unwrap_or(IDLE_TICK);
        if self.quiet {
            let left = interval.saturating_sub(sync::now().duration_since(self.heard));
            return left.clamp(Duration::from_millis(1), rest);
        }
        // The same time for each read, where much comes: to set another is a
        // system call.
        if self.buf.capacity() > IDLE_BUFFER {
            interval.min(BUSY_TICK)
        } else {
            interval.min(rest)
        }
    }

    /// Nothing came: gives memory back, and asks whether the peer is there.
    fn look_around(&mut self) -> Result<(), Error> {
        self.unsettled = self.buf.capacity() > IDLE_BUFFER;
        if self.unsettled {
            self.buf = Segment::with_room(IDLE_BUFFER);
        }
        // What lies there now, and nobody takes, is let go of the next time.
        segment::trim_pool();
        let config = &self.shared.config;
        let Some(interval) = config.keep_alive else {
            return Ok(());
        };
        // By the clock: a read may have been cut short.
        let now = sync::now();
        if let Some(pinged) = self.pinged {
            return match now.duration_since(pinged) >= config.write_timeout {
                true => Err(self.fail(Error::KeepAlive)),
                false => Ok(()),
            };
        }
        self.quiet = true;
        if now.duration_since(self.heard) < interval {
            return Ok(());
        }
        self.pinged = Some(now);
        if let Some(ping) = self.shared.ping(now, false) {
            self.shared.push_control(ping);
            self.shared.flush(Wait::Never);
        }
        Ok(())
    }

    /// Deals out what was read.
    fn dispatch(&mut self) -> Result<(), Error> {
        let filled = self.buf.room() == 0;
        let hands_over = self.shared.begin_handing_over();
        while !self.buf.is_empty() {
            if self.take_over_body() {
                continue;
            }
            // Taken out for as long as it is borrowed from.
            let mut buf = std::mem::take(&mut self.buf);
            let mut input = buf.data();
            let event = self.decoder.next(&mut input);
            let outcome = match event {
                Ok(Some(Event::Header(header))) => self.on_header(header),
                Ok(Some(Event::Body(body))) => {
                    self.on_body(body);
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(error) => Err(Violation::Header(error).into()),
            };
            let used = buf.len() - input.len();
            buf.consume(used);
            self.buf = buf;
            if let Err(error) = outcome {
                self.buf.consume(self.buf.len());
                // What came before it, however it was cut.
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

    /// Ends the connection for what the peer has sent; what it ended with,
    /// which may have come before.
    fn give_up(&self, error: Error) -> Error {
        let Error::Protocol(violation) = error else {
            return self.fail(error);
        };
        self.shared.abort(violation);
        self.shared.end_error()
    }

    /// Passes on the whole buffer where most of it is one body, instead of
    /// copying it.
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
        let mut segment = std::mem::replace(&mut self.buf, Segment::large());
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

    /// Something has come for the stream: if it is relayed, that is passed on
    /// at the end of the turn.
    fn touch(&mut self, core: &Core) {
        if let Some(relay) = core.relay()
            && relay.touch()
        {
            self.relays.push(Arc::clone(relay));
        }
    }

    fn on_header(&mut self, header: Header) -> Result<(), Error> {
        if let Some(left) = &mut self.strangers_frames {
            *left = left.checked_sub(1).ok_or(Violation::NotLetIn)?;
        }
        let for_session = matches!(header.kind, Kind::Ping | Kind::GoAway);
        if for_session != (header.stream == StreamId::SESSION) {
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
            guard::log(|| log::warn!(target: "wirenet::yamux", "peer went away with code {code}"));
            return Err(Error::PeerFailed(code));
        }
        let mut table = self.shared.table.lock();
        table.peer_has_closed = table.peer_going_away;
        table.peer_going_away = true;
        drop(table);
        self.shared.freed.notify_all();
        // Acknowledgements leave with what is sent next, and its close waits for them.
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
            if self.strangers_frames.is_some() && header.body_len() > 0 {
                return Err(Violation::NotLetIn);
            }
            // The stream is gone: a body is skipped.
            self.body = None;
            return Ok(());
        };
        if header.flags.contains(Flags::ACK) {
            self.shared.acknowledge(&core);
        }
        if header.flags.contains(Flags::RST) {
            self.body = None;
            if core.reset(ResetBy::Peer) {
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

    /// The frame's own meaning, when its flags are seen to.
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

    /// The stream, if it is let in, and whether it is to be handed over now.
    fn on_syn(&mut self, header: Header) -> Result<(Option<Arc<Core>>, bool), Violation> {
        let id = header.stream;
        let config = &self.shared.config;
        let mut table = self.shared.table.lock();
        if self.strangers_frames.is_some() && table.stats.streams_accepted > 0 {
            return Err(Violation::NotLetIn);
        }
        let mut verdict = table.judge(id, config, sync::now)?;
        // Each makes a place, which those get first that are held.
        for _ in 0..=table.held() {
            let Inbound::Instead(left) = verdict else {
                break;
            };
            drop(table);
            self.shared.reset(&left);
            table = self.shared.table.lock();
            verdict = table.judge(id, config, sync::now)?;
        }
        let admitted = match verdict {
            // Each stream makes us send, if it is only its ACK.
            Inbound::Open | Inbound::Hold if self.shared.outbox.is_overfull() => {
                return Err(Violation::AnswersUnread);
            }
            Inbound::Open => Some((table.accept(id), true)),
            Inbound::Hold if self.shared.reserve_window() => Some((table.hold(id), false)),
            Inbound::Hold | Inbound::Refuse | Inbound::Instead(_) => None,
        };
        match admitted {
            Some((core, has_place)) => {
                table.stats.bytes_received += u64::from(header.body_len());
                Ok((Some(core), has_place))
            }
            None => {
                table.stats.streams_refused += 1;
                drop(table);
                self.refuse(id)?;
                Ok((None, false))
            }
        }
    }

    fn refuse(&mut self, id: StreamId) -> Result<(), Violation> {
        self.answer_due = true;
        let reset = Header::window_update(id, Flags::RST, 0);
        let pushed = self.shared.outbox.push_answer(reset);
        pushed.then_some(()).ok_or(Violation::AnswersUnread)
    }

    fn find(&self, header: Header) -> Option<Arc<Core>> {
        let mut table = self.shared.table.lock();
        let core = Arc::clone(table.get(header.stream)?);
        table.stats.bytes_received += u64::from(header.body_len());
        Some(core)
    }

    fn on_fin(&mut self, core: &Arc<Core>) {
        if core.on_fin() {
            self.shared.forget(core, Gone::InOrder);
        }
        self.touch(core);
    }

    /// The end of a turn: new streams go to whoever accepts them, answers to
    /// the peer.
    fn hand_over(&mut self, hands_over: bool) {
        for core in self.fresh.drain(..) {
            self.shared.offer(&core);
        }
        self.streams_wait = self.shared.end_handing_over(hands_over);
        self.look_after_relays();
        self.fresh.shrink_to(KEPT);
        self.relays.shrink_to(KEPT);
        if std::mem::take(&mut self.answer_due) {
            self.shared.flush(Wait::Never);
        }
    }

    fn look_after_relays(&mut self) {
        for relay in self.relays.drain(..) {
            relay.look_after();
        }
    }

    /// The peer has ended its direction.
    fn at_end(&self) -> Error {
        if self.decoder.at_boundary() {
            self.shared.peer_ends();
            self.shared.write_last();
        }
        let all_finished = self.shared.table.lock().peer_has_finished();
        self.end_found(if all_finished && self.decoder.at_boundary() {
            Error::ClosedByPeer
        } else {
            Error::EndedByPeer
        })
    }

    /// Ends the connection, whose end was read. That may be what is left of a
    /// failure: the kernel reports one once, to a write or to a read.
    fn end_found(&self, error: Error) -> Error {
        self.shared.settle_writer();
        self.fail(error)
    }

    /// Ends the connection; what it ended with, which may have come before.
    fn fail(&self, error: Error) -> Error {
        self.shared.end(error);
        self.shared.end_error()
    }
}

/// What a connection that one side closed comes to.
fn in_order(error: Error) -> Result<(), Error> {
    match error.is_orderly() {
        true => Ok(()),
        false => Err(error),
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.end(Error::Closed);
        self.shared.drop_acceptor();
        // Left by a turn that ended in the middle.
        self.look_after_relays();
        self.shared.reader_is_done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        transport::{Halves, Transport, WriteHalf, memory},
        yamux::{Config, Connection, Role},
    };
    use std::io::IoSlice;

    fn client(halves: Halves, config: Config) -> (Connection, Box<Reader>) {
        let acceptor = Acceptor::new(|_| true);
        Connection::driven(halves, Role::Client, Arc::new(config), acceptor).unwrap()
    }

    /// Takes nothing.
    #[derive(Debug)]
    struct Unreachable;

    impl WriteHalf for Unreachable {
        fn write(&mut self, _: &[IoSlice<'_>], _: Wait) -> io::Result<usize> {
            Err(io::ErrorKind::HostUnreachable.into())
        }

        fn finish(&mut self, _: Wait) -> io::Result<()> {
            Ok(())
        }

        fn set_timeout(&mut self, _: Option<Duration>) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failed_write_is_reported_although_the_peer_is_silent_from_then_on() {
        let (ours, _theirs) = memory::pair(1024);
        let mut halves = ours.split().unwrap();
        halves.writer = Box::new(Unreachable);
        let config = Config::default().write_timeout(Duration::from_millis(1));
        let (connection, mut reader) = client(halves, config);
        let stream = connection.open().unwrap();
        let ended = reader.run();
        let unreachable = |error: &io::Error| error.kind() == io::ErrorKind::HostUnreachable;
        assert!(
            matches!(&ended, Err(Error::Io(error)) if unreachable(error)),
            "{ended:?}"
        );
        drop(stream);
    }

    #[test]
    fn a_connection_that_was_closed_ends_in_order_whatever_the_peer_says_then() {
        for last in [Header::go_away(1), Header::data(StreamId::SESSION, 1)] {
            let (ours, theirs) = memory::pair(1024);
            let halves = ours.split().unwrap();
            let (connection, mut reader) = client(halves, Config::default());
            let mut peer = theirs.split().unwrap();
            connection.start_close();
            let last = last.encode();
            peer.writer
                .write(&[IoSlice::new(&last)], Wait::Block)
                .unwrap();
            let ended = reader.run();
            assert!(ended.is_ok(), "{ended:?}");
        }
    }
}
