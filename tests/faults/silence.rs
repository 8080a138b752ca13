//! A network that goes silent, as behind a NAT box that has forgotten a
//! connection: both sides notice within the keepalive interval and the write
//! timeout, whatever they are doing.

use crate::support::{
    PATIENCE, in_time,
    link::message,
    pattern::PIECE,
    relay::{Direction, Profile, Relay},
};
use crate::{secure_client, secure_server};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::{
    io::{self, Read, Write},
    thread,
    time::{Duration, Instant},
};
use wirenet::{Builder, Session, Stream, Wire};

const INTERVAL: Duration = Duration::from_millis(800);
const WRITE_TIMEOUT: Duration = Duration::from_millis(400);

/// What a busy machine may add, less than another interval.
const SLACK: Duration = Duration::from_millis(600);

/// One of them has to be in time: what is busy besides may hold others up.
const TRIES: usize = 3;

/// Together more than the sockets on the way take in.
const STREAMS: usize = 16;

/// What has been carried when the network goes silent.
const BEFORE: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// Much has just been carried.
    AfterMuch,
    /// One side writes, until it is blocked.
    ClientWrites,
    ServerWrites,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Silence,
    Held(Direction),
}

/// A side that tells when its sessions end.
fn watchful(side: Builder) -> (Builder, Receiver<Instant>) {
    let (ended, ends) = unbounded();
    let side = side
        .keep_alive_interval(INTERVAL)
        .read_write_timeouts(None, WRITE_TIMEOUT)
        .session_close_timeout(Duration::ZERO)
        .on_error(|_| {})
        .on_session_close(move |_| {
            // After the test, nobody wants to know.
            let _ = ended.send(Instant::now());
        });
    (side, ends)
}

fn write_on(mut stream: &Stream) -> io::Result<()> {
    loop {
        stream.write_all(&[0x55; PIECE])?;
    }
}

