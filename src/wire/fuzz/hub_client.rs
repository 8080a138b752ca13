//! A scripted client of a hub, with the hub's end of its connection. `checks` compares what
//! two clients have sent and received.

mod checks;

use super::stage::{begin_handshake, in_stream, some_bytes, update, wire_frame};
use crate::{
    fuzz::Script,
    time::deadline,
    transport::memory,
    wire::{
        run::handshake::Handshake,
        session::{
            chunk::{self, END},
            frame::{FrameDecoder, FrameKind},
            handshake_messages::{Features, OpenSessionRequest},
            session::Session,
        },
        state::wire_state::WireState,
    },
    yamux::{
        Connection, ConnectionReader, Error, Role,
        fuzz::{AT_ONCE, Peer, ReadOutcome, watch},
    },
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::{
    collections::{BTreeMap, VecDeque},
    io::IoSlice,
    sync::Arc,
    time::Duration,
};

/// The approximate limit on bytes that a client sends in a run.
pub(super) const PLENTY: usize = 1 << 20;

const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

pub(super) struct HubClient {
    hub: &'static Arc<WireState>,
    number: u8,
    /// Whether the client follows the protocol.
    pub(super) polite: bool,
    /// Whether the client reads only when an operation requests it.
    pub(super) lazy: bool,
    /// Whether the client may have sent a part of a frame, so that the hub may misread
    /// what follows.
    pub(super) garbled: bool,
    /// Whether the client has announced that it treats a reset as an error.
    takes_resets: bool,
    pub(super) peer: Peer,
    reader: Option<Box<ConnectionReader>>,
    end: Option<Error>,
    session: Session,
    next: u32,
    /// Calls that the hub has relayed to this client and that the client has not answered
    /// yet: its stream, and the caller's.
    waiting: VecDeque<(u32, Call)>,
    /// Accepted calls: this client's stream, and that of the other client.
    calls: BTreeMap<u32, Call>,
    /// What was sent on each stream after the frame that opened it.
    sent: BTreeMap<u32, Vec<u8>>,
    /// The number of bytes sent in messages.
    total: usize,
    transport_gone: Receiver<()>,
}

/// One end of a call: a stream of one of the clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) client: u8,
    pub(super) id: u32,
}

