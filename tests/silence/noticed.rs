//! When a network goes silent, as when a NAT has lost its state, both sides notice within
//! the keepalive interval plus the write timeout, whatever they are doing.

use crate::support::{
    PATIENCE,
    fault_proxy::{Direction, FaultProxy, Profile},
    in_time,
    pattern::PIECE,
    tls,
    wires::message,
};
use crossbeam_channel::{Receiver, Select, Sender, unbounded};
use parking_lot::Mutex;
use std::{
    io::{self, Read, Write},
    thread,
    time::{Duration, Instant},
};
use wirenet::{Builder, Session, Stream, Wire};

const INTERVAL: Duration = Duration::from_secs(1);
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a busy machine may add. Less than another interval.
const SLACK: Duration = Duration::from_millis(800);

/// No attempt may take longer.
const FAR_TOO_LATE: Duration = Duration::from_secs(6);

/// One attempt must be in time. Other load on the machine may delay some, or look like
/// silence before there is any.
const TRIES: usize = 5;

/// One test runs at a time, so that they do not delay each other.
static ALONE: Mutex<()> = Mutex::new(());

/// Waiting for other tests does not count as the time of a test.
fn alone(work: impl FnOnce() + Send + 'static) {
    let _alone = ALONE.lock();
    in_time(work);
}

/// Together they send more than the sockets on the way buffer.
const STREAMS: usize = 16;

/// The bytes that were carried before the network goes silent.
const BEFORE: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// [`BEFORE`] bytes have just been carried.
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

/// A side, and the times at which its sessions end.
fn watchful(side: Builder) -> (Builder, Receiver<Instant>) {
    let (ended, ends) = unbounded();
    let side = side
        .keep_alive_interval(INTERVAL)
        .read_write_timeouts(None, WRITE_TIMEOUT)
        .session_close_timeout(Duration::ZERO)
        .on_error(|_| {})
        .on_session_close(move |_| {
            // The test may no longer receive.
            let _ = ended.send(Instant::now());
        });
    (side, ends)
}

fn write_on(mut stream: &Stream) -> io::Result<()> {
    loop {
        stream.write_all(&[0x55; PIECE])?;
    }
}

