//! 64 MiB between two processes, over a connection that breaks at one of 500
//! places, by a FIN, a reset or silence, in each direction. Both sides end in
//! time, and the receiver either has the complete message or gets an error.
//!
//! A run tests 60 of the places, and 12 of them over TLS too. In CI these are 500
//! and 100. `WIRENET_FAULT_PLACES` sets another number.

use crate::support::{
    fault_proxy::{Cut, Direction, FaultProxy, How, Profile},
    pattern::{PIECE, Pattern},
    process::{self, Other},
    threads, tls,
    wires::message,
    within,
};
use log::{LevelFilter, Log, Metadata, Record};
use std::{
    env, io,
    io::{Read, Write},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use wirenet::{Builder, Operation, Stream, Wire};

const LEN: u64 = 64 << 20;

/// The last bytes of the message. They are sent when both sides have processed all
/// bytes before them, so that a place after that can be given in bytes.
const TAIL: u64 = 32;

const PLACES: usize = 500;

/// Places that are tested at once: most of them wait.
const LANES: usize = 6;

/// The limit of one run, far beyond the timeouts that are set.
const LIMIT: Duration = Duration::from_secs(30);

/// Roles of the other process.
const PLAIN: &str = "plain";
const TLS: &str = "tls";

/// Returns the prefix of thread names.
fn threads_of(role: &str) -> &'static str {
    if role == TLS { "cuttls" } else { "cuttcp" }
}

/// The side that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The place is counted from the first byte of the connection.
    Begin,
    /// The place is counted from just before the last bytes of the message.
    End,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    sender: Sender,
    phase: Phase,
    cut: Cut,
}

/// Sets short timeouts, which a busy machine nevertheless does not reach.
fn impatient(side: Builder) -> Builder {
    side.dial_timeout(Duration::from_secs(2))
        .handshake_timeout(Duration::from_secs(1))
        .keep_alive_interval(Duration::from_millis(250))
        .read_write_timeouts(None, Duration::from_millis(750))
        .session_close_timeout(Duration::from_millis(500))
}

// -- the server, in a process of its own --

#[test]
fn other_process() -> io::Result<()> {
    let Some(role) = process::role() else {
        return Ok(());
    };
    log::set_logger(&TellDepartures).map_err(io::Error::other)?;
    log::set_max_level(LevelFilter::Debug);
    let server = impatient(Wire::mount("127.0.0.1:0"))
        .thread_name(threads_of(&role))
        .stream("down", send)
        .stream("up", |stream| {
            let mut received = Received::default();
            let outcome = received.read_from(stream, || stream.write_message(b"go"));
            if received.is_short() {
                process::tell("short")?;
            }
            outcome?;
            stream.write_message(b"all")
        })
        // Each connection ends in one of these two ways, or before its first byte.
        .on_session_close(|_| process::tell("ended").unwrap())
        .on_error(|error| {
            if error.operation == Operation::Handshake {
                process::tell("ended").unwrap();
            }
        });
    let server = tls::server(server, role == TLS).build()?;
    server.start()?;
    let descriptors = threads::descriptors();
    process::tell(server.local_addr().expect("it listens"))?;
    process::wait_for_parent()?;
    assert!(server.sessions().is_empty());
    threads::await_none(&format!("{}-session", threads_of(&role)));
    threads::await_none(&format!("{}-writer", threads_of(&role)));
    assert_eq!(
        threads::descriptors(),
        descriptors,
        "descriptors are left over"
    );
    server.close()?;
    process::tell("clean")
}

/// Reports each peer that left before its first byte, which is not an error.
struct TellDepartures;

impl Log for TellDepartures {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        if text.ends_with("left before its first byte") {
            process::tell("ended").unwrap();
        }
    }

    fn flush(&self) {}
}

/// Sends the message, and its last bytes when the peer asks for them.
fn send(stream: &mut Stream) -> io::Result<()> {
    send_and(stream, || {})
}

