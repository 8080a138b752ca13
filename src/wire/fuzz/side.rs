//! One client of a hub, played by hand, and the hub's end of its connection.

use super::stage::{begin_handshake, in_stream, some_bytes, update, wire_frame};
use crate::{
    fuzz::Script,
    time::deadline,
    transport::memory,
    wire::{
        run::handshake::Handshake,
        session::{
            chunk::{self, CUT_SHORT, END},
            frame::{Decoder, Kind},
            hello::{Features, OpenSessionRequest},
            session::Session,
        },
        state::wire_state::WireState,
    },
    yamux::{
        Connection, Error, INITIAL_WINDOW, Reader, Role,
        fuzz::{AT_ONCE, Peer, ReadOutcome, watch},
    },
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Bytes that a client says in a run at most, about.
pub(super) const PLENTY: usize = 1 << 20;

const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

pub(super) struct Side {
    hub: &'static Arc<WireState>,
    number: u8,
    /// Keeps to the protocol.
    pub(super) polite: bool,
    /// Reads when it is told to.
    pub(super) lazy: bool,
    /// What it has sent need not end where a frame does: what follows may be
    /// taken for something else.
    pub(super) garbled: bool,
    /// It says that it takes a reset for an error.
    takes_resets: bool,
    pub(super) peer: Peer,
    reader: Option<Box<Reader>>,
    end: Option<Error>,
    session: Session,
    next: u32,
    /// Calls that the hub has passed on to here and that are not answered yet.
    waiting: VecDeque<(u32, Call)>,
    /// The calls that were accepted here, by their streams.
    calls: BTreeMap<u32, Call>,
    /// What was said on each stream, behind the frame that opened it.
    said: BTreeMap<u32, Vec<u8>>,
    total: usize,
    transport_gone: Receiver<()>,
}

/// How many bytes of a stream are whole chunks and end marks.
fn whole_chunks(bytes: &[u8]) -> usize {
    let mut decoder = chunk::Decoder::default();
    let (mut rest, mut whole) = (bytes, 0);
    while !rest.is_empty() {
        let (used, step) = decoder.step(rest);
        rest = &rest[used..];
        if let chunk::Step::Bytes(count) = step {
            decoder.take(count);
            rest = &rest[count..];
        }
        if !decoder.inside_chunk() {
            whole = bytes.len() - rest.len();
        }
    }
    whole
}

/// Whether bytes of a stream end inside a chunk.
fn ends_inside_chunk(bytes: &[u8]) -> bool {
    whole_chunks(bytes) < bytes.len()
}

/// One end of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) side: u8,
    pub(super) id: u32,
}

impl Side {
    /// A client whose session stands, and that owns one name.
    pub(super) fn join(
        hub: &'static Arc<WireState>,
        number: u8,
        capacity: usize,
        tell: Sender<()>,
    ) -> Self {
        let (here, there) = memory::pair(capacity);
        let (halves, transport_gone) = watch(here, Some(tell));
        let mut peer = Peer::new(there, Role::Client);
        let takes_resets = number == 0;
        let features = match takes_resets {
            true => Features::OURS,
            false => Features::default(),
        };
        let request = OpenSessionRequest {
            features: features.bits(),
            sid: vec![number; 16],
            local_stream_names: vec![["a", "b"][usize::from(number)].into()],
            ..OpenSessionRequest::default()
        };
        let ask = in_stream(1, SYN | FIN, &request.to_frame().encode());
        assert_eq!(peer.write(&ask).expect("it stands"), ask.len());
        let handshake = Handshake::new(hub, halves, Role::Server, deadline(AT_ONCE));
        let mut handshake = handshake.expect("the transport splits");
        let pending = begin_handshake(hub);
        let agreed = handshake.answer(&pending);
        let agreed = agreed.expect("there is nothing against it");
        let established = hub.establish(handshake, agreed, &pending);
        let established = established.unwrap_or_else(|_| panic!("nobody has closed the hub"));
        peer.read(usize::MAX);
        peer.relayed = true;
        Self {
            hub,
            number,
            polite: true,
            lazy: false,
            garbled: false,
            takes_resets,
            peer,
            reader: Some(established.reader),
            end: None,
            session: established.session,
            next: 3,
            waiting: VecDeque::new(),
            calls: BTreeMap::new(),
            said: BTreeMap::new(),
            total: 0,
            transport_gone,
        }
    }

