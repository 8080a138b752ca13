//! A server that runs out of descriptors recovers as soon as some are free.

use crate::{
    attack::{Attack, Stage},
    server::{PLAIN, Server, TCP},
    support::{encoding::field, in_time, peer::Peer},
};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// A handshake takes two descriptors. So with one of these counts, `accept` has
/// none left; with the other it has one, which is not enough for a handshake.
const DESCRIPTORS: [usize; 2] = [48, 49];

const NONE_LEFT: &str = "Too many open files";

#[test]
fn a_server_without_descriptors_waits_for_one_without_spinning() {
    in_time(|| {
        for place in TCP {
            let backed_off = Cell::new(false);
            for count in DESCRIPTORS {
                let server = Server::start_with_descriptors(count, *place, &PLAIN);
                let attack = Attack {
                    name: "100 connections to a process that is limited to 48 descriptors",
                    limit: "RLIMIT_NOFILE (here 48)",
                    setup: &PLAIN,
                    memory: 1 << 20,
                };
                println!(
                    "{}",
                    attack.row(&server, |stage| run_out(stage, &backed_off))
                );
            }
            assert!(backed_off.get(), "accept always had a descriptor");
        }
    });
}

fn run_out(stage: &Stage<'_>, backed_off: &Cell<bool>) -> String {
    let mut held: Vec<_> = (0..100)
        .map(|_| Peer::over_tcp(stage.server.dial()))
        .collect();
    let outcome = backs_off(stage);
    backed_off.set(backed_off.get() || outcome.is_some());
    let outcome = outcome.unwrap_or_else(|| {
        // The connections beyond them are closed, the last one too.
        held.last_mut().unwrap().read_to_close();
        "closed at once and reported".into()
    });
    drop(held);
    // The first tries may come before the server notices the closed ones.
    let joins = || {
        let mut peer = stage.server.peer();
        peer.begin_ask(&field(1, &[5; 16]));
        peer.answer()
    };
    let answer = std::iter::repeat_with(joins).flatten().next();
    assert!(
        answer
            .expect("the iterator is endless")
            .starts_with(&field(1, &[5; 16]))
    );
    format!("{outcome}; it resumes when descriptors are free")
}

/// Asserts that the server accepts nothing and rarely retries. Returns `None` if
/// it accepts a connection.
fn backs_off(stage: &Stage<'_>) -> Option<String> {
    // A connection that is being accepted may hold the last descriptor.
    let is_accept = || stage.server.report(NONE_LEFT).starts_with("accept: ");
    if !is_accept() || !is_accept() {
        return None;
    }
    let before = stage.server.usage();
    let began = Instant::now();
    assert!((0..5).all(|_| is_accept()), "no connection has been closed");
    let took = began.elapsed();
    let tries = stage.server.usage().reports - before.reports;
    assert!(took >= Duration::from_millis(300), "5 tries in {took:?}");
    assert!(took < Duration::from_secs(5), "5 tries in {took:?}");
    let most = took.as_millis() as usize / 100 + 2;
    assert!(tries <= most, "{tries} tries in {took:?}");
    let tries = format!("{tries} times in {took:.0?}");
    Some(format!(
        "accept retries every 100 ms ({tries}) and reports it"
    ))
}
