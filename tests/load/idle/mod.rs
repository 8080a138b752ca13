//! Many sessions in which nothing happens, on one server process: what they
//! take, how long it takes to connect and to close them all, and what an honest
//! client's round trips are meanwhile.

mod beyond;
mod processes;

use crate::{
    counts::Counts,
    figures,
    probe::Probe,
    set_or,
    support::{
        process::{self, Other},
        within,
    },
};
use crossbeam_channel::never;
use parking_lot::Mutex;
use processes::{Transport, client, clients, server};
use std::{
    io,
    time::{Duration, Instant},
};

/// Sessions of a client process.
const EACH: usize = 2_500;

/// One test at a time: with both ends on one machine, each session takes two of
/// the 32,768 threads that Linux lets all processes together have by default.
static ALONE: Mutex<()> = Mutex::new(());

/// Long enough for ten thousand TLS handshakes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn sessions() -> usize {
    set_or("WIRENET_IDLE_SESSIONS", 200)
}

/// A short one where few sessions are idle for a short while.
fn keep_alive() -> Duration {
    Duration::from_secs(if sessions() < 1_000 { 1 } else { 15 })
}

/// The other processes of these tests.
#[test]
fn other_process() -> io::Result<()> {
    let Some(role) = process::role() else {
        return Ok(());
    };
    let words: Vec<_> = role.split(' ').collect();
    match words[..] {
        ["beyond"] => beyond::server(),
        ["strangers", addr, count] => beyond::strangers(addr, count.parse().expect("a number")),
        ["server", transport] => server(&Transport::parse(transport)),
        ["clients", transport, addr, count] => {
            let count = count.parse().expect("a number");
            clients(&Transport::parse(transport), addr, count)
        }
        _ => panic!("no such role: {role}"),
    }
}

#[test]
fn idle_sessions_over_tcp_cost_a_thread_and_little_memory_each() {
    within(6 * PATIENCE, || {
        hold_idle_sessions(&Transport::Tcp, limit(20, 40));
    });
}

#[cfg(feature = "tls")]
#[test]
fn idle_sessions_over_tls_cost_a_thread_and_little_memory_each() {
    within(6 * PATIENCE, || {
        let dir = tempfile::tempdir().unwrap();
        hold_idle_sessions(&Transport::tls(dir.path()), limit(60, 130));
    });
}

/// What a session may take of the server's memory, in kB: most of it is stack, of
/// which a build without optimisation uses more.
fn limit(optimised: u64, not: u64) -> u64 {
    if cfg!(debug_assertions) {
        not
    } else {
        optimised
    }
}

/// Twice: what the second round takes beyond the first is not given back.
fn hold_idle_sessions(transport: &Transport, limit: u64) {
    let _alone = ALONE.lock();
    let sessions = sessions();
    println!("{sessions} idle sessions over {}:", transport.name());
    let mut server = start(&format!("server {transport}"));
    let addr = server.told();
    let probe = Probe::start(client(transport, &addr));
    rest(keep_alive());
    println!("  round trips before: {}", probe.look());
    let alone = figures_of(&mut server, 1);

    let mut rounds = Vec::new();
    for round in 1..=2 {
        let mut clients: Vec<_> = (0..sessions)
            .step_by(EACH)
            .map(|first| {
                let count = EACH.min(sessions - first);
                start(&format!("clients {transport} {addr} {count}"))
            })
            .collect();
        let before = kernel();
        probe.look();
        let took = tell_all(&mut clients, "connect");
        println!("  round {round}: connected in {took:.1?}");
        println!("    round trips meanwhile: {}", probe.look());
        let stand = figures_of(&mut server, sessions + 1);
        println!("    the server: {stand}");
        println!("    its memory maps: {}", figures::maps(server.id()));
        println!("    kernel, both sides: {}", grown(&before, &kernel()));
        // Each side looks after each connection in this time.
        let cpu = figures::of(server.id())["cpu"];
        rest(2 * keep_alive());
        println!("    round trips while all stand: {}", probe.look());
        let cpu = figures::of(server.id())["cpu"] - cpu;
        println!("    the server's cpu meanwhile: {cpu} ms");

        let each = (stand["resident"] - alone["resident"]) as f64 / sessions as f64;
        println!("    {each:.1} kB a session");
        assert!(each < limit as f64, "{each:.1} kB a session");
        assert_eq!(stand["threads"] - alone["threads"], sessions as u64);
        assert_eq!(stand["descriptors"] - alone["descriptors"], sessions as u64);

        let began = Instant::now();
        if round == 1 {
            tell_all(&mut clients, "close");
            let gone = figures_of(&mut server, 1);
            println!("  clients closed in {:.1?}: {gone}", began.elapsed());
            println!("    round trips meanwhile: {}", probe.look());
            assert_eq!(gone["threads"], alone["threads"]);
            assert_eq!(gone["descriptors"], alone["descriptors"]);
        }
        rounds.push((stand, clients));
    }
    let (first, second) = (&rounds[0].0, &rounds[1].0);
    for name in ["heap", "resident"] {
        let good = figures::is_as_before(name, first, second);
        assert!(good, "{name}: {first}, and then {second}");
    }

    // Of its own accord the server closes the second round.
    probe.end();
    let took = ask(&mut server, "close");
    println!("  the server closed in {took}");
}

fn start(role: &str) -> Other {
    crate::start("idle::other_process", role)
}

/// Has all do something at once, and gives how long it takes.
fn tell_all(clients: &mut [Other], command: &str) -> Duration {
    let began = Instant::now();
    for client in clients.iter_mut() {
        client.say(command).unwrap();
    }
    for client in clients {
        assert_eq!(hear(client), "done");
    }
    began.elapsed()
}

fn ask(other: &mut Other, command: &str) -> String {
    other.say(command).unwrap();
    hear(other)
}

fn hear(other: &Other) -> String {
    let told = other.may_tell_within(PATIENCE);
    told.expect("it has not ended")
}

/// The server's, when so many sessions stand.
fn figures_of(server: &mut Other, sessions: usize) -> Counts {
    Counts::parse(&ask(server, &format!("await {sessions}")))
}

fn rest(time: Duration) {
    // Nobody sends: this is how long it takes.
    let _ = never::<()>().recv_timeout(time);
}

/// What the kernel keeps for all processes, in kB.
fn kernel() -> Counts {
    let text = std::fs::read_to_string("/proc/meminfo").expect("Linux tells");
    let fields = ["KernelStack", "PageTables", "Slab"];
    let mut counts = Counts::default();
    for line in text.lines() {
        let (name, rest) = line.split_once(':').unwrap_or_default();
        if fields.contains(&name) {
            let word = rest.split_whitespace().next().unwrap_or_default();
            counts.set(name, word.parse().expect("a number"));
        }
    }
    counts
}

fn grown(before: &Counts, after: &Counts) -> String {
    let fields = ["KernelStack", "PageTables", "Slab"];
    let growth = fields.map(|name| {
        let growth = after[name] as i64 - before[name] as i64;
        format!("{name} {growth:+} kB")
    });
    growth.join(", ")
}
