//! Runs a script against both implementations, and compares their reactions.

use std::collections::BTreeMap;
use std::fmt;

use crate::frames::{DATA, FIN, Frame, RST, SYN, WINDOW_UPDATE};

use super::allowances::{ALLOWANCES, Allowance, Then};
use super::application::Seen;
use super::ledger::{Ledger, describe};
use super::libp2p_side::Libp2pSide;
use super::reaction::Reaction;
use super::script::{Act, Behaviour, Length, Role, Script, Target, frame};
use super::wirenet_side::WirenetSide;

/// An implementation with the application on top of it.
pub trait Side {
    /// Receives these frames from the peer, in one piece.
    fn receive(&mut self, frames: &[Vec<u8>]);
    /// Receives the end of the peer's bytes.
    fn hang_up(&mut self);
    fn open(&mut self);
    fn finish(&mut self, id: u32);
    fn reset(&mut self, id: u32);
    /// Makes progress until there is nothing left to do.
    fn settle(&mut self);
    fn take_sent(&mut self) -> Vec<u8>;
    fn take_seen(&mut self) -> Vec<(u32, Seen)>;
    /// Returns whether the implementation has closed the connection.
    fn has_ended(&self) -> bool;
}

/// What the peer knows about the state of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// The stream was opened by either end.
    pub known: bool,
    /// The peer has ended its half.
    pub peer_fin: bool,
    /// The implementation has ended its half.
    pub own_fin: bool,
    /// The stream was reset by either end.
    pub reset: bool,
}

impl StreamState {
    pub fn is_open(self) -> bool {
        self.known && !self.reset && !(self.peer_fin && self.own_fin)
    }
}

/// What happened between two comparisons.
pub struct Round<'a> {
    pub role: Role,
    pub behaviour: Behaviour,
    pub max_streams: usize,
    /// The frames that the peer sent, each with the state of its stream before it.
    pub frames: &'a [(Frame, StreamState)],
    /// The peer sent an invalid header.
    pub garbage: bool,
    /// The application opened a stream, or tried to.
    pub opens: bool,
    pub ours: &'a Reaction,
    pub theirs: &'a Reaction,
}

impl Round<'_> {
    /// Returns whether the peer sent a frame, to a stream in a state, for which
    /// `matches` returns `true`.
    pub fn received(&self, matches: impl Fn(&Frame, StreamState) -> bool) -> bool {
        self.frames
            .iter()
            .any(|(frame, state)| matches(frame, *state))
    }

    /// Returns whether the id is one that only the peer may open.
    pub fn is_peers(&self, id: u32) -> bool {
        id != 0 && id % 2 == Target::Peers(0).id(self.role) % 2
    }
}

/// The statistics of a script whose differences are all allowed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many times the reactions were compared.
    pub comparisons: usize,
    /// The names of the allowances that were used.
    pub allowed: Vec<&'static str>,
}

/// A difference that is not allowed, or an error of ours.
pub struct Failure {
    round: Vec<String>,
    what: String,
    ours: Reaction,
    theirs: Reaction,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        writeln!(f, "  after {:?}", self.round)?;
        writeln!(f, "  wirenet: {:?}", self.ours)?;
        write!(f, "  libp2p:  {:?}", self.theirs)
    }
}

/// Runs a script to its end, or to an allowed difference after which the two are in
/// different states.
///
/// # Errors
///
/// If the reactions differ in a way that is not allowed.
pub fn run_script(script: &Script) -> Result<Outcome, Box<Failure>> {
    Comparison::new(script).run()
}

struct Comparison<'a> {
    script: &'a Script,
    ours: WirenetSide,
    theirs: Libp2pSide,
    our_ledger: Ledger,
    their_ledger: Ledger,
    views: BTreeMap<u32, StreamState>,
    /// The number of bytes that the peer has sent on each stream.
    sent: BTreeMap<u32, u64>,
    /// The frames that the peer has sent since the last comparison.
    frames: Vec<(Frame, StreamState)>,
    garbage: bool,
    opens: bool,
    /// The number of open streams, as far as the peer can know.
    open: usize,
    outgoing: Vec<Vec<u8>>,
    outcome: Outcome,
}

