//! A hub with two scripted clients that call each other. What one sends, the other receives:
//! all of it, or a part and an error.

use super::{
    hub_client::{Call, HubClient, PLENTY},
    stage::{REFUSED, assert_at_rest, wire},
};
use crate::{
    fuzz::Script,
    time::deadline,
    wire::{
        run::inbound::find_owner,
        session::frame::FrameKind,
        state::{registry::Registry, wire_state::WireState},
    },
    yamux::fuzz::AT_ONCE,
};
use crossbeam_channel::{Receiver, bounded};
use std::sync::{Arc, LazyLock};

static HUB: LazyLock<Arc<WireState>> = LazyLock::new(|| wire(Registry::of_hub, find_owner));

/// The names of the clients, of the hub's handlers, and one that does not exist.
const NAMES: [&str; 8] = ["a", "b", "a", "b", "echo", "source", "fail", "nobody"];

/// Lengths of the messages that clients send.
const LENGTHS: [usize; 8] = [0, 1, 20, 1024, 1025, 9000, 65_536, 300_000];

/// Two clients of a hub call each other, and then do anything. Neither harms the other
/// apart from the calls between them, and no state of either is left.
pub fn hub(data: &[u8]) {
    let mut script = Script::new(data);
    let (flags, more) = (script.byte(), script.byte());
    let (on_write, written) = bounded(1);
    // With a small capacity, the hub's other threads take over the writing.
    let capacities = [more & 15, more >> 4].map(|choice| match choice {
        0 => 700,
        1 => 20_000,
        _ => 4 * PLENTY,
    });
    let one_writer = capacities.iter().all(|capacity| *capacity > PLENTY);
    let mut clients = [0u8, 1].map(|number| {
        let mut client = HubClient::join(
            &HUB,
            number,
            capacities[usize::from(number)],
            on_write.clone(),
        );
        client.polite = flags >> number & 1 == 0;
        client.lazy = flags >> (2 + number) & 1 != 0;
        client
    });
    let mut run = HubRun {
        clients: &mut clients,
        batches: flags & 16 != 0,
        one_writer,
        written,
        unsure: false,
    };
    while let Some(op) = script.next() {
        run.step(op, &mut script);
    }
    run.settle();
    if flags & 32 != 0 {
        run.clients.reverse();
    }
    for client in run.clients.iter_mut() {
        client.leave();
    }
    let unsure = run.unsure;
    assert_at_rest(&HUB);
    for client in &mut clients {
        client.peer.read(usize::MAX);
    }
    let [a, b] = &clients;
    if !unsure {
        a.check_calls(b);
        b.check_calls(a);
    }
    for client in clients {
        client.finish(one_writer);
    }
}

struct HubRun<'a> {
    clients: &'a mut [HubClient; 2],
    /// Whether the hub reads only when an operation requests it.
    batches: bool,
    /// Whether the transport never fills up, so that no thread takes over the
    /// writing of another.
    one_writer: bool,
    /// Signalled when the hub has written something.
    written: Receiver<()>,
    /// Whether a client left while it was calling, so that it is unknown which call is
    /// relayed next.
    unsure: bool,
}

