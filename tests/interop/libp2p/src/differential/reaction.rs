//! The reaction of an implementation to a step. It contains only what both must
//! agree on. It does not contain window updates, the sizes of Data frames, or pings
//! that measure the round-trip time.

use std::collections::BTreeMap;

use super::application::End;

/// What an implementation and its application did in a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// The values of the pings that it answered.
    pub pongs: Vec<u32>,
    /// The code of the first go away that it sent.
    pub away: Option<u32>,
    /// Whether it has closed the connection.
    pub ended: bool,
    pub streams: BTreeMap<u32, StreamReaction>,
    /// The rules that it broke and that hold whatever the peer does.
    pub breaches: Vec<String>,
}

/// What the peer and the application have received on a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamReaction {
    pub syn: bool,
    /// Whether it has acknowledged the stream since the stream began.
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
    /// The number of bytes that it sent in Data frames.
    pub sent: u64,
    /// How many times the application accepted a stream with this id.
    pub accepted: u32,
    /// The number of bytes that the application received.
    pub delivered: u64,
    /// The end that the application observed.
    pub end: Option<End>,
}

/// A difference between two reactions: wirenet's value first, then libp2p's.
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
    /// Returns the differences between this reaction, which is ours, and theirs.
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
            let parts = self.stream(*id).parts(&theirs.stream(*id));
            found.extend(parts.into_iter().map(|part| Difference::Stream(*id, part)));
        }
        found
    }

    pub fn stream(&self, id: u32) -> StreamReaction {
        self.streams.get(&id).copied().unwrap_or_default()
    }
}

impl StreamReaction {
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