impl<'a> Comparison<'a> {
    fn new(script: &'a Script) -> Self {
        Self {
            script,
            ours: WirenetSide::new(script),
            theirs: Libp2pSide::new(script),
            our_ledger: Ledger::default(),
            their_ledger: Ledger::default(),
            views: BTreeMap::new(),
            sent: BTreeMap::new(),
            frames: Vec::new(),
            garbage: false,
            opens: false,
            open: 0,
            outgoing: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    fn run(mut self) -> Result<Outcome, Box<Failure>> {
        let steps = &self.script.steps;
        for (index, step) in steps.iter().enumerate() {
            self.act(step.act);
            let next = steps.get(index + 1);
            if step.held && next.is_some_and(|next| step.act.may_lead(next.act)) {
                continue;
            }
            let frames = std::mem::take(&mut self.outgoing);
            self.both(|side| side.receive(&frames));
            if self.compare_reactions()? == Then::Stop {
                return self.end();
            }
        }
        self.ours.hang_up();
        self.theirs.hang_up();
        self.compare_reactions()?;
        self.end()
    }

    /// Ends the connection, and checks that our side then keeps no stream.
    fn end(mut self) -> Result<Outcome, Box<Failure>> {
        self.ours.hang_up();
        self.ours.settle();
        match self.ours.stream_count() {
            0 => Ok(self.outcome),
            left => Err(self.failure(
                format!("{left} streams are still kept after the end of the connection"),
                Reaction::default(),
                Reaction::default(),
            )),
        }
    }

    fn act(&mut self, act: Act) {
        let role = self.script.role;
        match act {
            Act::Frame {
                kind,
                flags,
                target,
                length,
            } => self.queue(kind, flags, target.id(role), length),
            Act::Header { version, kind } => {
                let bytes = [version, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                self.outgoing.push(bytes.to_vec());
                self.garbage = true;
            }
            Act::Open => {
                self.opens = true;
                self.both(|side| side.open());
            }
            Act::Finish(target) => self.both(|side| side.finish(target.id(role))),
            Act::Reset(target) => {
                let view = self.view(target.id(role));
                // libp2p can reset only streams that are open in both directions.
                if view.is_open() && !view.peer_fin && !view.own_fin {
                    self.both(|side| side.reset(target.id(role)));
                }
            }
        }
    }

    fn both(&mut self, mut act: impl FnMut(&mut dyn Side)) {
        act(&mut self.ours);
        act(&mut self.theirs);
    }

    fn queue(&mut self, kind: u8, flags: u16, id: u32, length: Length) {
        let for_stream = kind == DATA || kind == WINDOW_UPDATE;
        let view = self.view(id);
        let opens = for_stream && flags & SYN != 0;
        if opens && !view.is_open() {
            self.our_ledger.begin(id);
            self.their_ledger.begin(id);
            self.sent.insert(id, 0);
        }
        if opens && self.frames.iter().any(|(frame, _)| frame.stream == id) {
            self.our_ledger.begin_again(id);
            self.their_ledger.begin_again(id);
        }
        let credits = [self.our_ledger.credit(id), self.their_ledger.credit(id)];
        let (least, most) = (credits[0].min(credits[1]), credits[0].max(credits[1]));
        let count = match length {
            // Do not send bytes that only one of the two has granted.
            Length::Is(count) if kind == DATA && (least + 1..=most).contains(&count.into()) => {
                least
            }
            Length::Is(count) | Length::Announced(count) => count.into(),
            Length::Credit => least.min(1 << 20),
            Length::BeyondCredit => (most + 1).min(1 << 20),
        };
        // All of these counts fit into 32 bits.
        let count = count as u32;
        let offset = self.sent.entry(id).or_default();
        let frame = match length {
            Length::Announced(_) => Frame {
                length: count,
                ..frame(kind, flags, id, 0, 0)
            },
            _ => frame(kind, flags, id, count, *offset),
        };
        *offset += frame.body.len() as u64;
        self.outgoing.push(frame.encode());
        if for_stream {
            self.our_ledger.record(&frame);
            self.their_ledger.record(&frame);
            self.record_sent(&frame);
        }
        self.frames.push((frame, view));
    }

    fn view(&self, id: u32) -> StreamState {
        self.views.get(&id).copied().unwrap_or_default()
    }

    /// Updates the state of a stream after a frame of the peer.
    fn record_sent(&mut self, frame: &Frame) {
        let view = self.views.entry(frame.stream).or_default();
        if frame.has(SYN) && !view.is_open() {
            *view = StreamState {
                known: true,
                ..StreamState::default()
            };
        }
        if view.known {
            view.peer_fin |= frame.has(FIN);
            view.reset |= frame.has(RST);
        }
    }

    /// Compares the reactions since the last comparison.
    fn compare_reactions(&mut self) -> Result<Then, Box<Failure>> {
        let ours = react(&mut self.ours, &mut self.our_ledger);
        let theirs = react(&mut self.theirs, &mut self.their_ledger);
        self.outcome.comparisons += 1;
        let round = Round {
            role: self.script.role,
            behaviour: self.script.behaviour,
            max_streams: self.script.max_streams,
            frames: &self.frames,
            garbage: self.garbage,
            opens: self.opens,
            ours: &ours,
            theirs: &theirs,
        };
        let mut then = Then::Continue;
        let mut unknown = None;
        for difference in ours.differences(&theirs) {
            match ALLOWANCES
                .iter()
                .find(|a| (a.explains)(&round, &difference))
            {
                Some(Allowance {
                    name,
                    then: Then::Stop,
                    ..
                }) => {
                    self.outcome.allowed.push(name);
                    then = Then::Stop;
                }
                Some(allowance) => self.outcome.allowed.push(allowance.name),
                None => unknown = Some(unknown.unwrap_or(difference)),
            }
        }
        // Once the two are in different states, any other difference is allowed.
        if let (Some(difference), Then::Continue) = (unknown, then) {
            return Err(self.failure(format!("not allowed: {difference:?}"), ours, theirs));
        }
        self.record_reaction(&ours);
        if !ours.breaches.is_empty() {
            return Err(self.failure("wirenet broke the protocol".into(), ours, theirs));
        }
        let (open, known) = (self.open, self.ours.stream_count());
        if open != known {
            let what = format!("{open} streams are open, but wirenet keeps {known}");
            return Err(self.failure(what, ours, theirs));
        }
        self.frames.clear();
        self.garbage = false;
        self.opens = false;
        let over = ours.ended || theirs.ended || theirs.away.is_some_and(|code| code != 0);
        Ok(if over { Then::Stop } else { then })
    }

    /// Updates the states of the streams after our reaction.
    fn record_reaction(&mut self, ours: &Reaction) {
        for (id, stream_reaction) in &ours.streams {
            if stream_reaction.syn {
                self.sent.insert(*id, 0);
            }
            let view = self.views.entry(*id).or_default();
            view.known |= stream_reaction.syn;
            view.own_fin |= stream_reaction.fin;
            view.reset |= stream_reaction.rst;
        }
        self.open = if ours.ended {
            0
        } else {
            self.views.values().filter(|view| view.is_open()).count()
        };
    }

    fn failure(&self, what: String, ours: Reaction, theirs: Reaction) -> Box<Failure> {
        let describe_in_state =
            |(frame, view): &(Frame, StreamState)| format!("{} ({view:?})", describe(frame));
        Box::new(Failure {
            round: self.frames.iter().map(describe_in_state).collect(),
            what,
            ours,
            theirs,
        })
    }
}

fn react(side: &mut impl Side, ledger: &mut Ledger) -> Reaction {
    side.settle();
    ledger.reaction(&side.take_sent(), side.take_seen(), side.has_ended())
}
