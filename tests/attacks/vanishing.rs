//! A hub's caller or owner vanishes, in each state of a relay. Its peer sees an
//! error, and nothing is left over.

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

/// The first byte of a refusal.
const REFUSED: u8 = ERROR as u8;

/// A silent peer is pinged after 100 ms, and disconnected after 500 more.
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
    /// Nothing more is sent.
    Silence,
}

/// What has happened on the stream before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Answered,
    /// It has sent a part of a message.
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

/// A peer with its end of the relayed stream.
struct End {
    member: Peer,
    stream: u32,
}

impl End {
    fn send(&mut self, frame: fn(u32) -> Frame) {
        self.member.send([frame(self.stream)]);
    }

    fn expect(&mut self, wanted: impl Fn(&Frame) -> bool) {
        let stream = self.stream;
        self.member
            .wait(|frame| frame.stream == stream && wanted(frame));
    }

    /// Waits for an error: a graceful end would make a part of a message look like
    /// a complete one. A peer whose opening was not answered may get a refusal
    /// instead.
    fn expect_loss(&mut self, state: State) {
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

/// A chunk of an unfinished message.
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
        caller.expect(|frame| frame.body.first() == Some(&8));
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
        to.expect(|frame| match flags {
            0 => frame.body.ends_with(&[7; 8]),
            _ => frame.has(flags),
        });
    }
    (caller, owner)
}

/// Whether the remaining peer already knows that nothing more will come.
fn knows_the_end(state: State, gone: Who) -> bool {
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
        // The hub waits for the answer, and notices when it passes that on.
        left.member.accept_as(left.stream, &name);
    }
    if !knows_the_end(state, who) {
        left.expect_loss(state);
    }
    left.send(fin);
    left.member.settle();
}

#[test]
fn a_peer_that_vanishes_in_any_state_of_a_relay_is_an_error_to_the_other() {
    let attack = Attack {
        name: "a caller or an owner vanishes in one of 9 states, with FIN, RST or silence",
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
    "the other one gets an error and goes on; nothing is left behind".into()
}

/// Waits until the server has as many sessions, descriptors and threads as before
/// and no handler runs, though handler threads may be idle. This polls, as
/// nothing outside of a process reports the end of a thread.
fn assert_nothing_is_left(server: &Server, before: &Usage) {
    let held = |usage: &Usage| {
        (
            usage.sessions,
            usage.descriptors,
            usage.threads - usage.handlers,
        )
    };
    // Sooner than the test times out, so that the failure lists what is left.
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
