//! A hub with two clients that call each other, played by hand: what one says,
//! the other hears, or the beginning of it, and then not that it was all.

use super::{
    side::{Call, PLENTY, Side},
    stage::{REFUSED, assert_at_rest, wire},
};
use crate::{
    fuzz::Script,
    time::deadline,
    wire::{
        run::inbound::find_owner,
        session::frame::Kind,
        state::{registry::Names, wire_state::WireState},
    },
    yamux::fuzz::AT_ONCE,
};
use crossbeam_channel::{Receiver, bounded};
use std::sync::{Arc, LazyLock};

static HUB: LazyLock<Arc<WireState>> = LazyLock::new(|| wire(Names::Owned, find_owner));

/// The clients' own names, the hub's, and one that is nobody's.
const NAMES: [&str; 8] = ["a", "b", "a", "b", "echo", "source", "fail", "nobody"];

/// Payloads of what clients say.
const LENGTHS: [usize; 8] = [0, 1, 20, 1024, 1025, 9000, 65_536, 300_000];

/// Two clients of a hub call each other and do anything then. Neither costs the
/// other more than the calls between them, and nothing is left of either.
pub fn hub(data: &[u8]) {
    let mut script = Script::new(data);
    let (flags, more) = (script.byte(), script.byte());
    let (tell, written) = bounded(1);
    // Where it is small, others write on for the one who was first.
    let capacities = [more & 15, more >> 4].map(|choice| match choice {
        0 => 700,
        1 => 20_000,
        _ => 4 * PLENTY,
    });
    let alone = capacities.iter().all(|capacity| *capacity > PLENTY);
    let mut sides = [0u8, 1].map(|number| {
        let mut side = Side::join(&HUB, number, capacities[usize::from(number)], tell.clone());
        side.polite = flags >> number & 1 == 0;
        side.lazy = flags >> (2 + number) & 1 != 0;
        side
    });
    let mut play = Play {
        sides: &mut sides,
        batches: flags & 16 != 0,
        alone,
        written,
        unsure: false,
    };
    while let Some(op) = script.next() {
        play.step(op, &mut script);
    }
    play.settle();
    if flags & 32 != 0 {
        play.sides.reverse();
    }
    for side in play.sides.iter_mut() {
        side.leave();
    }
    let unsure = play.unsure;
    assert_at_rest(&HUB);
    for side in &mut sides {
        side.peer.read(usize::MAX);
    }
    let [a, b] = &sides;
    if !unsure {
        a.check_calls(b);
        b.check_calls(a);
    }
    for side in sides {
        side.finish(alone);
    }
}

struct Play<'a> {
    sides: &'a mut [Side; 2],
    /// The hub reads when it is told to.
    batches: bool,
    /// No threads write on for others.
    alone: bool,
    /// The hub has written something.
    written: Receiver<()>,
    /// Somebody left while it called: whose call it is that is heard next, is
    /// not known.
    unsure: bool,
}

