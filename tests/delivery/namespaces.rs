//! The same promises on a slow link that the kernel provides. A sender, a router
//! and a receiver have a network namespace each, in which processes of this test
//! run. A token bucket filter limits what the router sends to the receiver.
//!
//! The filter is not on the sender's host because TCP keeps the queues of its own
//! host short. The congestion control is Reno, which fills the router's queue.
//!
//! Each wait for a line of a process has a time limit. The tests as a whole have
//! none: such a limit would leave their threads running, and thus the namespaces in
//! place.

#[path = "namespaces/roles.rs"]
mod roles;

use crate::support::{
    call_path::{Slow, Way, ways},
    namespaces::{Namespaces, cannot},
    process::Other,
};
use roles::{ANY, MESSAGES};
use std::{iter, thread};

// -- the network --

const SENDER: &str = "sender";
const ROUTER: &str = "router";
const RECEIVER: &str = "receiver";

/// Bits per second.
const RATES: [u32; 2] = [256_000, 128_000];

/// Bytes that the router queues for the receiver: 2 or 4 seconds.
const QUEUE: u32 = 64 * 1024;

/// Returns the address of a place, and the router's address in its network.
fn addrs(place: &str) -> [&'static str; 2] {
    match place {
        SENDER => ["10.78.1.2", "10.78.1.1"],
        _ => ["10.78.2.2", "10.78.2.1"],
    }
}

fn network(rate: u32) -> Result<Namespaces, String> {
    let network = Namespaces::new(&[SENDER, ROUTER, RECEIVER])?;
    for place in [SENDER, RECEIVER] {
        let [addr, router] = addrs(place);
        network.link([(place, "to-router", addr), (ROUTER, place, router)])?;
        network.ip(place, &format!("route add default via {router}"))?;
    }
    for place in [SENDER, ROUTER, RECEIVER] {
        network.set(place, "ipv4/tcp_congestion_control", "reno")?;
    }
    network.set(ROUTER, "ipv4/ip_forward", "1")?;
    let filter = format!("root tbf rate {rate}bit burst 2kb limit {QUEUE}");
    network.tc(ROUTER, &format!("qdisc add dev {RECEIVER} {filter}"))?;
    Ok(network)
}

/// Runs a scenario at each rate on each way, all at the same time, each in a
/// network of its own.
fn on_each(rates: &[u32], slow: [Slow; 2], scenario: impl Fn(&Namespaces, Way) + Sync) {
    if let Err(reason) = network(rates[0]) {
        return cannot(&format!("SKIPPED, as no slow link can be set up: {reason}"));
    }
    let ways = ways().into_iter().filter(|way| slow.contains(&way.slow));
    thread::scope(|scope| {
        for (way, &rate) in ways.flat_map(|way| rates.iter().map(move |rate| (way, rate))) {
            let scenario = &scenario;
            let run = move || {
                scenario(
                    &network(rate).expect("the first network could be set up"),
                    way,
                )
            };
            let thread = thread::Builder::new().name(format!("{way:?} at {rate} bit/s"));
            thread.spawn_scoped(scope, run).expect("a thread");
        }
    });
}

// -- the processes --

struct Processes {
    caller: Other,
    owner: Other,
    hub: Option<Other>,
}

/// Starts processes in these roles: the owner at `owner_at`, the caller at the
/// other end, and the hub, if the way has one, at the router.
fn start(
    network: &Namespaces,
    way: Way,
    owner_at: &'static str,
    [owner, caller, hub]: [&str; 3],
) -> Processes {
    let start = |place, addr: &str, role| {
        let role = format!("{addr} {} {role}", way.tls);
        let test = "namespaces::roles::other_process";
        let process = Other::start_in(network.command(place), test, &role);
        let process = process.expect("a process");
        let port = process.told();
        (process, port)
    };
    let caller_at = if owner_at == SENDER { RECEIVER } else { SENDER };
    if way.slow == Slow::Direct {
        let (owner, port) = start(owner_at, ANY, owner);
        let addr = format!("{}:{port}", addrs(owner_at)[0]);
        let (caller, _) = start(caller_at, &addr, caller);
        let hub = None;
        return Processes { caller, owner, hub };
    }
    let (hub, port) = start(ROUTER, ANY, hub);
    let addr = |place| format!("{}:{port}", addrs(place)[1]);
    let (owner, _) = start(owner_at, &addr(owner_at), owner);
    let (caller, _) = start(caller_at, &addr(caller_at), caller);
    let hub = Some(hub);
    Processes { caller, owner, hub }
}

