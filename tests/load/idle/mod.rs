//! Many idle sessions on one server process: their resources, the time to connect and
//! to close them all, and the round trips of another client meanwhile.

mod processes;
mod too_many;

use crate::{
    answer, ask,
    counts::Counts,
    figures,
    probe::Probe,
    support::{
        process::{self, Other},
        within,
    },
    variable_or,
};
use crossbeam_channel::never;
use parking_lot::Mutex;
use processes::{Transport, client, clients, server};
use std::{
    io,
    time::{Duration, Instant},
};

/// Sessions of one client process.
const PER_PROCESS: usize = 2_500;

/// Lets one test run at a time. With both ends on one machine, each session takes two
/// of the 32,768 threads that Linux allows all processes together by default.
static ALONE: Mutex<()> = Mutex::new(());

/// Long enough for ten thousand TLS handshakes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn sessions() -> usize {
    variable_or("WIRENET_IDLE_SESSIONS", 200)
}

/// Returns a short interval if there are few sessions, which are idle only briefly.
fn keep_alive() -> Duration {
    Duration::from_secs(if sessions() < 1_000 { 1 } else { 15 })
}

/// The entry point of these tests' other processes.
#[test]
fn other_process() -> io::Result<()> {
    let Some(role) = process::role() else {
        return Ok(());
    };
    let words: Vec<_> = role.split(' ').collect();
    match words[..] {
        ["unlimited", "server"] => too_many::server(),
        ["scripted", addr, count] => {
            too_many::scripted_clients(addr, count.parse().expect("a number"))
        }
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

/// Returns the limit of the server's memory per session, in kB. Most of it is stack, of
/// which a build without optimisation uses more.
fn limit(optimised: u64, unoptimised: u64) -> u64 {
    if cfg!(debug_assertions) {
        unoptimised
    } else {
        optimised
    }
}

/// Runs two rounds. Memory that the second takes in addition to the first has leaked.
fn hold_idle_sessions(transport: &Transport, limit: u64) {
    let _alone = ALONE.lock();
    let sessions = sessions();
    println!("{sessions} idle sessions over {}:", transport.name());
    let mut server = start(&format!("server {transport}"));
    let addr = server.told();
    let probe = Probe::start(client(transport, &addr));
    rest(keep_alive());
    println!("  round trips before: {}", probe.take());
    let alone = figures_of(&mut server, 1);

    let mut rounds = Vec::new();
    for round in 1..=2 {
        let mut clients: Vec<_> = (0..sessions)
            .step_by(PER_PROCESS)
            .map(|first| {
                let count = PER_PROCESS.min(sessions - first);
                start(&format!("clients {transport} {addr} {count}"))
            })
            .collect();
        let before = kernel();
        probe.take();
        let took = tell_all(&mut clients, "connect");
        println!("  round {round}: connected in {took:.1?}");
        println!("    round trips meanwhile: {}", probe.take());
        let open = figures_of(&mut server, sessions + 1);
        println!("    the server: {open}");
        println!("    its memory maps: {}", figures::maps(server.id()));
        println!("    kernel, both sides: {}", grown(&before, &kernel()));
        // In this time each side pings each connection.
        let cpu = figures::of(server.id())["cpu"];
        rest(2 * keep_alive());
        println!("    round trips while all are open: {}", probe.take());
        let cpu = figures::of(server.id())["cpu"] - cpu;
        println!("    the server's cpu meanwhile: {cpu} ms");

        let each = (open["resident"] - alone["resident"]) as f64 / sessions as f64;
        println!("    {each:.1} kB per session");
        assert!(each < limit as f64, "{each:.1} kB per session");
        assert_eq!(open["threads"] - alone["threads"], sessions as u64);
        assert_eq!(open["descriptors"] - alone["descriptors"], sessions as u64);

        let start = Instant::now();
        if round == 1 {
            tell_all(&mut clients, "close");
            let gone = figures_of(&mut server, 1);
            println!("  clients closed in {:.1?}: {gone}", start.elapsed());
            println!("    round trips meanwhile: {}", probe.take());
            assert_eq!(gone["threads"], alone["threads"]);
            assert_eq!(gone["descriptors"], alone["descriptors"]);
        }
        rounds.push((open, clients));
    }
    let (first, second) = (&rounds[0].0, &rounds[1].0);
    for name in ["heap", "resident"] {
        let good = figures::is_as_before(name, first, second);
        assert!(good, "{name}: {first}, and then {second}");
    }

    // The server closes the sessions of the second round.
    probe.end();
    let took = ask(&mut server, "close", PATIENCE);
    println!("  the server closed in {took}");
}

fn start(role: &str) -> Other {
    crate::start("idle::other_process", role)
}

/// Has all clients run a command at once. Returns the time that this takes.
fn tell_all(clients: &mut [Other], command: &str) -> Duration {
    let start = Instant::now();
    for client in clients.iter_mut() {
        client.say(command).unwrap();
    }
    for client in clients {
        assert_eq!(answer(client, PATIENCE), "done");
    }
    start.elapsed()
}

/// Waits until the server has this many sessions, and returns its figures.
fn figures_of(server: &mut Other, sessions: usize) -> Counts {
    Counts::parse(&ask(server, &format!("await {sessions}"), PATIENCE))
}

fn rest(time: Duration) {
    // Nothing is ever sent: this sleeps.
    let _ = never::<()>().recv_timeout(time);
}

/// Returns the kernel's memory for all processes, in kB.
fn kernel() -> Counts {
    let text = std::fs::read_to_string("/proc/meminfo").expect("this is Linux");
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