fn send_and(stream: &Stream, before_tail: impl FnOnce()) -> io::Result<()> {
    let pattern = Pattern::new(1);
    let mut writer = stream;
    let mut position = 0;
    while position < LEN - TAIL {
        let len = (LEN - TAIL - position).min(PIECE as u64);
        writer.write_all(pattern.at(position, len as usize))?;
        position += len;
    }
    message(stream)?;
    before_tail();
    writer.write_all(pattern.at(position, TAIL as usize))?;
    writer.finish()
}

/// The part of the message that has been received.
#[derive(Default)]
struct Received {
    count: u64,
    /// The stream has reported the end of the message.
    complete: bool,
}

impl Received {
    fn read_from(
        &mut self,
        mut stream: &Stream,
        ask_for_tail: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let pattern = Pattern::new(1);
        let mut ask_for_tail = Some(ask_for_tail);
        let mut buf = vec![0; PIECE];
        loop {
            if self.count == LEN - TAIL
                && let Some(ask) = ask_for_tail.take()
            {
                ask()?;
            }
            let count = stream.read(&mut buf)?;
            pattern.check(self.count, &buf[..count]);
            self.count += count as u64;
            if count == 0 {
                self.complete = true;
                return Ok(());
            }
        }
    }

    fn is_short(&self) -> bool {
        self.complete && self.count != LEN
    }
}

// -- the client --

/// The outcome of a run.
struct Outcome {
    complete: bool,
    /// Bytes that the relay has carried, up and down.
    passed: [u64; 2],
}

struct Lane {
    server: Other,
    addr: std::net::SocketAddr,
    role: &'static str,
}

impl Lane {
    fn new(role: &'static str) -> Self {
        let server = Other::start("cut_transfers::other_process", role).unwrap();
        let addr = server.told().parse().unwrap();
        Self { server, addr, role }
    }

    fn run(&self, sender: Sender, place: Option<Place>) -> Outcome {
        let at_phase = |phase| place.filter(|place| place.phase == phase);
        let profile = Profile {
            cut: at_phase(Phase::Begin).map(|place| place.cut),
            ..Profile::default()
        };
        let relay = FaultProxy::to(self.addr, profile).unwrap();
        let client = impatient(Wire::join(relay.addr.to_string()))
            .thread_name(threads_of(self.role))
            .retry_max(0)
            .on_error(|_| {});
        let client = tls::client(client, self.role == TLS).build().unwrap();
        let mut complete = false;
        let at_tail = || {
            if let Some(place) = at_phase(Phase::End) {
                relay.cut(place.cut);
            }
        };
        let outcome = transfer(&client, sender, at_tail, &mut complete);
        assert!(!complete || outcome.is_ok() || place.is_some());
        // After a break, the close may have cut streams, or may not know whether
        // everything has arrived.
        let closed = client.close();
        assert!(closed.is_ok() || place.is_some(), "{closed:?}");
        // A client that has lost its session gives up here.
        let ended = client.wait();
        assert!(ended.is_err() || closed.is_ok(), "{closed:?}");
        assert!(ended.is_ok() || place.is_some(), "{ended:?}");
        let passed = [Direction::Up, Direction::Down].map(|way| relay.passed(way));
        // The server has ended its side of the session too, by itself.
        assert_eq!(self.server.told(), "ended", "{place:?}");
        Outcome { complete, passed }
    }

    fn end(mut self) {
        self.server.release();
        assert_eq!(self.server.told(), "clean");
    }
}

/// Transfers the message. Sets `complete` if the receiver considers it complete,
/// and panics if it is not.
fn transfer(
    client: &Wire,
    sender: Sender,
    at_tail: impl FnOnce(),
    complete: &mut bool,
) -> io::Result<()> {
    client.start()?;
    let session = client.sessions().pop().ok_or(io::ErrorKind::NotConnected)?;
    match sender {
        Sender::Client => {
            let stream = session.open_stream("up")?;
            send_and(&stream, at_tail)?;
            let answer = message(&stream)?;
            assert_eq!(answer, b"all");
            *complete = true;
            stream.close()
        }
        Sender::Server => {
            let stream = session.open_stream("down")?;
            let mut received = Received::default();
            let ask = || {
                at_tail();
                stream.write_message(b"go")
            };
            let outcome = received.read_from(&stream, ask);
            assert!(!received.is_short(), "{} bytes", received.count);
            outcome?;
            *complete = true;
            stream.close()
        }
    }
}