/// Returns the lines that a process sends until it ends.
fn all_lines(process: &Other) -> Vec<String> {
    iter::from_fn(|| process.may_tell()).collect()
}

// -- the scenarios --

/// Sends messages and closes the sender. Returns whether the close was `Ok`, and
/// the lines of the receiver.
fn send_and_close(network: &Namespaces, way: Way, sender: &str) -> (bool, Vec<String>) {
    let roles = ["receiver", sender, "hub"];
    let Processes { caller, owner, hub } = start(network, way, RECEIVER, roles);
    let sender = all_lines(&caller);
    let closed = sender.iter().any(|line| line == "closed: Ok(())");
    let cut = sender.iter().any(|line| line.starts_with("closed: Err"));
    assert!(closed != cut, "{way:?}: {sender:?}");
    let mut lines = Vec::new();
    // The hub stays until everything has arrived.
    while closed && count(&lines, "complete") < MESSAGES {
        match owner.may_tell() {
            Some(line) => lines.push(line),
            None => break,
        }
    }
    drop(hub);
    lines.extend(all_lines(&owner));
    (closed, lines)
}

fn count(lines: &[String], beginning: &str) -> usize {
    let those = lines.iter().filter(|line| line.starts_with(beginning));
    those.count()
}

const TO_OWNER: [Slow; 2] = [Slow::Direct, Slow::ToOwner];

#[test]
fn a_close_with_too_little_time_fails_or_has_delivered_everything() {
    on_each(&RATES, TO_OWNER, |network, way| {
        let (closed, lines) = send_and_close(network, way, "hasty sender");
        let complete = count(&lines, "complete");
        assert!(
            !closed || complete == MESSAGES,
            "{way:?}: Ok, but {lines:?}"
        );
        assert_eq!(count(&lines, "WRONG"), 0, "{way:?}: {lines:?}");
    });
}

#[test]
fn a_close_with_enough_time_delivers_everything() {
    on_each(&RATES, TO_OWNER, |network, way| {
        let (closed, lines) = send_and_close(network, way, "sender");
        let complete = count(&lines, "complete");
        assert!(
            closed && complete == MESSAGES,
            "{way:?}: {closed}, {lines:?}"
        );
    });
}

#[test]
fn a_message_beside_downloads_is_complete_or_an_error() {
    let to_caller = [Slow::Direct, Slow::ToCaller];
    on_each(&RATES[..1], to_caller, |network, way| {
        let roles = ["filler", "fetcher", "hasty hub"];
        let processes = start(network, way, SENDER, roles);
        assert_eq!(processes.caller.told(), "opened");
        // The rest need not be slow.
        let unfiltered = format!("qdisc del dev {RECEIVER} root");
        network.tc(ROUTER, &unfiltered).expect("it has a filter");
        let lines = all_lines(&processes.caller);
        let ends = count(&lines, "complete") + count(&lines, "failed");
        assert_eq!(ends, MESSAGES, "{way:?}: {lines:?}");
    });
}

#[test]
fn a_link_that_goes_down_is_an_error_at_both_ends() {
    on_each(&RATES[..1], TO_OWNER, |network, way| {
        let roles = ["watchful receiver", "uploader", "watchful hub"];
        let Processes { caller, owner, hub } = start(network, way, RECEIVER, roles);
        assert_eq!(owner.told(), "started");
        let down = network.ip(RECEIVER, "link set to-router down");
        down.expect("the link is there");
        let owner = all_lines(&owner);
        let hub = hub.map(|hub| all_lines(&hub));
        let caller = all_lines(&caller);
        let near = hub.unwrap_or_else(|| caller.clone());
        assert_eq!(count(&caller, "upload: Err"), 1, "{way:?}: {caller:?}");
        assert_eq!(count(&owner, "failed"), 1, "{way:?}: {owner:?}");
        for end in [near, owner] {
            assert_eq!(count(&end, "reported session"), 1, "{way:?}: {end:?}");
            let by_the_peer = end.iter().any(|line| line.contains("by the peer"));
            assert!(!by_the_peer, "{way:?}: {end:?}");
        }
    });
}