    // -- the hub's end --

    pub(super) fn connection(&self) -> &Connection {
        self.session.connection()
    }

    /// Has the hub read once; whether there was something.
    pub(super) fn turn(&mut self) -> bool {
        let Some(reader) = &mut self.reader else {
            return false;
        };
        match reader.turn(Duration::ZERO) {
            Ok(turn) => turn == ReadOutcome::More,
            Err(error) => {
                self.end = Some(error);
                // As the session's own thread does.
                drop(self.hub.leave(&self.session));
                self.reader = None;
                false
            }
        }
    }

    pub(super) fn turn_all(&mut self) {
        while self.turn() {}
    }

    /// Whether the hub has done with it.
    pub(super) fn is_over(&self) -> bool {
        self.reader.is_none() || self.connection().is_closed() || self.peer.ended
    }

    /// The client leaves without a word.
    pub(super) fn leave(&mut self) {
        self.turn_all();
        self.peer.read(usize::MAX);
        let told = self.reader.is_some() || self.peer.ended;
        assert!(told, "the client does not see the end");
        self.peer.shutdown();
        self.turn_all();
        assert!(
            self.reader.is_none(),
            "the hub reads on without a transport"
        );
        if self.polite {
            let end = &self.end;
            assert!(!matches!(end, Some(Error::Protocol(_))), "{end:?}");
        }
    }

    /// Nothing of it is left.
    pub(super) fn finish(self, alone: bool) {
        let keepers = self.connection().keepers();
        drop(self.session);
        let gone = self.transport_gone.recv_timeout(AT_ONCE);
        let disconnected = Err(RecvTimeoutError::Disconnected);
        assert_eq!(gone, disconnected, "somebody keeps the transport");
        if alone {
            assert_eq!(keepers(), 0, "somebody keeps the connection");
        }
    }

    // -- calls --

    /// Calls a name; the stream.
    pub(super) fn call(&mut self, name: &str, token: &[u8], len: usize) -> Option<u32> {
        if self.is_over() || self.garbled {
            return None;
        }
        while self.peer.streams.contains_key(&self.next) {
            // Something has been said of it already.
            self.next += 2;
        }
        let id = self.next;
        self.next += 2;
        let rest = message(len, true);
        let open = wire_frame(Kind::Open, name, token);
        self.send(&in_stream(id, SYN, &[&open[..], &rest].concat()));
        self.said.insert(id, rest);
        Some(id)
    }

    /// The hub has passed a call on to here, which comes `from` there, if it has
    /// opened a stream beyond those that there were.
    pub(super) fn hear(&mut self, before: usize, from: Call) {
        let new = &self.peer.opened[before..];
        self.waiting.extend(new.iter().map(|id| (*id, from)));
    }

    pub(super) fn next_call(&mut self) -> Option<(u32, Call)> {
        self.waiting.pop_front()
    }

    pub(super) fn answer(&mut self, id: u32, from: Call, kind: Kind, len: usize) {
        let rest = message(len, true);
        let answer = wire_frame(kind, "b", b"");
        self.send(&in_stream(id, ACK, &[&answer[..], &rest].concat()));
        self.said.insert(id, rest);
        if kind == Kind::Accept {
            self.calls.insert(id, from);
        }
    }

    /// The call that `from` made was accepted there.
    pub(super) fn is_through(&mut self, id: u32, to: Call) {
        self.calls.insert(id, to);
    }

    /// Whether a call of this stream's waits no more.
    pub(super) fn is_answered(&self, id: u32) -> bool {
        let Some(seen) = self.peer.streams.get(&id) else {
            return false;
        };
        let frame = Decoder::default().next(&mut seen.came.as_slice());
        let answered = frame.expect("a frame of the protocol").is_some();
        answered || seen.got_fin || seen.got_reset || seen.sent_reset
    }

