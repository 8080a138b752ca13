//! The same promises on a slow link that the kernel makes. A sender, a router and
//! a receiver have a network namespace each, in which processes of this test run.
//! A token bucket filter limits what the router sends to the receiver.
//!
//! The filter is not on the sender's host because TCP keeps the queues of its own
//! host short. The congestion control is Reno, which fills the router's queue.
//!
//! Each line that a process tells is waited for with a time limit. The tests as a
//! whole have none: it would leave their threads behind, and thus the namespaces.

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

/// The address of a place, and that of the router for it.
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

/// Runs a scenario at each rate on each way, all at the same time, each in its own
/// network.
fn on_each(rates: &[u32], slow: [Slow; 2], scenario: impl Fn(&Namespaces, Way) + Sync) {
    if let Err(reason) = network(rates[0]) {
        return cannot(&format!("SKIPPED, as there is no slow link: {reason}"));
    }
    let ways = ways().into_iter().filter(|way| slow.contains(&way.slow));
    thread::scope(|scope| {
        for (way, &rate) in ways.flat_map(|way| rates.iter().map(move |rate| (way, rate))) {
            let scenario = &scenario;
            let run = move || scenario(&network(rate).expect("one was made before"), way);
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

/// What a process tells until it ends.
fn lines(process: &Other) -> Vec<String> {
    iter::from_fn(|| process.may_tell()).collect()
}

// -- the scenarios --

/// Sends messages and closes the sender. Returns whether the close returned `Ok`,
/// and what the receiver told.
fn send_and_close(network: &Namespaces, way: Way, sender: &str) -> (bool, Vec<String>) {
    let roles = ["receiver", sender, "hub"];
    let Processes { caller, owner, hub } = start(network, way, RECEIVER, roles);
    let sender = lines(&caller);
    let closed = sender.iter().any(|line| line == "closed: Ok(())");
    let cut = sender.iter().any(|line| line.starts_with("closed: Err"));
    assert!(closed != cut, "{way:?}: {sender:?}");
    let mut told = Vec::new();
    // The hub stays until all has arrived.
    while closed && count(&told, "whole") < MESSAGES {
        match owner.may_tell() {
            Some(line) => told.push(line),
            None => break,
        }
    }
    drop(hub);
    told.extend(lines(&owner));
    (closed, told)
}

fn count(lines: &[String], beginning: &str) -> usize {
    let those = lines.iter().filter(|line| line.starts_with(beginning));
    those.count()
}

const TO_OWNER: [Slow; 2] = [Slow::Direct, Slow::ToOwner];

#[test]
fn a_close_with_too_little_time_fails_or_has_delivered_all() {
    on_each(&RATES, TO_OWNER, |network, way| {
        let (closed, told) = send_and_close(network, way, "hasty sender");
        let whole = count(&told, "whole");
        assert!(!closed || whole == MESSAGES, "{way:?}: Ok, and {told:?}");
        assert_eq!(count(&told, "WRONG"), 0, "{way:?}: {told:?}");
    });
}

#[test]
fn a_close_with_enough_time_delivers_all() {
    on_each(&RATES, TO_OWNER, |network, way| {
        let (closed, told) = send_and_close(network, way, "sender");
        let whole = count(&told, "whole");
        assert!(closed && whole == MESSAGES, "{way:?}: {closed}, {told:?}");
    });
}

#[test]
fn a_message_beside_downloads_is_whole_or_broken() {
    let to_caller = [Slow::Direct, Slow::ToCaller];
    on_each(&RATES[..1], to_caller, |network, way| {
        let roles = ["filler", "fetcher", "hasty hub"];
        let processes = start(network, way, SENDER, roles);
        assert_eq!(processes.caller.told(), "opened");
        // The rest need not take as long.
        let unfiltered = format!("qdisc del dev {RECEIVER} root");
        network.tc(ROUTER, &unfiltered).expect("it has a filter");
        let told = lines(&processes.caller);
        let ends = count(&told, "whole") + count(&told, "broken");
        assert_eq!(ends, MESSAGES, "{way:?}: {told:?}");
    });
}

#[test]
fn a_link_that_goes_down_is_an_error_at_both_ends() {
    on_each(&RATES[..1], TO_OWNER, |network, way| {
        let roles = ["watchful receiver", "uploader", "watchful hub"];
        let Processes { caller, owner, hub } = start(network, way, RECEIVER, roles);
        assert_eq!(owner.told(), "begun");
        let down = network.ip(RECEIVER, "link set to-router down");
        down.expect("the link is there");
        let owner = lines(&owner);
        let hub = hub.map(|hub| lines(&hub));
        let caller = lines(&caller);
        let near = hub.unwrap_or_else(|| caller.clone());
        assert_eq!(count(&caller, "upload: Err"), 1, "{way:?}: {caller:?}");
        assert_eq!(count(&owner, "broken"), 1, "{way:?}: {owner:?}");
        for end in [near, owner] {
            assert_eq!(count(&end, "told of session"), 1, "{way:?}: {end:?}");
            let by_the_peer = end.iter().any(|line| line.contains("by the peer"));
            assert!(!by_the_peer, "{way:?}: {end:?}");
        }
    });
}
