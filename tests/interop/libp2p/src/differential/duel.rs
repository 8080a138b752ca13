//! Plays a script to both implementations, and judges what they do about it.

use std::collections::BTreeMap;
use std::fmt;

use crate::frames::{DATA, FIN, Frame, RST, SYN, WINDOW_UPDATE};

use super::allowances::{ALLOWANCES, Allowance, Then};
use super::application::Seen;
use super::ledger::{Ledger, told};
use super::ours::Ours;
use super::reaction::Reaction;
use super::script::{Act, Length, Manner, Role, Script, Target, frame};
use super::theirs::Theirs;

/// An implementation with the application behind it.
pub trait Side {
    /// The peer sends these frames, in one piece.
    fn receive(&mut self, frames: &[Vec<u8>]);
    /// The peer sends no more.
    fn hang_up(&mut self);
    fn open(&mut self);
    fn finish(&mut self, id: u32);
    fn reset(&mut self, id: u32);
    /// Goes on until there is nothing left to do.
    fn settle(&mut self);
    fn take_sent(&mut self) -> Vec<u8>;
    fn take_seen(&mut self) -> Vec<(u32, Seen)>;
    /// Whether it has cut the connection.
    fn has_ended(&self) -> bool;
}

/// What the peer knows of a stream's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Somebody has opened it, once.
    pub known: bool,
    /// The peer has ended its half.
    pub peer_fin: bool,
    /// The implementation has.
    pub own_fin: bool,
    /// Somebody has reset it.
    pub reset: bool,
}

impl View {
    pub fn is_open(self) -> bool {
        self.known && !self.reset && !(self.peer_fin && self.own_fin)
    }
}

/// Since when both were last compared.
pub struct Moment<'a> {
    pub role: Role,
    pub manner: Manner,
    pub max_streams: usize,
    /// What the peer has sent, with the state of the stream before.
    pub frames: &'a [(Frame, View)],
    /// It has sent a header that is none.
    pub garbage: bool,
    /// The application has opened a stream, or tried to.
    pub opens: bool,
    pub ours: &'a Reaction,
    pub theirs: &'a Reaction,
}

impl Moment<'_> {
    /// Whether the peer has sent such a frame to such a stream.
    pub fn came(&self, what: impl Fn(&Frame, View) -> bool) -> bool {
        self.frames.iter().any(|(frame, view)| what(frame, *view))
    }

    pub fn is_peers(&self, id: u32) -> bool {
        id != 0 && id % 2 == Target::Peers(0).id(self.role) % 2
    }
}

/// How a duel went that showed nothing new.
#[derive(Debug, Default)]
pub struct Played {
    /// How often the two were compared.
    pub moments: usize,
    /// The names of the allowances that it took.
    pub allowed: Vec<&'static str>,
}

/// A difference that is not in the table, or a fault of ours.
pub struct Failure {
    moment: Vec<String>,
    what: String,
    ours: Reaction,
    theirs: Reaction,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        writeln!(f, "  after {:?}", self.moment)?;
        writeln!(f, "  wirenet: {:?}", self.ours)?;
        write!(f, "  libp2p:  {:?}", self.theirs)
    }
}

/// Plays a script to its end, or to where they part as they may.
///
/// # Errors
///
/// Where they part otherwise.
pub fn duel(script: &Script) -> Result<Played, Box<Failure>> {
    Duel::new(script).play()
}

struct Duel<'a> {
    script: &'a Script,
    ours: Ours,
    theirs: Theirs,
    our_ledger: Ledger,
    their_ledger: Ledger,
    views: BTreeMap<u32, View>,
    /// How many bytes of each stream the peer has sent.
    sent: BTreeMap<u32, u64>,
    /// What was sent since both were last compared.
    frames: Vec<(Frame, View)>,
    garbage: bool,
    opens: bool,
    /// Open streams, as far as the peer can know.
    open: usize,
    outgoing: Vec<Vec<u8>>,
    played: Played,
}

impl<'a> Duel<'a> {
    fn new(script: &'a Script) -> Self {
        Self {
            script,
            ours: Ours::new(script),
            theirs: Theirs::new(script),
            our_ledger: Ledger::default(),
            their_ledger: Ledger::default(),
            views: BTreeMap::new(),
            sent: BTreeMap::new(),
            frames: Vec::new(),
            garbage: false,
            opens: false,
            open: 0,
            outgoing: Vec::new(),
            played: Played::default(),
        }
    }