impl HubClient {
    /// Returns a client with an open session, which owns one name.
    pub(super) fn join(
        hub: &'static Arc<WireState>,
        number: u8,
        capacity: usize,
        on_write: Sender<()>,
    ) -> Self {
        let (here, there) = memory::pair(capacity);
        let (halves, transport_gone) = watch(here, Some(on_write));
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
        let open = in_stream(1, SYN | FIN, &request.to_frame().encode());
        assert_eq!(
            peer.write(&open).expect("the transport is open"),
            open.len()
        );
        let handshake = Handshake::new(hub, halves, Role::Server, deadline(AT_ONCE));
        let mut handshake = handshake.expect("the transport splits");
        let pending = begin_handshake(hub);
        let agreed = handshake.answer(&pending);
        let agreed = agreed.expect("the request is valid");
        let established = hub.establish(handshake, agreed, &pending);
        let established = established.unwrap_or_else(|_| panic!("the hub is not closed"));
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
            sent: BTreeMap::new(),
            total: 0,
            transport_gone,
        }
    }

    // -- the hub's end --

    pub(super) fn connection(&self) -> &Connection {
        self.session.connection()
    }

    /// Lets the hub read once. Returns whether there may be more to read.
    pub(super) fn turn(&mut self) -> bool {
        let Some(reader) = &mut self.reader else {
            return false;
        };
        match reader.turn(Duration::ZERO) {
            Ok(turn) => turn == ReadOutcome::More,
            Err(error) => {
                self.end = Some(error);
                // The same as the thread of the session does.
                drop(self.hub.leave(&self.session));
                self.reader = None;
                false
            }
        }
    }

    pub(super) fn turn_all(&mut self) {
        while self.turn() {}
    }

    /// Returns whether the connection has ended.
    pub(super) fn is_over(&self) -> bool {
        self.reader.is_none() || self.connection().is_closed() || self.peer.ended
    }

    /// Disconnects without a Go Away.
    pub(super) fn leave(&mut self) {
        self.turn_all();
        self.peer.read(usize::MAX);
        let saw_end = self.reader.is_some() || self.peer.ended;
        assert!(saw_end, "the client does not see the end");
        self.peer.shutdown();
        self.turn_all();
        assert!(
            self.reader.is_none(),
            "the hub still reads without a transport"
        );
        if self.polite {
            let end = &self.end;
            assert!(!matches!(end, Some(Error::Protocol(_))), "{end:?}");
        }
    }

    /// Checks that no state of the client is left.
    pub(super) fn finish(self, one_writer: bool) {
        let keepers = self.connection().keepers();
        drop(self.session);
        let gone = self.transport_gone.recv_timeout(AT_ONCE);
        let disconnected = Err(RecvTimeoutError::Disconnected);
        assert_eq!(gone, disconnected, "the transport is not dropped");
        if one_writer {
            assert_eq!(keepers(), 0, "the connection is not dropped");
        }
    }

    // -- calls --

    /// Calls a name. Returns the stream.
    pub(super) fn call(&mut self, name: &str, token: &[u8], len: usize) -> Option<u32> {
        if self.is_over() || self.garbled {
            return None;
        }
        while self.peer.streams.contains_key(&self.next) {
            // A frame for this id has been sent already.
            self.next += 2;
        }
        let id = self.next;
        self.next += 2;
        let rest = message(len, true);
        let open = wire_frame(FrameKind::Open, name, token);
        self.send(&in_stream(id, SYN, &[&open[..], &rest].concat()));
        self.sent.insert(id, rest);
        Some(id)
    }

    /// Notes the streams that the hub has opened since there were `before`, as relayed calls
    /// of the caller's stream `from`.
    pub(super) fn note_calls(&mut self, before: usize, from: Call) {
        let new = &self.peer.opened[before..];
        self.waiting.extend(new.iter().map(|id| (*id, from)));
    }

    pub(super) fn next_call(&mut self) -> Option<(u32, Call)> {
        self.waiting.pop_front()
    }

    pub(super) fn answer(&mut self, id: u32, from: Call, kind: FrameKind, len: usize) {
        let rest = message(len, true);
        let answer = wire_frame(kind, "b", b"");
        self.send(&in_stream(id, ACK, &[&answer[..], &rest].concat()));
        self.sent.insert(id, rest);
        if kind == FrameKind::Accept {
            self.calls.insert(id, from);
        }
    }

    /// Notes that the call on this client's stream `id` was accepted.
    pub(super) fn note_accepted(&mut self, id: u32, to: Call) {
        self.calls.insert(id, to);
    }

    /// Returns whether the call on this stream no longer waits for an answer.
    pub(super) fn is_answered(&self, id: u32) -> bool {
        let Some(seen) = self.peer.streams.get(&id) else {
            return false;
        };
        let frame = FrameDecoder::default().next(&mut seen.came.as_slice());
        let answered = frame.expect("a frame of the protocol").is_some();
        answered || seen.got_fin || seen.got_reset || seen.sent_reset
    }

    /// Resets all streams except those of calls, so that no handler waits for them.
    pub(super) fn reset_others(&mut self) {
        let waiting = self.waiting.drain(..).map(|(id, _)| id);
        let others = self.sent.keys().copied().chain(waiting);
        let others = others.filter(|id| !self.calls.contains_key(id));
        for id in others.collect::<Vec<_>>() {
            self.reset_id(id);
        }
    }

    // -- what the client sends --

    /// Sends bytes. Lets the hub read if the transport is full.
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

    /// Returns one of the streams, or `None` if there are none.
    fn some_id(&self, script: &mut Script<'_>) -> Option<u32> {
        let choice = usize::from(script.byte());
        let ids = &self.sent;
        let index = choice.checked_rem(ids.len())?;
        ids.keys().nth(index).copied()
    }

    /// Returns a stream on which the client may send, unless the chosen one is not.
    fn sendable(&self, script: &mut Script<'_>) -> Option<u32> {
        let id = self.some_id(script)?;
        let seen = self.peer.streams.get(&id)?;
        (!self.polite || seen.is_sendable()).then_some(id)
    }

    /// Sends a message, or a part of one.
    pub(super) fn send_message(&mut self, script: &mut Script<'_>, len: usize, end: bool) {
        let Some(id) = self.sendable(script) else {
            return;
        };
        let len = len.min(PLENTY.saturating_sub(self.total)).max(1);
        self.send_bytes(id, message(len, end));
    }

    /// Sends bytes that are not a message.
    pub(super) fn send_raw(&mut self, script: &mut Script<'_>) {
        if let Some(id) = self.sendable(script) {
            self.send_bytes(id, some_bytes(script));
        }
    }

    fn send_bytes(&mut self, id: u32, mut bytes: Vec<u8>) {
        if self.polite {
            let window = self.peer.streams.get(&id).map_or(0, |seen| seen.window);
            bytes.truncate(window as usize);
        }
        self.total += bytes.len();
        self.send(&in_stream(id, 0, &bytes));
        if !self.peer.streams[&id].sent_fin {
            self.sent.entry(id).or_default().extend(bytes);
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

    /// Grants credit to the hub.
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

    /// Violates the protocol in some way.
    pub(super) fn break_protocol(&mut self, script: &mut Script<'_>) {
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

/// Returns the chunks of a message of `len` bytes, which are not all equal.
fn message(len: usize, end: bool) -> Vec<u8> {
    let payload: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
    let mut bytes = Vec::with_capacity(chunk::encoded_len(len) + END.len());
    if len > 0 {
        let slices = [IoSlice::new(&payload)];
        chunk::encode(&slices, payload.len(), |piece| {
            bytes.extend_from_slice(piece);
        });
        if end {
            bytes.extend(END);
        }
    }
    bytes
}
