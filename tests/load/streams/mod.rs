//! Very many streams on one session, one after another and at once: what both
//! processes take is afterwards what it was before.

mod processes;

use crate::{
    counts::Counts,
    figures, set_or,
    support::{
        process::{self, Other},
        within,
    },
};
use std::{
    io,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(600);

/// The other processes of these tests.
#[test]
fn other_process() -> io::Result<()> {
    let Some(role) = process::role() else {
        return Ok(());
    };
    match role.split_once(' ') {
        None => processes::server(),
        Some((_, addr)) => processes::client(addr),
    }
}

#[test]
fn streams_opened_and_closed_on_one_session_leave_nothing_behind() {
    let count = set_or("WIRENET_STREAMS", 10_000);
    within(3 * PATIENCE, move || {
        leaves_nothing(&format!("use {}", count / 10), &format!("use {count}"));
    });
}

#[test]
fn streams_open_at_once_on_one_session_leave_nothing_behind() {
    let count: usize = set_or("WIRENET_STREAMS_AT_ONCE", 500);
    within(3 * PATIENCE, move || {
        leaves_nothing(&format!("hold {count}"), &format!("hold {count}"));
    });
}

/// A reader never finds that nothing came for as long as it would wait, where its
/// peer pings before that.
#[test]
fn large_buffers_are_let_go_of_though_the_peer_pings_first() {
    within(3 * PATIENCE, || {
        // What is made once is made without large buffers.
        leaves_nothing("hold 64", "bulk 32");
    });
}

/// What both processes take is the same after `work` as before it. `warm_up`
/// comes first: so that what is made once, and kept, is there.
fn leaves_nothing(warm_up: &str, work: &str) {
    let server = crate::start("streams::other_process", "server");
    let addr = hear(&server);
    let client = crate::start("streams::other_process", &format!("client {addr}"));
    assert_eq!(hear(&client), "connected");
    let mut ends = [server, client];
    look(&mut ends, "look", work, "at first");
    println!("{warm_up}: {}", ask(&mut ends[1], warm_up));
    let before = look(&mut ends, "rest", work, "before");
    let began = Instant::now();
    let told = ask(&mut ends[1], work);
    println!("{work}: {:.1?}, {told}", began.elapsed());
    let after = look(&mut ends, "rest", work, "after");
    for (before, after) in before.iter().zip(&after) {
        for name in ["heap", "resident"] {
            let good = figures::is_as_before(name, before, after);
            assert!(good, "{name}: {} kB, it was {}", after[name], before[name]);
        }
        for name in ["threads", "descriptors"] {
            assert_eq!(after[name], before[name], "{name}");
        }
    }
}

fn look(ends: &mut [Other; 2], how: &str, work: &str, when: &str) -> [Counts; 2] {
    for end in ends.iter_mut() {
        end.say(how).unwrap();
    }
    let figures = ends.each_ref().map(|end| Counts::parse(&hear(end)));
    println!("{work}: {when}: server {}", figures[0]);
    println!("{work}: {when}: client {}", figures[1]);
    figures
}

fn ask(other: &mut Other, command: &str) -> String {
    other.say(command).unwrap();
    hear(other)
}

fn hear(other: &Other) -> String {
    let told = other.may_tell_within(PATIENCE);
    told.expect("it has not ended")
}
