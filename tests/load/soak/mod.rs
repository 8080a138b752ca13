//! A soak test: 50 clients call each other through a hub, with bodies from 0 bytes to
//! 64 MiB, slow readers, refused opens and resets, while the connections of every other
//! client break again and again. Every delivered message is the one that was sent, a
//! call fails only if a broken connection explains it, and at the end the hub's memory,
//! threads and descriptors are the same as after the first twelfth of the time.

mod calls;
mod clients;
mod cutter;
mod gate;
mod hub;
mod transfer;

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
use crossbeam_channel::never;
use std::{
    io,
    time::{Duration, Instant},
};
use wirenet::Builder;

const CLIENTS: usize = 50;

/// Client processes.
const PROCESSES: usize = 5;

const TOKEN: &str = "token";

/// The limit of every operation that should be short, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The limit of each answer of a process. The process's own waits are shorter, and report
/// what they have waited for.
const ANSWER: Duration = Duration::from_secs(3 * PATIENCE.as_secs());

/// How often a long test reports its progress.
const REPORT: Duration = Duration::from_secs(60);

/// The settings that the hub and the clients share.
#[derive(Clone, Copy)]
struct Settings {
    load: Duration,
    /// The average pause of a caller between two calls, in milliseconds.
    pace: usize,
}

impl Settings {
    fn from_env() -> Self {
        Self {
            load: Duration::from_secs(variable_or("WIRENET_SOAK_SECONDS", 10)),
            pace: variable_or("WIRENET_SOAK_PACE", 0),
        }
    }

    /// Returns the maximum duration of a silence. In a long test this is longer than it
    /// takes to detect the silence.
    fn silence(&self) -> Duration {
        (self.load / 10).min(Duration::from_secs(90))
    }

    /// Sets long timeouts: they are not what is tested, and must not expire on a busy
    /// machine while the connection is intact.
    fn timeouts(&self, wire: Builder) -> Builder {
        wire.handshake_timeout(Duration::from_secs(60))
            .read_write_timeouts(None, Duration::from_secs(60))
            .keep_alive_interval(Duration::from_secs(5))
    }
}

/// The entry point of this test's other processes.
#[test]
fn other_process() -> io::Result<()> {
    let Some(role) = process::role() else {
        return Ok(());
    };
    std::panic::set_hook(Box::new(|panic| {
        // No thread may panic.
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
fn a_hub_under_load_corrupts_nothing_and_leaks_nothing() {
    let settings = Settings::from_env();
    // Time for the waits of both pauses and of the end.
    within(settings.load + 10 * PATIENCE, move || {
        Soak::start(settings).run();
    });
}

struct Soak {
    settings: Settings,
    hub: Other,
    clients: Vec<Other>,
    /// The hub's figures before the first session.
    alone: Counts,
    start: Instant,
    /// Failed expectations.
    wrong: Vec<String>,
}

impl Soak {
    fn start(settings: Settings) -> Self {
        let mut hub = crate::start("soak::other_process", "hub");
        let addr = hub.told();
        let alone = ask(&mut hub, "rest 0", ANSWER);
        let first = (0..CLIENTS).step_by(CLIENTS / PROCESSES);
        let start = |first| Other::start("soak::other_process", &format!("{addr} {first}"));
        let clients: Vec<_> = first.map(|first| start(first).unwrap()).collect();
        for client in &clients {
            assert_eq!(answer(client, ANSWER), "ready");
        }
        Self {
            settings,
            hub,
            clients,
            alone: Counts::parse(&alone),
            start: Instant::now(),
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
            let wrong = ask(&mut self.clients[index], "wrong", ANSWER);
            let wrong: Vec<String> = serde_json::from_str(&wrong).expect("a list");
            self.wrong.extend(wrong);
            let closed = ask(&mut self.clients[index], "close", ANSWER);
            self.expect(closed == "closed", || closed.clone());
        }
        let rest = Counts::parse(&ask(&mut self.hub, "rest 0", ANSWER));
        println!("after all sessions: {rest}, before: {}", self.alone);
        for name in ["threads", "descriptors"] {
            let (left, alone) = (rest[name], self.alone[name]);
            self.expect(left <= alone, || {
                format!("{left} {name} are left, {alone} at the start")
            });
        }
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
    }

    /// Lets all callers work for this time. Returns the hub's memory meanwhile.
    fn load(&mut self, time: Duration) -> String {
        let until = Instant::now() + time;
        self.say("go");
        let mut resident = Vec::new();
        let mut reported = Instant::now();
        loop {
            let now = Instant::now();
            if now >= until {
                break;
            }
            // Nothing is ever sent: this sleeps between two samples.
            let _ = never::<()>().recv_timeout((until - now).min(Duration::from_secs(1)));
            resident.push(figures::of(self.hub.id())["resident"]);
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                let counts = self.counts();
                let hub = figures::of(self.hub.id());
                eprintln!("{:.0?}: hub {hub}; {counts}", self.start.elapsed());
            }
        }
        resident.sort_unstable();
        match resident[..] {
            [] => String::new(),
            [least, ..] => format!(
                "{least} to {}, median {}",
                resident[resident.len() - 1],
                resident[resident.len() / 2]
            ),
        }
    }

    /// Waits until all calls have ended, and returns the hub's figures.
    fn rest(&mut self) -> Counts {
        self.say("pause");
        for client in &self.clients {
            assert_eq!(answer(client, ANSWER), "paused");
        }
        Counts::parse(&ask(&mut self.hub, &format!("rest {CLIENTS}"), ANSWER))
    }

    fn counts(&mut self) -> Counts {
        let mut all = Counts::default();
        for client in &mut self.clients {
            all += Counts::parse(&ask(client, "count", ANSWER));
        }
        all
    }

    fn compare(&mut self, base: &Counts, end: &Counts, counts: &Counts) {
        for name in ["heap", "resident"] {
            let good = figures::is_as_before(name, base, end);
            self.expect(good, || {
                let (was, is) = (base[name], end[name]);
                format!("{name}: {is} kB at the end, {was} kB after the first twelfth")
            });
        }
        for name in ["threads", "descriptors", "sessions"] {
            let (was, is) = (base[name], end[name]);
            self.expect(is == was, || {
                format!("{is} {name} at the end, {was} after the first twelfth")
            });
        }
        for name in ["wrong", "unexplained"] {
            let count = counts[name];
            self.expect(count == 0, || format!("{count} {name}"));
        }
        // Every kind of event has occurred.
        let done = ["Push", "Pull", "Echo", "Hasty", "Unknown", "Closed"];
        for name in done.map(|action| format!("done:{action}")) {
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
