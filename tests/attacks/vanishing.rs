//! A hub's caller or owner that vanishes, in each state of the relay: the other
//! one hears of it, and nothing is left.

use crate::{
    attack::{Attack, Stage},
    server::{HUBS, Server, Setup, Usage},
    support::{
        PATIENCE,
        encoding::ERROR,
        frames::{FIN, Frame, RST},
        in_time,
        peer::Peer,
    },
};
use socket2::SockRef;
use std::{
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

/// What a refusal begins with.
const REFUSED: u8 = ERROR as u8;

/// A peer that says nothing is asked after 100 ms, and gone after 500 more.
pub const WATCHFUL: Setup = Setup {
    name: "watchful",
    set: |builder| {
        builder
            .keep_alive_interval(Duration::from_millis(100))
            .read_write_timeouts(None, Duration::from_millis(500))
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Caller,
    Owner,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// Its connection is closed.
    Fin,
    /// Its connection is reset.
    Rst,
    /// Nothing comes from it any more.
    Silence,
}

/// What has happened on the stream before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Answered,
    /// It has sent a part of a chunk.
    Midway(Who),
    BothMidway,
    /// It has ended its half.
    Finished(Who),
    /// It has reset the stream.
    Reset(Who),
}

const STATES: [State; 9] = [
    State::Asked,
    State::Answered,
    State::Midway(Who::Caller),
    State::Midway(Who::Owner),
    State::BothMidway,
    State::Finished(Who::Caller),
    State::Finished(Who::Owner),
    State::Reset(Who::Caller),
    State::Reset(Who::Owner),
];

/// A member with its end of the relayed stream.
struct End {
    member: Peer,
    stream: u32,
}

impl End {
    fn send(&mut self, frame: fn(u32) -> Frame) {
        self.member.send([frame(self.stream)]);
    }

    fn hears(&mut self, wanted: impl Fn(&Frame) -> bool) {
        let stream = self.stream;
        self.member
            .wait(|frame| frame.stream == stream && wanted(frame));
    }

    /// Not of an end in order, which would pass a part for the whole. Who is
    /// not answered may be told so instead.
    fn hears_of_a_loss(&mut self, state: State) {
        let stream = self.stream;
        let is_refusal =
            |frame: &Frame| state == State::Asked && frame.body.first() == Some(&REFUSED);
        let last = self.member.wait(|frame| {
            frame.stream == stream && (is_refusal(frame) || frame.has(FIN) || frame.has(RST))
        });
        assert!(is_refusal(&last) || last.has(RST), "{last:?}, {state:?}");
    }

    fn vanish(self, how: How) -> Option<Peer> {
        let socket = self.member.socket();
        match how {
            How::Fin => socket.shutdown(Shutdown::Both).unwrap(),
            How::Rst => {
                let now = Some(Duration::ZERO);
                SockRef::from(socket).set_linger(now).unwrap();
            }
            How::Silence => return Some(self.member),
        }
        None
    }
}

/// A chunk of a message that has no end yet.
fn part_of_a_message(stream: u32) -> Frame {
    let part = [&8_u32.to_le_bytes()[..], &[7; 8]].concat();
    Frame::data(stream, part)
}

fn fin(stream: u32) -> Frame {
    Frame::flags(stream, FIN)
}

fn rst(stream: u32) -> Frame {
    Frame::flags(stream, RST)
}

fn relayed(stage: &Stage<'_>, name: &str, state: State) -> (End, End) {
    let mut owner = stage.server.owner(&[name]);
    let mut caller = stage.server.member();
    let stream = caller.call(name);
    let mut caller = End {
        member: caller,
        stream,
    };
    let stream = owner.next_open().stream;
    if state != State::Asked {
        owner.accept_as(stream, name);
        caller.hears(|frame| frame.body.first() == Some(&8));
    }
    let mut owner = End {
        member: owner,
        stream,
    };
    let (tells, frame): (Vec<Who>, fn(u32) -> Frame) = match state {
        State::Asked | State::Answered => (vec![], fin),
        State::Midway(who) => (vec![who], part_of_a_message),
        State::BothMidway => (vec![Who::Caller, Who::Owner], part_of_a_message),
        State::Finished(who) => (vec![who], fin),
        State::Reset(who) => (vec![who], rst),
    };
    for who in tells {
        let (from, to) = match who {
            Who::Caller => (&mut caller, &mut owner),
            Who::Owner => (&mut owner, &mut caller),
        };
        from.send(frame);
        let flags = frame(0).flags;
        to.hears(|frame| match flags {
            0 => frame.body.ends_with(&[7; 8]),
            _ => frame.has(flags),
        });
    }
    (caller, owner)
}

/// Whether the one that is left was told before that nothing more will come.
fn has_heard(state: State, gone: Who) -> bool {
    match state {
        State::Reset(_) => true,
        State::Finished(who) => who == gone,
        _ => false,
    }
}

fn vanishes(stage: &Stage<'_>, (who, how, state): (Who, How, State)) {
    let name = format!("{who:?} {how:?} {state:?}");
    let (caller, owner) = relayed(stage, &name, state);
    let (gone, mut left) = match who {
        Who::Caller => (caller, owner),
        Who::Owner => (owner, caller),
    };
    let _silent = gone.vanish(how);
    if state == State::Asked && who == Who::Caller {
        // The hub waits for the answer, and finds out when it passes that on.
        left.member.accept_as(left.stream, &name);
    }
    if !has_heard(state, who) {
        left.hears_of_a_loss(state);
    }
    left.send(fin);
    left.member.settle();
}

#[test]
fn who_vanishes_in_any_state_of_a_relay_is_an_end_for_the_other() {
    let attack = Attack {
        name: "caller or owner vanishes in one of 9 states, with FIN, RST or silence",
        limit: "keep_alive_interval and write timeout, here 100 and 500 ms",
        setup: &WATCHFUL,
        memory: 8 << 20,
    };
    in_time(move || {
        for place in HUBS {
            let server = Server::start(*place, attack.setup);
            let before = server.usage();
            println!("{}", attack.row(&server, all_vanish));
            assert_nothing_is_left(&server, &before);
        }
    });
}

fn all_vanish(stage: &Stage<'_>) -> String {
    for how in [How::Fin, How::Rst, How::Silence] {
        thread::scope(|scope| {
            for state in STATES {
                for who in [Who::Caller, Who::Owner] {
                    scope.spawn(move || vanishes(stage, (who, how, state)));
                }
            }
        });
    }
    "the other one hears of it, and goes on; nothing is left".into()
}

/// The sessions, descriptors and threads of before, when all have left; and no
/// handler runs, though threads may wait for the next one. Of a thread's end
/// nothing tells outside of the process: so this looks.
fn assert_nothing_is_left(server: &Server, before: &Usage) {
    let held = |usage: &Usage| {
        (
            usage.sessions,
            usage.descriptors,
            usage.threads - usage.handlers,
        )
    };
    // Sooner than the test is given up, so that it says what is left.
    let deadline = Instant::now() + PATIENCE / 4;
    loop {
        let after = server.usage();
        if held(&after) == held(before) {
            break;
        }
        assert!(Instant::now() < deadline, "{after:?}, not {before:?}");
        thread::yield_now();
    }
    assert_eq!(server.close(), "Ok(())");
}
