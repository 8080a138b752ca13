//! The peer's record of one implementation: what it has sent and granted on each
//! stream, and whether it has broken the protocol itself.

use std::collections::BTreeMap;

use crate::frames::{ACK, DATA, FIN, Frame, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE};

use super::application::Seen;
use super::reaction::{Reaction, StreamReaction};
use super::script::{WINDOW, bytes};

#[derive(Default)]
pub struct Ledger {
    streams: BTreeMap<u32, Account>,
}

/// The record of one stream.
#[derive(Clone, Copy, Debug)]
struct Account {
    /// The number of bytes that the peer may still send.
    credit: u64,
    /// The number of bytes that the peer has allowed the implementation to send.
    granted: u64,
    sent: u64,
    ack: bool,
    fin: bool,
    /// How many resets the implementation may still send: one for each SYN.
    resets_left: u32,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            credit: WINDOW.into(),
            granted: WINDOW.into(),
            sent: 0,
            ack: false,
            fin: false,
            resets_left: 1,
        }
    }
}

impl Ledger {
    pub fn credit(&self, id: u32) -> u64 {
        self.streams.get(&id).copied().unwrap_or_default().credit
    }

    /// Records the start of a stream. Its id may have been used before.
    pub fn begin(&mut self, id: u32) {
        self.streams.insert(id, Account::default());
    }

    /// Records a SYN that the peer sent before it could know the outcome of its
    /// previous SYN on this stream.
    pub fn begin_again(&mut self, id: u32) {
        self.streams.entry(id).or_default().resets_left += 1;
    }

    /// Records a frame that the peer has sent.
    pub fn record(&mut self, frame: &Frame) {
        let account = self.streams.entry(frame.stream).or_default();
        match frame.kind {
            DATA => account.credit = account.credit.saturating_sub(frame.length.into()),
            WINDOW_UPDATE => account.granted += u64::from(frame.length),
            _ => {}
        }
    }

    /// Returns the reaction of the implementation: the frames that it sent, and what
    /// its application has observed.
    pub fn reaction(&mut self, mut frames: &[u8], seen: Vec<(u32, Seen)>, ended: bool) -> Reaction {
        let mut reaction = Reaction {
            ended,
            ..Reaction::default()
        };
        while let Some(frame) = Frame::read(&mut frames).expect("whole frames of version 0") {
            match frame.kind {
                PING if frame.has(ACK) => reaction.pongs.push(frame.length),
                PING => {}
                GO_AWAY => _ = reaction.away.get_or_insert(frame.length),
                _ => self.on_stream_frame(&frame, &mut reaction),
            }
        }
        for (id, what) in seen {
            note(&mut reaction, id, what);
        }
        for (id, stream_reaction) in &mut reaction.streams {
            stream_reaction.ack = self.streams.get(id).is_some_and(|account| account.ack);
        }
        reaction
    }

    fn on_stream_frame(&mut self, frame: &Frame, reaction: &mut Reaction) {
        let id = frame.stream;
        if frame.has(SYN) {
            self.begin(id);
        }
        let account = self.streams.entry(id).or_default();
        let stream_reaction = reaction.streams.entry(id).or_default();
        if let Some(breach) = account.breach(frame) {
            reaction
                .breaches
                .push(format!("{breach}: {}", describe(frame)));
        }
        account.take(frame);
        stream_reaction.record(frame);
    }
}

impl Account {
    /// Returns the rule that the frame breaks, if any. These rules hold whatever the
    /// peer does.
    fn breach(&self, frame: &Frame) -> Option<&'static str> {
        let data = frame.kind == DATA && frame.length > 0;
        if self.resets_left == 0 {
            Some("a frame after its own reset")
        } else if self.fin && frame.has(FIN) {
            Some("a second FIN")
        } else if self.fin && data {
            Some("data after its own FIN")
        } else if self.ack && frame.has(ACK) {
            Some("a second ACK")
        } else if data && self.sent + u64::from(frame.length) > self.granted {
            Some("data beyond the window")
        } else if data && frame.body != bytes(frame.stream, self.sent, frame.body.len()) {
            Some("bytes that are not the stream's")
        } else {
            None
        }
    }

    fn take(&mut self, frame: &Frame) {
        self.ack |= frame.has(ACK);
        self.fin |= frame.has(FIN);
        self.resets_left -= u32::from(frame.has(RST));
        if frame.kind == DATA {
            self.sent += u64::from(frame.length);
        } else {
            self.credit += u64::from(frame.length);
        }
    }
}

impl StreamReaction {
    fn record(&mut self, frame: &Frame) {
        self.syn |= frame.has(SYN);
        self.fin |= frame.has(FIN);
        self.rst |= frame.has(RST);
        if frame.kind == DATA {
            self.sent += u64::from(frame.length);
        }
    }
}

fn note(reaction: &mut Reaction, id: u32, what: Seen) {
    let stream_reaction = reaction.streams.entry(id).or_default();
    match what {
        Seen::Accepted => stream_reaction.accepted += 1,
        Seen::Bytes(count) => stream_reaction.delivered += count,
        Seen::End(end) => stream_reaction.end = Some(end),
        Seen::Garbled => {
            let breach = format!("wrong bytes delivered on stream {id}");
            reaction.breaches.push(breach);
        }
    }
}

/// Describes a frame without its body.
pub fn describe(frame: &Frame) -> String {
    let kinds = ["Data", "Window Update", "Ping", "Go Away"];
    let flags = [(SYN, "SYN"), (ACK, "ACK"), (FIN, "FIN"), (RST, "RST")];
    let set = flags.iter().filter(|(flag, _)| frame.has(*flag));
    let set: Vec<_> = set.map(|(_, name)| *name).collect();
    let kind = kinds[usize::from(frame.kind)];
    let (id, length) = (frame.stream, frame.length);
    format!("{kind} {} stream {id} length {length}", set.join("|"))
}