    /// What came on each call is what was said, or the beginning of it.
    pub(super) fn check_calls(&self, other: &Self) {
        if self.garbled || other.garbled {
            // What they said may have been understood otherwise.
            return;
        }
        for (id, to) in &self.calls {
            let far = if to.side == self.number { self } else { other };
            let seen = &self.peer.streams[id];
            let mut came = seen.came.as_slice();
            let first = Decoder::default()
                .next(&mut came)
                .expect("a frame of the protocol");
            if !first.is_some_and(|first| matches!(first.kind, Kind::Open | Kind::Accept)) {
                continue;
            }
            let said = &far.said[&to.id];
            if self.is_cut_short(came, said) {
                continue;
            }
            assert!(said.starts_with(came), "not what was said");
            if seen.got_fin {
                assert!(far.peer.streams[&to.id].sent_fin, "an end that nobody sent");
                assert_eq!(came.len(), said.len(), "truncated is taken for complete");
            }
        }
    }

    /// Whether what came of what was said may end as what a stream is broken off
    /// with, where a reset is not taken.
    fn is_cut_short(&self, came: &[u8], said: &[u8]) -> bool {
        let cut = came.strip_suffix(&CUT_SHORT);
        let cut = cut.is_some_and(|cut| said.starts_with(cut));
        // Inside a chunk the end alone says it.
        let inside = || said.starts_with(came) && ends_inside_chunk(came);
        !self.takes_resets && (cut || inside())
    }

    /// Ends all streams but those of calls, so that no handler waits for them.
    pub(super) fn give_up_others(&mut self) {
        let waiting = self.waiting.drain(..).map(|(id, _)| id);
        let others = self.said.keys().copied().chain(waiting);
        let others = others.filter(|id| !self.calls.contains_key(id));
        for id in others.collect::<Vec<_>>() {
            self.reset_id(id);
        }
    }

    /// What was said at the other ends of calls has come, if there is credit for
    /// it, and that they have ended.
    pub(super) fn check_passed_on(&self, other: &Self) {
        for (id, from) in &self.calls {
            let far = if from.side == self.number {
                self
            } else {
                other
            };
            let Some(said) = far.peer.streams.get(&from.id) else {
                continue;
            };
            let seen = &self.peer.streams[id];
            let mut came = seen.came.as_slice();
            let first = Decoder::default().next(&mut came);
            let cut = seen.got_fin && self.is_cut_short(came, &far.said[&from.id]);
            let ended = seen.sent_fin && seen.got_fin;
            // Behind an end nothing tells a peer that takes no reset.
            let untold = !self.takes_resets && seen.got_fin && said.sent_reset;
            let over = cut || untold || seen.got_reset || seen.sent_reset || ended;
            if said.sent_reset && !(said.sent_fin && said.got_fin) {
                assert!(over, "a reset is not passed on");
            }
            // With less, the hub may wait for more.
            let enough = seen.credit() >= u64::from(INITIAL_WINDOW / 2);
            if over || !enough || said.got_reset {
                continue;
            }
            assert!(matches!(first, Ok(Some(_))), "no answer");
            let all = &far.said[&from.id];
            // A chunk that has begun may be held until it is whole.
            let is_held = !said.sent_fin && came.len() == whole_chunks(all);
            assert!(is_held || came.len() == all.len(), "not passed on");
            assert_eq!(seen.got_fin, said.sent_fin, "an end is not passed on");
        }
    }

    // -- what the client says --