impl Play<'_> {
    fn step(&mut self, op: u8, script: &mut Script<'_>) {
        let index = usize::from(op >> 7);
        let side = &mut self.sides[index];
        match op % 18 {
            0 | 1 => self.call(index, script),
            2 | 3 => self.answer(index, script),
            4 | 5 => {
                let len = script.pick(&LENGTHS);
                let end = script.byte() & 1 != 0;
                side.say(script, len, end);
            }
            6 => side.grant(script),
            7 => side.end(script),
            8 => side.reset(script),
            9 => side.grant(script),
            10 => side.say_raw(script),
            11 => side.ping(script),
            12 => match script.byte() {
                // Seldom: not much can happen any more.
                0..240 => side.ping(script),
                240..250 => side.go_away(),
                250..253 => side.peer.finish(),
                253.. => side.peer.shutdown(),
            },
            13 => {
                let most = script.pick(&[1, 100, 5000, 1 << 20]);
                side.peer.read(most);
            }
            14 => {
                side.turn();
            }
            15 if !side.polite => side.say_anything(script),
            16 => match script.byte() {
                0..250 => side.turn_all(),
                250..253 => side.connection().close_when_idle(),
                253.. => side.connection().cut(),
            },
            _ => side.connection().age(),
        }
        for side in self.sides.iter_mut() {
            if !self.batches {
                side.turn_all();
            }
            if !side.lazy {
                side.peer.read(usize::MAX);
            }
        }
        // No handler is about to count.
        let alone = self.alone && HUB.pool.busy() == 0;
        for side in self.sides.iter() {
            side.connection().check(alone);
        }
    }

    /// A call, to the moment when it is answered, or the other has heard of it.
    fn call(&mut self, index: usize, script: &mut Script<'_>) {
        let name = script.pick(&NAMES);
        let how = script.byte();
        let token = if how & 128 == 0 { &b""[..] } else { REFUSED };
        let len = if how & 1 == 0 { 0 } else { 100 };
        let heard = self.sides.each_ref().map(|side| side.peer.opened.len());
        let Some(id) = self.sides[index].call(name, token, len) else {
            return;
        };
        let is_heard = |sides: &[Side; 2]| {
            let mut calls = sides.iter().zip(heard);
            calls.any(|(side, before)| side.peer.opened.len() > before)
        };
        self.wait(|sides| {
            is_heard(sides) || sides[index].is_answered(id) || sides[index].is_over()
        });
        self.unsure |= self.sides[index].is_over();
        // Of this call: there is one at a time.
        let side = index as u8;
        for (other, before) in self.sides.iter_mut().zip(heard) {
            other.hear(before, Call { side, id });
        }
    }

    /// The oldest call that waits is answered, and the caller hears of it.
    fn answer(&mut self, index: usize, script: &mut Script<'_>) {
        let how = script.byte();
        let Some((id, from)) = self.sides[index].next_call() else {
            return;
        };
        let caller = usize::from(from.side);
        let side = &mut self.sides[index];
        match how % 8 {
            0..4 => {
                let len = if how & 128 == 0 { 0 } else { 50 };
                side.answer(id, from, Kind::Accept, len);
                let side = index as u8;
                self.sides[caller].is_through(from.id, Call { side, id });
            }
            4 => side.answer(id, from, Kind::Error, 0),
            5 => side.answer(id, from, Kind::Open, 0),
            6 => side.reset_id(id),
            _ => side.end_id(id),
        }
        if self.unsure {
            return;
        }
        self.wait(|sides| {
            let over = sides[caller].is_over() || sides[index].is_over();
            over || sides[index].garbled || sides[caller].is_answered(from.id)
        });
    }

    /// Nothing is said any more. What was said on calls has been passed on then.
    fn settle(&mut self) {
        let is_standing = |side: &Side| side.polite && !side.is_over();
        if !self.alone || self.unsure || !self.sides.iter().all(is_standing) {
            return;
        }
        for side in self.sides.iter_mut() {
            side.give_up_others();
        }
        self.turn_and_read();
        let running = HUB.threads.join(deadline(AT_ONCE));
        assert_eq!(running, 0, "a handler does not end");
        // The one that is read later may make the other send.
        self.turn_and_read();
        self.turn_and_read();
        let [a, b] = &*self.sides;
        if is_standing(a) && is_standing(b) {
            a.check_passed_on(b);
            b.check_passed_on(a);
        }
    }

    fn turn_and_read(&mut self) {
        for side in self.sides.iter_mut() {
            side.turn_all();
            side.peer.read(usize::MAX);
        }
    }

    /// Waits for something that must happen. Meanwhile all that is written is
    /// read, on both ends of both connections, as nobody else does.
    fn wait(&mut self, happened: impl Fn(&[Side; 2]) -> bool) {
        loop {
            self.turn_and_read();
            if happened(self.sides) {
                return;
            }
            let told = self.written.recv_timeout(AT_ONCE);
            assert!(told.is_ok(), "the hub does not go on");
        }
    }
}