    fn play(mut self) -> Result<Played, Box<Failure>> {
        let steps = &self.script.steps;
        for (index, step) in steps.iter().enumerate() {
            self.act(step.act);
            let next = steps.get(index + 1);
            if step.held && next.is_some_and(|next| step.act.may_lead(next.act)) {
                continue;
            }
            let frames = std::mem::take(&mut self.outgoing);
            self.both(|side| side.receive(&frames));
            if self.compare()? == Then::Stop {
                return self.end();
            }
        }
        self.ours.hang_up();
        self.theirs.hang_up();
        self.compare()?;
        self.end()
    }

    /// Whatever has happened, our side is left with nothing.
    fn end(mut self) -> Result<Played, Box<Failure>> {
        self.ours.hang_up();
        self.ours.settle();
        match self.ours.stream_count() {
            0 => Ok(self.played),
            left => Err(self.failure(
                format!("{left} streams outlive the connection"),
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
                // libp2p resets only what is open both ways.
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
            self.our_ledger.insist(id);
            self.their_ledger.insist(id);
        }
        let credits = [self.our_ledger.credit(id), self.their_ledger.credit(id)];
        let (least, most) = (credits[0].min(credits[1]), credits[0].max(credits[1]));
        let count = match length {
            // What one has granted and the other has not yet is not for sending.
            Length::Is(count) if kind == DATA && (least + 1..=most).contains(&count.into()) => {
                least
            }
            Length::Is(count) | Length::Announced(count) => count.into(),
            Length::Credit => least.min(1 << 20),
            Length::BeyondCredit => (most + 1).min(1 << 20),
        };
        // All of these fit.
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
            self.our_ledger.book(&frame);
            self.their_ledger.book(&frame);
            self.look_at(&frame);
        }
        self.frames.push((frame, view));
    }

    fn view(&self, id: u32) -> View {
        self.views.get(&id).copied().unwrap_or_default()
    }

    /// What the peer's own frame makes of its stream.
    fn look_at(&mut self, frame: &Frame) {
        let view = self.views.entry(frame.stream).or_default();
        if frame.has(SYN) && !view.is_open() {
            *view = View {
                known: true,
                ..View::default()
            };
        }
        if view.known {
            view.peer_fin |= frame.has(FIN);
            view.reset |= frame.has(RST);
        }
    }

    /// Compares what both have done since the last time.
    fn compare(&mut self) -> Result<Then, Box<Failure>> {
        let ours = react(&mut self.ours, &mut self.our_ledger);
        let theirs = react(&mut self.theirs, &mut self.their_ledger);
        self.played.moments += 1;
        let moment = Moment {
            role: self.script.role,
            manner: self.script.manner,
            max_streams: self.script.max_streams,
            frames: &self.frames,
            garbage: self.garbage,
            opens: self.opens,
            ours: &ours,
            theirs: &theirs,
        };
        let mut then = Then::GoOn;
        let mut unknown = None;
        for difference in ours.differences(&theirs) {
            match ALLOWANCES
                .iter()
                .find(|a| (a.explains)(&moment, &difference))
            {
                Some(Allowance {
                    name,
                    then: Then::Stop,
                    ..
                }) => {
                    self.played.allowed.push(name);
                    then = Then::Stop;
                }
                Some(allowance) => self.played.allowed.push(allowance.name),
                None => unknown = Some(unknown.unwrap_or(difference)),
            }
        }
        // Once they have parted, they may differ in anything.
        if let (Some(difference), Then::GoOn) = (unknown, then) {
            return Err(self.failure(format!("not in the table: {difference:?}"), ours, theirs));
        }
        self.note(&ours);
        if !ours.breaches.is_empty() {
            return Err(self.failure("a fault of ours".into(), ours, theirs));
        }
        let (open, known) = (self.open, self.ours.stream_count());
        if open != known {
            let what = format!("{open} streams are open, and we keep {known}");
            return Err(self.failure(what, ours, theirs));
        }
        self.frames.clear();
        self.garbage = false;
        self.opens = false;
        let over = ours.ended || theirs.ended || theirs.away.is_some_and(|code| code != 0);
        Ok(if over { Then::Stop } else { then })
    }

    /// What our side has made of the streams.
    fn note(&mut self, ours: &Reaction) {
        for (id, heard) in &ours.streams {
            if heard.syn {
                self.sent.insert(*id, 0);
            }
            let view = self.views.entry(*id).or_default();
            view.known |= heard.syn;
            view.own_fin |= heard.fin;
            view.reset |= heard.rst;
        }
        self.open = if ours.ended {
            0
        } else {
            self.views.values().filter(|view| view.is_open()).count()
        };
    }

    fn failure(&self, what: String, ours: Reaction, theirs: Reaction) -> Box<Failure> {
        let describe = |(frame, view): &(Frame, View)| format!("{} ({view:?})", told(frame));
        Box::new(Failure {
            moment: self.frames.iter().map(describe).collect(),
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