/// Reads, and sends a message after [`BEFORE`] bytes.
fn read_on(mut stream: &Stream, much: &Sender<()>) -> io::Result<()> {
    io::copy(&mut (&mut stream).take(BEFORE as u64), &mut io::sink())?;
    // Once is enough.
    let _ = much.send(());
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// Sets the handlers of a server or an owner.
fn serving(server: Builder, much: Sender<()>) -> Builder {
    server
        .stream("echo", |stream| {
            let question = message(stream)?;
            stream.write_message(&question)
        })
        .stream("source", |stream| write_on(stream))
        .stream("sink", move |stream| read_on(stream, &much))
}

type Call = thread::JoinHandle<io::Result<()>>;

/// Makes the client begin. Returns the calls that are running.
fn begin(session: &Session, doing: Doing, much: &Sender<()>) -> io::Result<Vec<Call>> {
    let spawn = |name: &str, work: fn(&Stream, &Sender<()>) -> io::Result<()>| {
        let (stream, much) = (session.open_stream(name)?, much.clone());
        Ok(thread::spawn(move || work(&stream, &much)))
    };
    match doing {
        Doing::Nothing | Doing::AfterMuch => {
            let len = if doing == Doing::Nothing { 1 } else { BEFORE };
            let stream = session.open_stream("echo")?;
            stream.write_message(vec![1; len])?;
            assert_eq!(message(&stream)?.len(), len);
            much.send(()).unwrap();
            Ok(Vec::new())
        }
        Doing::ClientWrites => {
            let write = || spawn("sink", |stream, _| write_on(stream));
            (0..STREAMS).map(|_| write()).collect()
        }
        Doing::ServerWrites => (0..STREAMS).map(|_| spawn("source", read_on)).collect(),
    }
}

/// The time until both sides notice. An error if something else ends a session first.
fn noticed(doing: Doing, fault: Fault, tls: bool) -> io::Result<Duration> {
    let (much, was_much) = unbounded();
    let server = tls::server(Wire::mount("127.0.0.1:0"), tls);
    let (server, server_ends) = watchful(serving(server, much.clone()));
    let server = server.build().unwrap();
    server.start().unwrap();
    let addr = server.local_addr().unwrap();
    let proxy = FaultProxy::to(addr, Profile::default()).unwrap();
    let client = tls::client(Wire::join(proxy.addr.to_string()), tls);
    let (client, client_ends) = watchful(client.retry_max(0));
    let client = client.build().unwrap();
    client.start()?;
    let session = the_session(&client)?;
    let calls = begin(&session, doing, &much)?;
    await_much(&was_much, &[&server_ends, &client_ends])?;
    let silent_since = Instant::now();
    match fault {
        Fault::Silence => proxy.silence(),
        Fault::Held(direction) => proxy.hold(direction),
    }
    let ends = [server_ends, client_ends].map(|ends| ends.recv_timeout(PATIENCE).unwrap());
    for call in calls {
        call.join().unwrap().expect_err("the call was cut");
    }
    Ok(ends.into_iter().max().expect("two") - silent_since)
}

fn the_session(client: &Wire) -> io::Result<Session> {
    let session = client.sessions().pop();
    session.ok_or_else(|| io::ErrorKind::NotConnected.into())
}

/// Waits until [`BEFORE`] bytes were carried. An error if a session ends instead.
fn await_much(was_much: &Receiver<()>, ends: &[&Receiver<Instant>]) -> io::Result<()> {
    let mut select = Select::new();
    select.recv(was_much);
    for end in ends {
        select.recv(end);
    }
    match select.ready_timeout(PATIENCE).expect("one of them comes") {
        0 => Ok(()),
        _ => Err(io::ErrorKind::NotConnected.into()),
    }
}

/// Asserts that one of several attempts is in time, and none of them far too late.
fn assert_in_time(what: &str, notice: impl Fn() -> io::Result<Duration>) {
    const LIMIT: Duration = INTERVAL.saturating_add(WRITE_TIMEOUT).saturating_add(SLACK);
    let mut late = Vec::new();
    while late.len() < TRIES {
        match notice() {
            Ok(noticed) if noticed < LIMIT => return println!("{what}: {noticed:?}"),
            other => late.push(other),
        }
        let far = |noticed: &Duration| *noticed > FAR_TOO_LATE;
        assert!(!late.iter().flatten().any(far), "{what}: {late:?}");
    }
    panic!("{what}: {late:?}");
}

/// Runs all cases at once, as they mostly wait.
fn assert_noticed(cases: &[(Doing, Fault, bool)]) {
    thread::scope(|scope| {
        for (doing, fault, tls) in cases {
            let what = format!("{doing:?}, {fault:?}, TLS {tls}");
            scope.spawn(move || assert_in_time(&what, || noticed(*doing, *fault, *tls)));
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
fn silence_is_noticed_by_both_sides_even_while_one_is_blocked_in_a_write() {
    alone(|| assert_noticed(&ALL.map(|doing| (doing, Fault::Silence, false))));
}

#[cfg(feature = "tls")]
#[test]
fn silence_is_noticed_over_tls() {
    alone(|| assert_noticed(&ALL.map(|doing| (doing, Fault::Silence, true))));
}

#[test]
fn a_silent_direction_is_noticed_by_both_sides() {
    alone(|| {
        for direction in [Direction::Up, Direction::Down] {
            assert_noticed(&ALL.map(|doing| (doing, Fault::Held(direction), false)));
        }
    });
}

#[cfg(feature = "tls")]
#[test]
fn a_silent_direction_is_noticed_over_tls() {
    alone(|| {
        let held = [Direction::Up, Direction::Down].map(Fault::Held);
        assert_noticed(
            &held
                .map(|fault| ALL.map(|doing| (doing, fault, true)))
                .concat(),
        );
    });
}

// -- through a hub --

/// The time until a hub, the client whose network goes silent, and the other client of a
/// relayed stream notice.
fn noticed_through_a_hub(owner_is_silent: bool, owner_writes: bool) -> io::Result<Duration> {
    let (much, was_much) = unbounded();
    let (hub, hub_ends) = watchful(Wire::hub("127.0.0.1:0"));
    let hub = hub.build().unwrap();
    hub.start().unwrap();
    let addr = hub.local_addr().unwrap();
    let proxy = FaultProxy::to(addr, Profile::default()).unwrap();
    let join = |silent: bool, set: &dyn Fn(Builder) -> Builder| {
        let addr = if silent { proxy.addr } else { addr };
        let (client, ends) = watchful(Wire::join(addr.to_string()).retry_max(0));
        let client = set(client).build().unwrap();
        client.start()?;
        io::Result::Ok((client, ends))
    };
    let (owner, owner_ends) = join(owner_is_silent, &|owner| serving(owner, much.clone()))?;
    let (caller, caller_ends) = join(!owner_is_silent, &|caller| caller)?;
    let session = the_session(&caller)?;
    let doing = match owner_writes {
        true => Doing::ServerWrites,
        false => Doing::ClientWrites,
    };
    let calls = begin(&session, doing, &much)?;
    await_much(&was_much, &[&hub_ends, &owner_ends, &caller_ends])?;
    let silent_since = Instant::now();
    proxy.silence();
    let dead_ends = if owner_is_silent {
        owner_ends
    } else {
        caller_ends
    };
    let ends = [&hub_ends, &dead_ends].map(|ends| ends.recv_timeout(PATIENCE).unwrap());
    for call in calls {
        call.join().unwrap().expect_err("the call was cut");
    }
    let noticed = ends.into_iter().max().expect("two").max(Instant::now());
    // The other client's session is still open.
    let living = if owner_is_silent { &caller } else { &owner };
    match (living.sessions().len(), hub.sessions().len()) {
        (1, 1) => Ok(noticed - silent_since),
        others => Err(io::Error::other(format!("sessions left: {others:?}"))),
    }
}

#[test]
fn silence_is_noticed_in_a_hubs_relay() {
    alone(|| {
        thread::scope(|scope| {
            for (owner_is_silent, owner_writes) in
                [(true, true), (true, false), (false, true), (false, false)]
            {
                let what = format!("owner silent {owner_is_silent}, writes {owner_writes}");
                scope.spawn(move || {
                    assert_in_time(&what, || {
                        noticed_through_a_hub(owner_is_silent, owner_writes)
                    });
                });
            }
        });
    });
}
