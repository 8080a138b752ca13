//! A scripted peer on the in-memory transport. It sends what a script decides, and
//! panics if the connection violates the protocol, whatever was sent.
//!
//! Unlike the peer of the models, this one never waits, and checks every frame
//! against the state of its stream.

use super::rig::AT_ONCE;
use crate::{
    transport::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf, memory},
    yamux::{
        INITIAL_WINDOW,
        frame::{Decoder, Event, Flags, Header, Kind},
        role::Role,
        segment::SEGMENT,
    },
};
use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) role: Role,
    reader: Box<dyn ReadHalf>,
    writer: Box<dyn WriteHalf>,
    closer: Arc<dyn Closer>,
    /// Decodes the bytes that are sent.
    sending: Decoder,
    decoder: Decoder,
    buf: Vec<u8>,
    /// The stream of the body that is being received.
    current: Option<u32>,
    pub(crate) streams: BTreeMap<u32, Seen>,
    /// The ids of the streams that the connection has opened, in order.
    pub(crate) opened: Vec<u32>,
    next_of_theirs: u32,
    asked: u64,
    answered: u64,
    pub(crate) ended: bool,
    /// Received frames may be relayed from another peer.
    pub(crate) relayed: bool,
}

/// The frames that both sides have sent about a stream.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The SYNs of both sides. Nothing else is checked for a stream that was opened
    /// twice, or never.
    syns: u32,
    /// How much the connection may send; it may not have received all of this credit
    /// yet.
    credit: u64,
    /// The bytes that the connection has sent.
    pub(crate) came: Vec<u8>,
    pub(crate) got_fin: bool,
    pub(crate) got_reset: bool,
    acks: u32,
    /// How much this peer may send.
    pub(crate) window: u64,
    pub(crate) sent: u64,
    pub(crate) sent_fin: bool,
    pub(crate) sent_reset: bool,
    sent_ack: bool,
}

impl Seen {
    pub(crate) fn credit(&self) -> u64 {
        self.credit
    }

    /// Returns whether an ACK may be sent, which is true only once.
    pub(crate) fn acknowledge(&mut self) -> bool {
        !std::mem::replace(&mut self.sent_ack, true)
    }

    /// Returns whether the stream was opened exactly once, so that all frames are
    /// about the same stream.
    pub(crate) fn is_known(&self) -> bool {
        self.syns == 1
    }

    /// Returns whether a peer that follows the protocol may send data.
    pub(crate) fn is_sendable(&self) -> bool {
        self.is_known() && !self.sent_fin && !self.sent_reset && !self.got_reset
    }
}

impl Peer {
    /// Makes the peer with this role at this end of the transport.
    pub(crate) fn new(end: memory::End, role: Role) -> Self {
        let Halves {
            reader,
            writer,
            closer,
            ..
        } = end.split().expect("always");
        let mut peer = Self {
            role,
            reader,
            writer,
            closer,
            sending: Decoder::default(),
            decoder: Decoder::default(),
            buf: vec![0; SEGMENT],
            current: None,
            streams: BTreeMap::new(),
            opened: Vec::new(),
            next_of_theirs: match role {
                Role::Client => Role::Server.first_id(),
                Role::Server => Role::Client.first_id(),
            },
            asked: 0,
            answered: 0,
            ended: false,
            relayed: false,
        };
        peer.reader
            .set_timeout(Some(Duration::ZERO))
            .expect("always");
        peer
    }

    /// Notes a frame that is sent.
    fn note(&mut self, header: Header) {
        let has = |flag| header.flags.contains(flag);
        match header.kind {
            Kind::Ping => self.asked += u64::from(has(Flags::SYN)),
            Kind::GoAway => {}
            Kind::Data | Kind::WindowUpdate => {
                let seen = self.streams.entry(header.stream.0).or_default();
                if has(Flags::SYN) {
                    seen.open();
                }
                if header.kind == Kind::WindowUpdate {
                    seen.credit += u64::from(header.length);
                }
                let sent = u64::from(header.body_len());
                seen.sent += sent;
                seen.window = seen.window.saturating_sub(sent);
                seen.sent_fin |= has(Flags::FIN);
                seen.sent_reset |= has(Flags::RST);
                seen.sent_ack |= has(Flags::ACK);
            }
        }
    }