/// Reads, and tells when much has come.
fn read_on(mut stream: &Stream, much: &Sender<()>) -> io::Result<()> {
    io::copy(&mut (&mut stream).take(BEFORE as u64), &mut io::sink())?;
    // Once is enough.
    let _ = much.send(());
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// Puts the server, or the hub that it is, to its work.
fn serving(server: Builder, much: Sender<()>) -> Builder {
    server
        .stream("echo", |stream| {
            let question = message(stream)?;
            stream.write_message(&question)
        })
        .stream("source", |stream| write_on(stream))
        .stream("sink", move |stream| read_on(stream, &much))
}

/// Has the client do it; gives the calls that are under way.
fn begin(
    session: &Session,
    doing: Doing,
    much: &Sender<()>,
) -> Vec<thread::JoinHandle<io::Result<()>>> {
    let spawn = |name: &str, work: fn(&Stream, &Sender<()>) -> io::Result<()>| {
        let (stream, much) = (session.open_stream(name).unwrap(), much.clone());
        thread::spawn(move || work(&stream, &much))
    };
    match doing {
        Doing::Nothing | Doing::AfterMuch => {
            let len = if doing == Doing::Nothing { 1 } else { BEFORE };
            let stream = session.open_stream("echo").unwrap();
            stream.write_message(&vec![1; len]).unwrap();
            assert_eq!(message(&stream).unwrap().len(), len);
            much.send(()).unwrap();
            Vec::new()
        }
        Doing::ClientWrites => {
            let write = || spawn("sink", |stream, _| write_on(stream));
            (0..STREAMS).map(|_| write()).collect()
        }
        Doing::ServerWrites => (0..STREAMS).map(|_| spawn("source", read_on)).collect(),
    }
}

/// How long the sides take to notice, whichever is later.
fn noticed(doing: Doing, fault: Fault, tls: bool) -> Duration {
    let (much, was_much) = unbounded();
    let server = secure_server(Wire::mount("127.0.0.1:0"), tls);
    let (server, server_ends) = watchful(serving(server, much.clone()));
    let server = server.build().unwrap();
    server.start().unwrap();
    let addr = server.local_addr().unwrap();
    let relay = Relay::to(addr, Profile::default()).unwrap();
    let client = secure_client(Wire::join(relay.addr.to_string()), tls);
    let (client, client_ends) = watchful(client.retry_max(0));
    let client = client.build().unwrap();
    client.start().unwrap();
    let session = client.sessions().remove(0);
    let calls = begin(&session, doing, &much);
    was_much.recv().unwrap();
    let silent_since = Instant::now();
    match fault {
        Fault::Silence => relay.silence(),
        Fault::Held(direction) => relay.hold(direction),
    }
    let ends = [server_ends, client_ends].map(|ends| ends.recv_timeout(PATIENCE).unwrap());
    for call in calls {
        call.join().unwrap().expect_err("nothing came to its end");
    }
    let latest = ends.into_iter().max().expect("two");
    // Not by something else that went wrong before.
    assert!(latest > silent_since, "{doing:?}");
    latest - silent_since
}

/// All of them at once, as they wait for most of the time.
fn assert_noticed(cases: &[(Doing, Fault, bool)]) {
    thread::scope(|scope| {
        for (doing, fault, tls) in cases {
            scope.spawn(move || {
                let quickest = thread::scope(|scope| {
                    let try_it = || scope.spawn(|| noticed(*doing, *fault, *tls));
                    let tries: Vec<_> = (0..TRIES).map(|_| try_it()).collect();
                    let tries = tries.into_iter().map(|each| each.join().unwrap());
                    tries.min().expect("some")
                });
                println!("{doing:?} {fault:?} TLS {tls}: {quickest:?}");
                let limit = INTERVAL + WRITE_TIMEOUT + SLACK;
                assert!(quickest < limit, "{doing:?} {fault:?} {tls}: {quickest:?}");
            });
        }
    });
}

const ALL: [Doing; 4] = [
    Doing::Nothing,
    Doing::AfterMuch,
    Doing::ClientWrites,
    Doing::ServerWrites,
];

#[test]
fn silence_is_noticed_by_both_sides_also_while_one_is_blocked_in_a_write() {
    in_time(|| assert_noticed(&ALL.map(|doing| (doing, Fault::Silence, false))));
}

#[cfg(feature = "tls")]
#[test]
fn silence_is_noticed_over_tls() {
    in_time(|| assert_noticed(&ALL.map(|doing| (doing, Fault::Silence, true))));
}

#[test]
fn one_direction_that_carries_nothing_is_noticed_by_both_sides() {
    in_time(|| {
        for direction in [Direction::Up, Direction::Down] {
            assert_noticed(&ALL.map(|doing| (doing, Fault::Held(direction), false)));
        }
    });
}

// -- through a hub --

/// How long a hub, the client whose network goes silent and the other one of a
/// relayed stream take to notice, whichever is latest.
fn noticed_through_a_hub(owner_is_silent: bool, owner_writes: bool) -> Duration {
    let (much, was_much) = unbounded();
    let (hub, hub_ends) = watchful(Wire::hub("127.0.0.1:0"));
    let hub = hub.build().unwrap();
    hub.start().unwrap();
    let addr = hub.local_addr().unwrap();
    let relay = Relay::to(addr, Profile::default()).unwrap();
    let join = |silent: bool, set: &dyn Fn(Builder) -> Builder| {
        let addr = if silent { relay.addr } else { addr };
        let (client, ends) = watchful(Wire::join(addr.to_string()).retry_max(0));
        let client = set(client).build().unwrap();
        client.start().unwrap();
        (client, ends)
    };
    let (owner, owner_ends) = join(owner_is_silent, &|owner| serving(owner, much.clone()));
    let (caller, caller_ends) = join(!owner_is_silent, &|caller| caller);
    let session = caller.sessions().remove(0);
    let doing = match owner_writes {
        true => Doing::ServerWrites,
        false => Doing::ClientWrites,
    };
    let calls = begin(&session, doing, &much);
    was_much.recv().unwrap();
    let silent_since = Instant::now();
    relay.silence();
    let dead_ends = if owner_is_silent {
        owner_ends
    } else {
        caller_ends
    };
    let ends = [&hub_ends, &dead_ends].map(|ends| ends.recv_timeout(PATIENCE).unwrap());
    for call in calls {
        call.join().unwrap().expect_err("nothing came to its end");
    }
    let noticed = ends.into_iter().max().expect("two").max(Instant::now());
    // The other one has its session still.
    let living = if owner_is_silent { &caller } else { &owner };
    assert_eq!(living.sessions().len(), 1);
    assert_eq!(hub.sessions().len(), 1);
    noticed - silent_since
}

#[test]
fn silence_is_noticed_within_a_hubs_relay() {
    in_time(|| {
        thread::scope(|scope| {
            for (owner_is_silent, owner_writes) in
                [(true, true), (true, false), (false, true), (false, false)]
            {
                scope.spawn(move || {
                    let tries = (0..TRIES).map(|_| {
                        scope.spawn(move || noticed_through_a_hub(owner_is_silent, owner_writes))
                    });
                    let tries: Vec<_> = tries.collect();
                    let tries = tries.into_iter().map(|each| each.join().unwrap());
                    let quickest = tries.min().expect("some");
                    println!("owner silent {owner_is_silent}, writes {owner_writes}: {quickest:?}");
                    assert!(quickest < INTERVAL + WRITE_TIMEOUT + SLACK, "{quickest:?}");
                });
            }
        });
    });
}