impl HubRun<'_> {
    fn step(&mut self, op: u8, script: &mut Script<'_>) {
        let index = usize::from(op >> 7);
        let client = &mut self.clients[index];
        match op % 18 {
            0 | 1 => self.call(index, script),
            2 | 3 => self.answer(index, script),
            4 | 5 => {
                let len = script.pick(&LENGTHS);
                let end = script.byte() & 1 != 0;
                client.send_message(script, len, end);
            }
            6 => client.grant(script),
            7 => client.end(script),
            8 => client.reset(script),
            9 => client.grant(script),
            10 => client.send_raw(script),
            11 => client.ping(script),
            12 => match script.byte() {
                // Rare, because little can happen afterwards.
                0..240 => client.ping(script),
                240..250 => client.go_away(),
                250..253 => client.peer.finish(),
                253.. => client.peer.shutdown(),
            },
            13 => {
                let most = script.pick(&[1, 100, 5000, 1 << 20]);
                client.peer.read(most);
            }
            14 => {
                client.turn();
            }
            15 if !client.polite => client.break_protocol(script),
            16 => match script.byte() {
                0..250 => client.turn_all(),
                250..253 => client.connection().close_when_idle(),
                253.. => client.connection().cut(),
            },
            _ => client.connection().age(),
        }
        for client in self.clients.iter_mut() {
            if !self.batches {
                client.turn_all();
            }
            if !client.lazy {
                client.peer.read(usize::MAX);
            }
        }
        // A running handler may be about to change counts.
        let is_quiet = self.one_writer && HUB.pool.busy() == 0;
        for client in self.clients.iter() {
            client.connection().check(is_quiet);
        }
    }

    /// Makes a call, and waits until it is answered or relayed.
    fn call(&mut self, index: usize, script: &mut Script<'_>) {
        let name = script.pick(&NAMES);
        let how = script.byte();
        let token = if how & 128 == 0 { &b""[..] } else { REFUSED };
        let len = if how & 1 == 0 { 0 } else { 100 };
        let opened = self
            .clients
            .each_ref()
            .map(|client| client.peer.opened.len());
        let Some(id) = self.clients[index].call(name, token, len) else {
            return;
        };
        let is_relayed = |clients: &[HubClient; 2]| {
            let mut calls = clients.iter().zip(opened);
            calls.any(|(client, before)| client.peer.opened.len() > before)
        };
        self.wait(|clients| {
            is_relayed(clients) || clients[index].is_answered(id) || clients[index].is_over()
        });
        self.unsure |= self.clients[index].is_over();
        // Any new stream belongs to this call, because there is one at a time.
        let client = index as u8;
        for (other, before) in self.clients.iter_mut().zip(opened) {
            other.note_calls(before, Call { client, id });
        }
    }

    /// Answers the oldest call that waits, until the caller has received the answer.
    fn answer(&mut self, index: usize, script: &mut Script<'_>) {
        let how = script.byte();
        let Some((id, from)) = self.clients[index].next_call() else {
            return;
        };
        let caller = usize::from(from.client);
        let client = &mut self.clients[index];
        match how % 8 {
            0..4 => {
                let len = if how & 128 == 0 { 0 } else { 50 };
                client.answer(id, from, FrameKind::Accept, len);
                let client = index as u8;
                self.clients[caller].note_accepted(from.id, Call { client, id });
            }
            4 => client.answer(id, from, FrameKind::Error, 0),
            5 => client.answer(id, from, FrameKind::Open, 0),
            6 => client.reset_id(id),
            _ => client.end_id(id),
        }
        if self.unsure {
            return;
        }
        self.wait(|clients| {
            let over = clients[caller].is_over() || clients[index].is_over();
            over || clients[index].garbled || clients[caller].is_answered(from.id)
        });
    }

    /// Waits until everything sent on calls has been relayed, and checks that.
    fn settle(&mut self) {
        let is_open = |client: &HubClient| client.polite && !client.is_over();
        if !self.one_writer || self.unsure || !self.clients.iter().all(is_open) {
            return;
        }
        for client in self.clients.iter_mut() {
            client.reset_others();
        }
        self.turn_and_read();
        let running = HUB.threads.join(deadline(AT_ONCE)).count;
        assert_eq!(running, 0, "a handler does not end");
        // What the hub reads from the second client may be for the first.
        self.turn_and_read();
        self.turn_and_read();
        let [a, b] = &*self.clients;
        if is_open(a) && is_open(b) {
            a.check_relayed(b);
            b.check_relayed(a);
        }
    }

    fn turn_and_read(&mut self) {
        for client in self.clients.iter_mut() {
            client.turn_all();
            client.peer.read(usize::MAX);
        }
    }

    /// Waits until `happened` returns true. Meanwhile reads everything at both ends of both
    /// connections, since no other thread does.
    fn wait(&mut self, happened: impl Fn(&[HubClient; 2]) -> bool) {
        loop {
            self.turn_and_read();
            if happened(self.clients) {
                return;
            }
            let signalled = self.written.recv_timeout(AT_ONCE);
            assert!(signalled.is_ok(), "the hub makes no progress");
        }
    }
}
