//! Very many streams on one session, one after another and at once. Afterwards both
//! processes have the same resources as before.

mod processes;

use crate::{
    answer, ask,
    counts::Counts,
    figures,
    support::{
        process::{self, Other},
        within,
    },
    variable_or,
};
use std::{
    io,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(600);

/// The entry point of these tests' other processes.
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
fn streams_opened_and_closed_on_one_session_leave_no_resources_behind() {
    let count = variable_or("WIRENET_STREAMS", 10_000);
    within(3 * PATIENCE, move || {
        assert_leaves_nothing(&format!("use {}", count / 10), &format!("use {count}"));
    });
}

#[test]
fn streams_open_at_once_on_one_session_leave_no_resources_behind() {
    let count: usize = variable_or("WIRENET_STREAMS_AT_ONCE", 500);
    within(3 * PATIENCE, move || {
        assert_leaves_nothing(&format!("hold {count}"), &format!("hold {count}"));
    });
}

/// The peer pings more often than a reader's idle timeout, so that this reader never
/// finds its connection idle.
#[test]
fn large_buffers_are_freed_even_if_the_peer_pings_first() {
    within(3 * PATIENCE, || {
        // The warm-up must not use large buffers.
        assert_leaves_nothing("hold 64", "bulk 32");
    });
}

/// Checks that both processes have the same resources after `work` as before.
/// `warm_up` runs first, to allocate everything that is allocated once and kept.
fn assert_leaves_nothing(warm_up: &str, work: &str) {
    let server = crate::start("streams::other_process", "server");
    let addr = answer(&server, PATIENCE);
    let client = crate::start("streams::other_process", &format!("client {addr}"));
    assert_eq!(answer(&client, PATIENCE), "connected");
    let mut ends = [server, client];
    look(&mut ends, "look", work, "at first");
    println!("{warm_up}: {}", ask(&mut ends[1], warm_up, PATIENCE));
    let before = look(&mut ends, "rest", work, "before");
    let start = Instant::now();
    let done = ask(&mut ends[1], work, PATIENCE);
    println!("{work}: {:.1?}, {done}", start.elapsed());
    let after = look(&mut ends, "rest", work, "after");
    for (before, after) in before.iter().zip(&after) {
        for name in ["heap", "resident"] {
            let good = figures::is_as_before(name, before, after);
            assert!(good, "{name}: {} kB, before {}", after[name], before[name]);
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
    let figures = ends
        .each_ref()
        .map(|end| Counts::parse(&answer(end, PATIENCE)));
    println!("{work}: {when}: server {}", figures[0]);
    println!("{work}: {when}: client {}", figures[1]);
    figures
}
