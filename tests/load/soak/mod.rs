//! A soak: 50 clients call each other through a hub, with bodies from nothing to
//! 64 MiB, slow readers, refused opens and resets, while the connections of every
//! other client break again and again. What is delivered is what was sent, only
//! what a broken connection explains fails, and the hub's memory, threads and
//! descriptors are at the end what they were after the first twelfth.

mod calls;
mod clients;
mod cutter;
mod gate;
mod hub;
mod transfer;

use crate::{
    counts::Counts,
    figures, set_or,
    support::{
        process::{self, Other},
        within,
    },
};
use crossbeam_channel::never;
use std::{
    io,
    time::{Duration, Instant},
};
use wirenet::Builder;

const CLIENTS: usize = 50;

/// Processes that they are in.
const PROCESSES: usize = 5;

const TOKEN: &str = "token";

/// How long anything may take that is not meant to take long, on a machine
/// that has other things to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often it is told how things go, in a long soak.
const REPORT: Duration = Duration::from_secs(60);

/// What hub and clients have to know.
#[derive(Clone, Copy)]
struct Settings {
    load: Duration,
    /// Milliseconds that a caller rests between two calls, on average.
    pace: usize,
}

impl Settings {
    fn from_env() -> Self {
        Self {
            load: Duration::from_secs(set_or("WIRENET_SOAK_SECONDS", 10)),
            pace: set_or("WIRENET_SOAK_PACE", 0),
        }
    }

    /// How long a connection is silent, at most. In a long soak that is longer
    /// than it takes to be noticed.
    fn silence(&self) -> Duration {
        (self.load / 10).min(Duration::from_secs(90))
    }

    /// Timeouts are no part of this: on a busy machine they must not pass where
    /// nothing has broken.
    fn timeouts(&self, wire: Builder) -> Builder {
        wire.handshake_timeout(Duration::from_secs(60))
            .read_write_timeouts(None, Duration::from_secs(60))
            .keep_alive_interval(Duration::from_secs(5))
    }
}

/// The other processes of this test.
#[test]
fn other_process() -> io::Result<()> {
    let Some(role) = process::role() else {
        return Ok(());
    };
    std::panic::set_hook(Box::new(|panic| {
        // Nothing is to panic, on whichever thread.
        eprintln!("{panic}");
        std::process::abort();
    }));
    let settings = Settings::from_env();
    let words: Vec<_> = role.split(' ').collect();
    match words[..] {
        [addr, first] => {
            let first: usize = first.parse().expect("a number");
            let numbers = first..first + CLIENTS / PROCESSES;
            let hub = addr.parse().expect("an address");
            clients::run(hub, numbers, settings)
        }
        _ => hub::run(settings),
    }
}

#[test]
fn a_hub_under_load_loses_nothing_and_keeps_nothing() {
    let settings = Settings::from_env();
    // The waits of both pauses and of the end.
    within(settings.load + 10 * PATIENCE, move || {
        Soak::start(settings).run();
    });
}

struct Soak {
    settings: Settings,
    hub: Other,
    clients: Vec<Other>,
    /// The hub's figures before anybody came.
    alone: Counts,
    began: Instant,
    /// What is not as it should be.
    wrong: Vec<String>,
}

impl Soak {
    fn start(settings: Settings) -> Self {
        let mut hub = crate::start("soak::other_process", "hub");
        let addr = hub.told();
        let alone = ask(&mut hub, "rest 0");
        let first = (0..CLIENTS).step_by(CLIENTS / PROCESSES);
        let start = |first| Other::start("soak::other_process", &format!("{addr} {first}"));
        let clients: Vec<_> = first.map(|first| start(first).unwrap()).collect();
        for client in &clients {
            assert_eq!(hear(client), "ready");
        }
        Self {
            settings,
            hub,
            clients,
            alone: Counts::parse(&alone),
            began: Instant::now(),
            wrong: Vec::new(),
        }
    }