// -- the places --

/// Returns all places, in an order such that every prefix is spread over them.
fn places(step: u64, measured: [[u64; 2]; 2]) -> Vec<Place> {
    const HOWS: [How; 3] = [How::Fin, How::Rst, How::Silence];
    const BEGIN: u64 = 140;
    const END: u64 = 70;

    let mut all = Vec::with_capacity(PLACES);
    let mut add = |phase, direction, after| {
        let number = all.len();
        let sender = [Sender::Client, Sender::Server][number % 2];
        let how = HOWS[number / 2 % 3];
        all.push(Place {
            sender,
            phase,
            cut: Cut {
                direction,
                after,
                how,
            },
        });
    };
    for direction in [Direction::Up, Direction::Down] {
        (0..BEGIN).for_each(|byte| add(Phase::Begin, direction, byte * step));
        (0..END).for_each(|byte| add(Phase::End, direction, byte * step));
    }
    // Places between these, in both transfers.
    let between = PLACES as u64 - 2 * (BEGIN + END);
    for number in 0..between {
        let sender = number as usize % 2;
        let direction = number as usize / 2 % 2;
        let uncut = measured[sender][direction];
        let direction = [Direction::Up, Direction::Down][direction];
        add(
            Phase::Begin,
            direction,
            uncut * (number + 1) / (between + 1),
        );
    }
    assert_eq!(all.len(), PLACES);
    // The factor and the number of places are coprime.
    (0..PLACES).map(|at| all[at * 293 % PLACES]).collect()
}

fn break_at_each(role: &'static str, count: usize) {
    let lane = Lane::new(role);
    let measured = [Sender::Client, Sender::Server].map(|sender| {
        let uncut = lane.run(sender, None);
        assert!(uncut.complete, "nothing breaks this transfer");
        uncut.passed
    });
    lane.end();
    // A TLS connection begins with a handshake of some kilobytes.
    let mut places = places(if role == TLS { 20 } else { 1 }, measured);
    places.truncate(count);
    let (next, completed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let longest = thread::scope(|scope| {
        let lane = || {
            let lane = Lane::new(role);
            let mut longest = Duration::ZERO;
            while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                let start = Instant::now();
                let outcome = lane.run(place.sender, Some(*place));
                longest = longest.max(start.elapsed());
                assert!(start.elapsed() < LIMIT, "{place:?}");
                completed.fetch_add(outcome.complete.into(), Ordering::Relaxed);
            }
            lane.end();
            longest
        };
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        let each = lanes.into_iter().map(|lane| lane.join().unwrap());
        each.max().expect("there are some")
    });
    threads::await_none(&format!("{}-", threads_of(role)));
    let completed = completed.into_inner();
    println!(
        "{count} places: {completed} transfers complete, {} failed, the longest run took {longest:?}",
        count - completed
    );
    // Some places are after the message, but most are before its end.
    assert!(completed > 0 && completed < count / 2, "{completed}");
}

fn count(by_default: usize, in_ci: usize) -> usize {
    match env::var("WIRENET_FAULT_PLACES") {
        Ok(count) => count.parse().expect("a number"),
        Err(_) if env::var_os("CI").is_some() => in_ci,
        Err(_) => by_default,
    }
}

#[test]
fn a_transfer_that_is_cut_anywhere_is_complete_or_an_error_over_tcp() {
    within(Duration::from_secs(600), || {
        break_at_each(PLAIN, count(60, PLACES));
    });
}

#[cfg(feature = "tls")]
#[test]
fn a_transfer_that_is_cut_anywhere_is_complete_or_an_error_over_tls() {
    within(Duration::from_secs(600), || {
        break_at_each(TLS, count(60, PLACES) / 5);
    });
}
