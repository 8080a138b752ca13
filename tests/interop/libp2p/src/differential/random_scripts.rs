//! Random scripts. They consist mostly of what the protocol allows, in any order, and
//! now and then of what it forbids.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::frames::{ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE};

use super::script::{Act, Behaviour, Length, Role, Script, Step, Target, WINDOW};

/// Generates scripts of up to `steps` steps.
pub fn scripts(steps: usize) -> impl Strategy<Value = Script> {
    let role = prop_oneof![Just(Role::Client), Just(Role::Server)];
    let behaviour = prop_oneof![
        3 => Just(Behaviour::Echo),
        2 => Just(Behaviour::Read),
        1 => Just(Behaviour::Ignore),
    ];
    let max_streams = prop_oneof![9 => Just(Script::MANY), 1 => Just(2)];
    let steps = vec(step(), 1..=steps);
    (role, behaviour, max_streams, steps).prop_map(|(role, behaviour, max_streams, steps)| Script {
        role,
        behaviour,
        max_streams,
        steps,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let held = prop_oneof![3 => Just(false), 1 => Just(true)];
    (act(), held).prop_map(|(act, held)| Step { act, held })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => opening(),
        12 => sending(),
        4 => granting(),
        6 => ending(),
        2 => frames(Just(WINDOW_UPDATE), Just(ACK), own(), small()),
        3 => Just(Act::Open),
        2 => stream().prop_map(Act::Finish),
        2 => stream().prop_map(Act::Reset),
        2 => frames(Just(PING), Just(SYN), Just(Target::Session), any_length()),
        1 => wild(),
    ]
}

fn opening() -> impl Strategy<Value = Act> {
    let flags = prop_oneof![5 => Just(SYN), 1 => Just(SYN | FIN)];
    frames(stream_kind(), flags, peers(), small())
}

fn sending() -> impl Strategy<Value = Act> {
    let flags = prop_oneof![6 => Just(0), 1 => Just(FIN)];
    let length = prop_oneof![
        8 => small(),
        2 => (0..WINDOW / 8).prop_map(Length::Is),
        2 => Just(Length::Credit),
        1 => Just(Length::BeyondCredit),
    ];
    frames(Just(DATA), flags, stream(), length)
}

fn granting() -> impl Strategy<Value = Act> {
    let length = prop_oneof![
        8 => small(),
        2 => Just(Length::Is(WINDOW)),
        1 => Just(Length::Is(u32::MAX - WINDOW)),
        1 => Just(Length::Is(u32::MAX)),
    ];
    frames(Just(WINDOW_UPDATE), Just(0), stream(), length)
}

fn ending() -> impl Strategy<Value = Act> {
    let flags = prop_oneof![3 => Just(FIN), 1 => Just(RST)];
    frames(stream_kind(), flags, stream(), Just(Length::Is(0)))
}

/// Generates any acts, including invalid ones.
fn wild() -> impl Strategy<Value = Act> {
    let kind = prop_oneof![
        4 => stream_kind(),
        1 => Just(PING),
        1 => Just(GO_AWAY),
    ];
    let target = prop_oneof![6 => stream(), 1 => Just(Target::Session)];
    let header = (0..3u8, 0..6u8)
        .prop_filter("an invalid header", |(version, kind)| {
            *version > 0 || *kind > 3
        })
        .prop_map(|(version, kind)| Act::Header { version, kind });
    prop_oneof![
        12 => frames(kind, 0..16u16, target, any_length()),
        1 => header,
        1 => frames(Just(DATA), 0..16u16, stream(), announced()),
    ]
}

fn frames(
    kind: impl Strategy<Value = u8>,
    flags: impl Strategy<Value = u16>,
    target: impl Strategy<Value = Target>,
    length: impl Strategy<Value = Length>,
) -> impl Strategy<Value = Act> {
    (kind, flags, target, length).prop_map(|(kind, flags, target, length)| Act::Frame {
        kind,
        flags,
        target,
        // The body is sent too, so its length is limited.
        length: match length {
            Length::Is(count) if kind == DATA => Length::Is(count % (1 << 20)),
            other => other,
        },
    })
}

fn stream_kind() -> impl Strategy<Value = u8> {
    prop_oneof![Just(DATA), Just(WINDOW_UPDATE)]
}

fn peers() -> impl Strategy<Value = Target> {
    (0..4u32).prop_map(Target::Peers)
}

fn own() -> impl Strategy<Value = Target> {
    (0..2u32).prop_map(Target::Own)
}

fn stream() -> impl Strategy<Value = Target> {
    prop_oneof![3 => peers(), 2 => own()]
}

fn small() -> impl Strategy<Value = Length> {
    prop_oneof![Just(0), Just(1), 2..100u32].prop_map(Length::Is)
}

fn any_length() -> impl Strategy<Value = Length> {
    prop_oneof![3 => small(), 1 => any::<u32>().prop_map(Length::Is)]
}

/// Generates lengths that neither implementation accepts in one frame.
fn announced() -> impl Strategy<Value = Length> {
    let counts = vec![16 << 20, (16 << 20) + 1, 1 << 31, u32::MAX];
    proptest::sample::select(counts).prop_map(Length::Announced)
}
