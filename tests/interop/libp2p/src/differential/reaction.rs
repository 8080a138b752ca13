//! What an implementation did about a step, as far as both must agree: window
//! updates, their sizes, the frames that data is cut into and the pings that
//! measure something are their own affair.

use std::collections::BTreeMap;

use super::application::End;

/// What came of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// The pings that it answered.
    pub pongs: Vec<u32>,
    /// The code of the first go away.
    pub away: Option<u32>,
    /// It has cut the connection.
    pub ended: bool,
    pub streams: BTreeMap<u32, Heard>,
    /// What it must never do, whatever the peer does.
    pub breaches: Vec<String>,
}

/// What was heard of a stream, by the peer and by the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub syn: bool,
    /// Since the stream began.
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
    /// Bytes of Data that it sent.
    pub sent: u64,
    /// The application got the stream so often.
    pub accepted: u32,
    /// Bytes that the application got.
    pub delivered: u64,
    /// The end that it saw.
    pub end: Option<End>,
}

/// One thing in which the two parted: wirenet's first, then libp2p's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    Pongs(Vec<u32>, Vec<u32>),
    Away(Option<u32>, Option<u32>),
    Ended(bool, bool),
    Stream(u32, Part),
    Breaches(Vec<String>, Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Syn(bool, bool),
    Ack(bool, bool),
    Fin(bool, bool),
    Rst(bool, bool),
    Sent(u64, u64),
    Accepted(u32, u32),
    Delivered(u64, u64),
    End(Option<End>, Option<End>),
}

impl Reaction {
    /// All in which this one, ours, is not like the other.
    pub fn differences(&self, theirs: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.pongs != theirs.pongs {
            found.push(Difference::Pongs(self.pongs.clone(), theirs.pongs.clone()));
        }
        if self.away != theirs.away {
            found.push(Difference::Away(self.away, theirs.away));
        }
        if self.ended != theirs.ended {
            found.push(Difference::Ended(self.ended, theirs.ended));
        }
        if self.breaches != theirs.breaches {
            let breaches = (self.breaches.clone(), theirs.breaches.clone());
            found.push(Difference::Breaches(breaches.0, breaches.1));
        }
        let mut ids: Vec<_> = self.streams.keys().chain(theirs.streams.keys()).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let parts = self.heard(*id).parts(&theirs.heard(*id));
            found.extend(parts.into_iter().map(|part| Difference::Stream(*id, part)));
        }
        found
    }

    pub fn heard(&self, id: u32) -> Heard {
        self.streams.get(&id).copied().unwrap_or_default()
    }
}

impl Heard {
    fn parts(&self, theirs: &Self) -> Vec<Part> {
        let parts = [
            (self.syn != theirs.syn, Part::Syn(self.syn, theirs.syn)),
            (self.ack != theirs.ack, Part::Ack(self.ack, theirs.ack)),
            (self.fin != theirs.fin, Part::Fin(self.fin, theirs.fin)),
            (self.rst != theirs.rst, Part::Rst(self.rst, theirs.rst)),
            (self.sent != theirs.sent, Part::Sent(self.sent, theirs.sent)),
            (
                self.accepted != theirs.accepted,
                Part::Accepted(self.accepted, theirs.accepted),
            ),
            (
                self.delivered != theirs.delivered,
                Part::Delivered(self.delivered, theirs.delivered),
            ),
            (self.end != theirs.end, Part::End(self.end, theirs.end)),
        ];
        let differing = parts.into_iter().filter(|(differs, _)| *differs);
        differing.map(|(_, part)| part).collect()
    }
}
