//! A hub under load: 200 clients, each of which repeatedly calls 20 random others,
//! while every tenth client keeps losing its connection and reconnects. A call may fail
//! only if a cut connection explains it, and in the end each name has the right owner.
//!
//! The test runs for 4 seconds, or for WIRENET_STORM_SECONDS.

mod support;

use std::{
    collections::BTreeSet,
    env, io, iter,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use support::{PATIENCE, pattern::Pattern, random::Random, wires::message, within};
use wirenet::{Session, Wire};

const CLIENTS: usize = 200;

/// The number of clients that lose their connections.
const FLAKY: usize = CLIENTS / 10;

/// The number of other clients that a client calls.
const CALLED: usize = 20;

/// The number of threads that cut connections.
const CUTTERS: usize = 2;

struct Client {
    number: usize,
    wire: Wire,
    /// Odd from before its connection is cut until it has reconnected.
    cuts: AtomicU64,
}

impl Client {
    fn join(number: usize, hub: &str) -> Self {
        let name = name_of(number);
        let answer = name.clone();
        let wire = Wire::join(hub)
            .identification(name.clone(), "token")
            .retry_wait(Duration::from_millis(1), Duration::from_millis(100))
            .stream(name, move |stream| {
                // Its name, and the message.
                let received = message(stream)?;
                stream.write_message([answer.as_bytes(), &received].concat())
            })
            .build()
            .unwrap();
        wire.start().unwrap();
        Self {
            number,
            wire,
            cuts: AtomicU64::new(0),
        }
    }

    fn session(&self) -> Session {
        self.wire.wait_session(PATIENCE).expect("it reconnects")
    }

    fn call(&self, other: usize, bytes: &[u8]) -> io::Result<()> {
        let session = self.session();
        let stream = session.open_stream(name_of(other))?;
        stream.set_read_timeout(Some(PATIENCE / 2))?;
        stream.write_message(bytes)?;
        let answer = message(&stream)?;
        assert!(answer == [name_of(other).as_bytes(), bytes].concat());
        Ok(())
    }

    /// Cuts its connection at one of its ends, and waits until it has reconnected.
    fn cut(&self, hub: &Wire, at_hub: bool) {
        let old = self.session();
        self.cuts.fetch_add(1, Ordering::SeqCst);
        let there = hub.session(old.id()).filter(|_| at_hub);
        there.as_ref().unwrap_or(&old).abort();
        let new = loop {
            // The old session is open until its end has arrived.
            let session = self.session();
            if session.id() != old.id() {
                break session;
            }
            thread::yield_now();
        };
        drop(new);
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

fn name_of(number: usize) -> String {
    format!("client-{number:03}")
}

#[derive(Debug, Default)]
struct Tally {
    good: AtomicU64,
    /// Failed because of a cut connection.
    explained: AtomicU64,
    cuts: AtomicU64,
    slowest_micros: AtomicU64,
}

/// Calls other clients until the storm is over. Returns failures without a reason.
fn call_others(me: &Client, all: &[Client], over: &AtomicBool, tally: &Tally) -> Vec<String> {
    let mut random = Random(me.number as u64);
    let others: Vec<_> = iter::repeat_with(|| random.below(CLIENTS))
        .filter(|other| *other != me.number)
        .take(CALLED)
        .collect();
    let pattern = Pattern::new(me.number as u64);
    let mut unexplained = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let other = &all[others[random.below(CALLED)]];
        let size = match random.below(16) {
            0 => 60_000,
            _ => random.below(2_000),
        };
        let cuts = || [me, other].map(|client| client.cuts.load(Ordering::SeqCst));
        let before = cuts();
        let began = Instant::now();
        let outcome = me.call(other.number, pattern.at(0, size));
        let explained = before != cuts() || before.iter().any(|cuts| cuts % 2 == 1);
        match outcome {
            Ok(()) => {
                tally.good.fetch_add(1, Ordering::Relaxed);
                let micros = began.elapsed().as_micros() as u64;
                tally.slowest_micros.fetch_max(micros, Ordering::Relaxed);
            }
            Err(_) if explained => {
                tally.explained.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => unexplained.push(format!("{} -> {}: {error}", me.number, other.number)),
        }
    }
    unexplained
}

fn cut_some(number: usize, all: &[Client], hub: &Wire, over: &AtomicBool, tally: &Tally) {
    let mut random = Random(1_000 + number as u64);
    let mine: Vec<_> = all[..FLAKY].iter().skip(number).step_by(CUTTERS).collect();
    while !over.load(Ordering::Relaxed) {
        mine[random.below(mine.len())].cut(hub, random.below(2) == 0);
        tally.cuts.fetch_add(1, Ordering::Relaxed);
    }
}

fn seconds() -> u64 {
    let set = env::var("WIRENET_STORM_SECONDS").ok();
    set.map_or(4, |text| text.parse().expect("a number of seconds"))
}

#[test]
fn calls_fail_only_if_a_cut_connection_explains_it() {
    let storm = Duration::from_secs(seconds());
    within(storm + 2 * PATIENCE, move || {
        let hub = Wire::hub("127.0.0.1:0")
            .token_validator(|_, _, token| (token == b"token").then_some(()).ok_or("no".into()))
            .build()
            .unwrap();
        hub.start().unwrap();
        let addr = hub.local_addr().unwrap().to_string();
        let began = Instant::now();
        let clients: Vec<_> = (0..CLIENTS).map(|n| Client::join(n, &addr)).collect();
        println!("{CLIENTS} clients in {:?}", began.elapsed());

        let (over, tally) = (AtomicBool::new(false), Tally::default());
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let unexplained: Vec<String> = thread::scope(|scope| {
            let (over, tally, all, hub) = (&over, &tally, &clients[..], &hub);
            for number in 0..CUTTERS {
                scope.spawn(move || cut_some(number, all, hub, over, tally));
            }
            let callers: Vec<_> = all
                .iter()
                .map(|me| scope.spawn(move || call_others(me, all, over, tally)))
                .collect();
            // Waits for the length of the storm.
            let _ = stopped.recv_timeout(storm);
            over.store(true, Ordering::Relaxed);
            let callers = callers.into_iter();
            callers.flat_map(|caller| caller.join().unwrap()).collect()
        });
        drop(stop);
        println!("{tally:?} in {storm:?}");
        assert!(unexplained.is_empty(), "{unexplained:#?}");
        assert!(tally.good.load(Ordering::Relaxed) > 0);

        every_name_has_its_owner(&hub, &clients);
        let began = Instant::now();
        thread::scope(|scope| {
            for client in &clients {
                scope.spawn(|| client.wire.close().unwrap());
            }
        });
        hub.close().unwrap();
        println!("closed in {:?}", began.elapsed());
    });
}

fn every_name_has_its_owner(hub: &Wire, clients: &[Client]) {
    // A session that was replaced may not have ended yet.
    let deadline = Instant::now() + PATIENCE;
    while hub.sessions().len() != CLIENTS {
        assert!(Instant::now() < deadline, "{}", hub.sessions().len());
        thread::yield_now();
    }
    let open = hub.sessions();
    let ids: BTreeSet<_> = open
        .iter()
        .map(|session| session.identification())
        .collect();
    assert_eq!(ids.len(), CLIENTS);
    for session in &open {
        assert_eq!(session.stream_names().len(), 1);
        assert_eq!(
            session.stream_names()[0].as_bytes(),
            session.identification()
        );
    }
    let all: BTreeSet<_> = open.iter().map(Session::id).collect();
    let theirs = clients.iter().map(|client| client.session().id());
    assert_eq!(all, theirs.collect());
    for other in 0..CLIENTS {
        clients[(other + 1) % CLIENTS]
            .call(other, b"still there?")
            .unwrap();
    }
}