    /// Sends bytes; the hub reads where there is no room.
    fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && self.reader.is_some() {
            match self.peer.write(rest) {
                Ok(0) => {
                    self.turn();
                }
                Ok(count) => rest = &rest[count..],
                Err(_) => return,
            }
        }
    }

    /// One of the streams; `None` if none is right for it.
    fn some_id(&self, script: &mut Script<'_>) -> Option<u32> {
        let choice = usize::from(script.byte());
        let ids = &self.said;
        let index = choice.checked_rem(ids.len())?;
        ids.keys().nth(index).copied()
    }

    /// One of the streams on which the client may send.
    fn sendable(&self, script: &mut Script<'_>) -> Option<u32> {
        let id = self.some_id(script)?;
        let seen = self.peer.streams.get(&id)?;
        (!self.polite || seen.is_sendable()).then_some(id)
    }

    /// Says a message, or a part of one.
    pub(super) fn say(&mut self, script: &mut Script<'_>, len: usize, end: bool) {
        let Some(id) = self.sendable(script) else {
            return;
        };
        let len = len.min(PLENTY.saturating_sub(self.total)).max(1);
        self.say_bytes(id, message(len, end));
    }

    /// Says bytes that are no message.
    pub(super) fn say_raw(&mut self, script: &mut Script<'_>) {
        if let Some(id) = self.sendable(script) {
            self.say_bytes(id, some_bytes(script));
        }
    }

    fn say_bytes(&mut self, id: u32, mut bytes: Vec<u8>) {
        if self.polite {
            let window = self.peer.streams.get(&id).map_or(0, |seen| seen.window);
            bytes.truncate(window as usize);
        }
        self.total += bytes.len();
        self.send(&in_stream(id, 0, &bytes));
        if !self.peer.streams[&id].sent_fin {
            self.said.entry(id).or_default().extend(bytes);
        }
    }

    pub(super) fn end(&mut self, script: &mut Script<'_>) {
        if let Some(id) = self.sendable(script) {
            self.end_id(id);
        }
    }

    pub(super) fn end_id(&mut self, id: u32) {
        self.send(&update(id, FIN, 0));
    }

    pub(super) fn reset(&mut self, script: &mut Script<'_>) {
        if let Some(id) = self.some_id(script) {
            self.reset_id(id);
        }
    }

    pub(super) fn reset_id(&mut self, id: u32) {
        let known = self.peer.streams.get(&id);
        if known.is_some_and(|seen| !seen.sent_reset && !seen.got_reset) {
            self.send(&update(id, RST, 0));
        }
    }

    /// Lets the hub send more.
    pub(super) fn grant(&mut self, script: &mut Script<'_>) {
        let Some(id) = self.some_id(script) else {
            return;
        };
        let delta = script.pick(&[0, 1, 1000, 262_144, 1 << 24, 1 << 31, u32::MAX]);
        let credit = self.peer.streams.get(&id).map_or(0, |seen| seen.credit());
        let room = u64::from(u32::MAX).saturating_sub(credit) as u32;
        let delta = if self.polite { delta.min(room) } else { delta };
        self.send(&update(id, 0, delta));
    }

    pub(super) fn ping(&mut self, script: &mut Script<'_>) {
        let [a, b, c, d] = script.word().to_be_bytes();
        self.send(&[0, 2, 0, 1, 0, 0, 0, 0, a, b, c, d]);
    }

    pub(super) fn go_away(&mut self) {
        self.send(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    /// Breaks the protocol, somehow.
    pub(super) fn say_anything(&mut self, script: &mut Script<'_>) {
        let id = u32::from(script.byte()) % 16;
        let flags = u16::from(script.byte());
        match script.byte() % 5 {
            0 => self.send(&update(id, flags, script.word())),
            1 => self.send(&in_stream(id + 1000, flags, &some_bytes(script))),
            2 => {
                self.send(&some_bytes(script));
                self.garbled = true;
            }
            3 => {
                let pings = [0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1].repeat(6000);
                self.send(&pings);
            }
            _ => self.send(&update(1000 + 2 * id, SYN | flags, 0)),
        }
    }
}

/// A message of so many bytes, of which some differ.
fn message(len: usize, end: bool) -> Vec<u8> {
    let payload: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
    let mut bytes = Vec::with_capacity(chunk::encoded_len(len) + END.len());
    if len > 0 {
        chunk::encode(&payload, |piece| bytes.extend_from_slice(piece));
        if end {
            bytes.extend(END);
        }
    }
    bytes
}