    /// Writes as much as the transport accepts, and returns how much.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match self.writer.write(&[IoSlice::new(bytes)], Wait::Never) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            outcome => outcome?,
        };
        // The connection has not read it yet.
        let mut sent = &bytes[..count];
        while let Ok(Some(event)) = self.sending.next(&mut sent) {
            if let Event::Header(header) = event {
                self.note(header);
            }
        }
        Ok(count)
    }

    /// Ends the direction of this peer.
    pub(crate) fn finish(&mut self) {
        self.writer.finish(Wait::Never).expect("always");
    }

    /// Ends both directions.
    pub(crate) fn shutdown(&mut self) {
        self.closer.shutdown();
    }

    /// Reads what is there, up to `most` bytes.
    pub(crate) fn read(&mut self, most: usize) {
        let mut left = most;
        let mut buf = std::mem::take(&mut self.buf);
        while left > 0 && !self.ended {
            let limit = left.min(buf.len());
            match self.reader.read(&mut buf[..limit]) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    left -= count;
                    self.take(&buf[..count]);
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        self.buf = buf;
    }

    /// Reads up to the end, which must come soon.
    pub(crate) fn read_to_the_end(&mut self) {
        self.reader.set_timeout(Some(AT_ONCE)).expect("it may wait");
        self.read(usize::MAX);
        assert!(self.ended, "the peer does not see the end");
    }

    fn take(&mut self, mut input: &[u8]) {
        while let Some(event) = self
            .decoder
            .next(&mut input)
            .expect("a frame of the protocol")
        {
            match event {
                Event::Header(header) => self.on_header(header),
                Event::Body(body) => {
                    let id = self.current.expect("a header");
                    self.streams.entry(id).or_default().came.extend(body);
                }
            }
        }
    }

    fn on_header(&mut self, header: Header) {
        let id = header.stream.0;
        let has = |flag| header.flags.contains(flag);
        match header.kind {
            Kind::Ping => {
                assert_eq!(id, 0);
                if has(Flags::ACK) {
                    self.answered += 1;
                    assert!(self.answered <= self.asked, "an answer without a ping");
                }
            }
            Kind::GoAway => {
                assert_eq!(id, 0);
                assert!(header.length <= 1);
            }
            Kind::Data | Kind::WindowUpdate => {
                assert_ne!(id, 0);
                if has(Flags::SYN) {
                    assert_eq!(id, self.next_of_theirs, "ids come in order");
                    self.next_of_theirs += 2;
                    self.opened.push(id);
                    self.streams.entry(id).or_default().open();
                }
                let refused = has(Flags::RST) && !self.streams.contains_key(&id);
                assert!(!refused, "a reset of an unknown stream");
                let Some(seen) = self.streams.get_mut(&id) else {
                    panic!("{header:?} for an unknown stream");
                };
                // A relay passes on frames that are larger.
                let limit = if self.relayed {
                    u32::MAX
                } else {
                    SEGMENT as u32
                };
                assert!(header.body_len() <= limit, "{header:?}");
                seen.take(header);
                self.current = Some(id);
            }
        }
    }
}

impl Seen {
    fn open(&mut self) {
        self.syns += 1;
        self.credit += u64::from(INITIAL_WINDOW);
        self.window = u64::from(INITIAL_WINDOW);
    }

    /// Notes a received frame, and checks that it follows the protocol.
    fn take(&mut self, header: Header) {
        let has = |flag| header.flags.contains(flag);
        if header.kind == Kind::WindowUpdate {
            self.window += u64::from(header.length);
        }
        let sent = u64::from(header.body_len());
        self.acks += u32::from(has(Flags::ACK));
        if !self.is_known() {
            return;
        }
        assert!(self.acks <= 1, "acknowledged twice");
        assert!(!self.got_reset, "{header:?} after a reset");
        if header.kind == Kind::Data || has(Flags::FIN) {
            assert!(!self.got_fin, "{header:?} after the end");
        }
        let left = self.credit.checked_sub(sent);
        self.credit = left.expect("data within the credit");
        self.got_fin |= has(Flags::FIN);
        self.got_reset |= has(Flags::RST);
    }
}