    fn run(mut self) {
        let first = self.settings.load / 12;
        let warm = self.load(first);
        let base = self.rest();
        println!("after {first:?}: {base}");
        let busy = self.load(self.settings.load - first);
        let end = self.rest();
        println!("at the end: {end}");
        let counts = self.counts();
        println!("{counts}");
        println!("resident under load, kB: {warm}, then {busy}");
        self.compare(&base, &end, &counts);

        for index in 0..self.clients.len() {
            let wrong = ask(&mut self.clients[index], "wrong");
            let wrong: Vec<String> = serde_json::from_str(&wrong).expect("a list");
            self.wrong.extend(wrong);
            let closed = ask(&mut self.clients[index], "close");
            self.expect(closed == "closed", || closed.clone());
        }
        let rest = Counts::parse(&ask(&mut self.hub, "rest 0"));
        println!("when all have left: {rest}, and before: {}", self.alone);
        for name in ["threads", "descriptors"] {
            let (left, alone) = (rest[name], self.alone[name]);
            self.expect(left <= alone, || {
                format!("{left} {name} are left, of {alone}")
            });
        }
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
    }

    /// Lets all callers call for so long; the hub's memory meanwhile.
    fn load(&mut self, time: Duration) -> String {
        let until = Instant::now() + time;
        self.say("go");
        let mut resident = Vec::new();
        let mut told = Instant::now();
        loop {
            let now = Instant::now();
            if now >= until {
                break;
            }
            // Nobody sends: this is how often it is looked at.
            let _ = never::<()>().recv_timeout((until - now).min(Duration::from_secs(1)));
            resident.push(figures::of(self.hub.id())["resident"]);
            if told.elapsed() >= REPORT {
                told = Instant::now();
                let counts = self.counts();
                let hub = figures::of(self.hub.id());
                eprintln!("{:.0?}: hub {hub}; {counts}", self.began.elapsed());
            }
        }
        resident.sort_unstable();
        match resident[..] {
            [] => String::new(),
            [least, ..] => format!(
                "{least} to {}, {} mostly",
                resident[resident.len() - 1],
                resident[resident.len() / 2]
            ),
        }
    }

    /// Has all calls end, and gives the hub's figures then.
    fn rest(&mut self) -> Counts {
        self.say("pause");
        for client in &self.clients {
            assert_eq!(hear(client), "paused");
        }
        Counts::parse(&ask(&mut self.hub, &format!("rest {CLIENTS}")))
    }

    fn counts(&mut self) -> Counts {
        let mut all = Counts::default();
        for client in &mut self.clients {
            all += Counts::parse(&ask(client, "count"));
        }
        all
    }

    fn compare(&mut self, base: &Counts, end: &Counts, counts: &Counts) {
        for name in ["heap", "resident"] {
            let good = figures::is_as_before(name, base, end);
            self.expect(good, || {
                let (was, is) = (base[name], end[name]);
                format!("{name}: {is} kB at the end, and {was} kB after the first twelfth")
            });
        }
        for name in ["threads", "descriptors", "sessions"] {
            let (was, is) = (base[name], end[name]);
            self.expect(is == was, || {
                format!("{is} {name} at the end, and {was} before")
            });
        }
        for name in ["wrong", "unexplained"] {
            let count = counts[name];
            self.expect(count == 0, || format!("{count} {name}"));
        }
        // There was something to it.
        let done = ["Push", "Pull", "Echo", "Hasty", "Unknown", "Closed"];
        for name in done.map(|deed| format!("done:{deed}")) {
            self.expect(counts[&name] > 0, || format!("no {name}"));
        }
        for name in ["largest", "slow", "cut:fin", "cut:reset", "cut:silence"] {
            self.expect(counts[name] > 0, || format!("no {name}"));
        }
    }

    fn expect(&mut self, good: bool, otherwise: impl FnOnce() -> String) {
        if !good {
            self.wrong.push(otherwise());
        }
    }

    fn say(&mut self, command: &str) {
        for client in &mut self.clients {
            client.say(command).expect("it runs");
        }
    }
}

fn ask(other: &mut Other, command: &str) -> String {
    other.say(command).expect("it runs");
    hear(other)
}

fn hear(other: &Other) -> String {
    // Its own waits are shorter, and say what is waited for.
    let told = other.may_tell_within(3 * PATIENCE);
    told.expect("it has not ended")
}
