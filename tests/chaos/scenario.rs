//! One scenario: a path, its senders and receivers, and how it ends.

use super::{
    receiving::{read_a_little, receive},
    record::{Record, Side},
    sending::{Left, send},
};
use crate::support::{
    call_path::{CLOSE, Path, Sides, Slow, Way, ways},
    fault_proxy::{Cut, Direction, How},
    random::Random,
};
use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;
use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use wirenet::{Builder, Session, Stream};

/// How long delivered messages may take to be read, once the link is fast. Only
/// a failure takes this long.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// A scenario, as its seed determines it.
#[derive(Clone, Debug)]
struct Plan {
    way: Way,
    /// Bytes per second.
    rate: u32,
    /// Bytes that can be queued in front of the link.
    queue: usize,
    /// The handshake timeout, which is short for some.
    handshake: Duration,
    /// The session close timeout of the wire whose close ends the scenario.
    close: Duration,
    /// Streams that fill the link, until the answers to openings have timed out.
    floods: usize,
    senders: usize,
    receivers: usize,
    stall: Option<(Direction, Duration)>,
    /// When the scenario ends; `None` is when everything has been sent.
    moment: Option<Duration>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// This side closes its wire, or its session.
    Close(Side, Closed),
    /// The last handle of the caller's wire is dropped.
    Drop,
    Abort(Side),
    Cut(How),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    Wire,
    Session,
}

impl Plan {
    fn new(random: &mut Random) -> Self {
        // A logarithmic scale: as many slow links as fast ones.
        let rate = (20_000u32 << random.below(6)) / 100 * random.between(100, 160) as u32;
        let close = Ending::Close(
            random.pick(&[Side::Caller, Side::Caller, Side::Owner]),
            random.pick(&[Closed::Wire, Closed::Wire, Closed::Session]),
        );
        let other = random.pick(&[
            Ending::Drop,
            Ending::Abort(Side::Caller),
            Ending::Abort(Side::Owner),
            Ending::Cut(How::Fin),
            Ending::Cut(How::Rst),
        ]);
        let direction = random.pick(&[Direction::Up, Direction::Down]);
        let floods = if random.chance(25) { 3 } else { 0 };
        Self {
            way: random.pick(&ways()),
            rate: rate.min(if floods > 0 { 40_000 } else { 1_000_000 }),
            queue: random.pick(&[2_000, 8_000, 30_000]),
            handshake: match floods > 0 || random.chance(20) {
                true => millis(random.between(20, 300)),
                false => Duration::from_secs(10),
            },
            close: millis(random.pick(&[50, 200, 600, 1_500])),
            floods,
            senders: random.between(1, 5),
            receivers: random.between(0, 5),
            stall: random
                .chance(30)
                .then(|| (direction, millis(random.between(10, 300)))),
            moment: random.chance(50).then(|| millis(random.below(800))),
            ending: if random.chance(70) { close } else { other },
        }
    }

    /// The side whose messages must arrive if its close returns `Ok`, `elapsed` after the
    /// first stream was opened. Not if an answer to an opening may have timed out: a stream
    /// that was opened without waiting is then refused after everything has been sent.
    fn promises(&self, elapsed: Duration) -> Option<Side> {
        match self.ending {
            Ending::Close(side, _) if self.handshake > elapsed + CLOSE => Some(side),
            _ => None,
        }
    }
}

fn millis(count: usize) -> Duration {
    Duration::from_millis(count as u64)
}

/// The outcome of a scenario.
pub struct Outcome {
    seed: u64,
    plan: Plan,
    pub complete: usize,
    pub promised: usize,
    pub violations: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "WIRENET_CHAOS_SEED={}: {:?}", self.seed, self.plan)?;
        let mut violations = self.violations.iter();
        violations.try_for_each(|violation| writeln!(f, "    {violation}"))
    }
}

/// Gives each stream random numbers of its own.
#[derive(Clone)]
struct Seeds(Arc<Mutex<Random>>);

impl Seeds {
    fn next(&self) -> Random {
        Random(self.0.lock().next())
    }
}

pub fn run(seed: u64) -> Outcome {
    let mut random = Random(seed);
    let plan = Plan::new(&mut random);
    let record = Arc::<Record>::default();
    let seeds = Seeds(Arc::new(Mutex::new(random)));
    let path = set_up(&plan, &record, &seeds);
    let session = path.session.clone();
    let open = |_| {
        session
            .open_stream("flood")
            .expect("the link is not full yet")
    };
    let floods: Vec<_> = (0..plan.floods).map(open).collect();
    path.link.set_rate(Some(plan.rate));
    let start = Instant::now();
    for flood in &floods {
        flood.write_message(b"now").expect("the handler reads it");
    }
    let (sending, all_sent) = bounded::<()>(0);
    let (plan, record, seeds) = (&plan, &*record, &seeds);
    let promised = thread::scope(|scope| {
        for _ in 0..plan.senders {
            let (session, sending) = (&session, sending.clone());
            scope.spawn(move || {
                call_senders(session, record, seeds.next());
                drop(sending);
            });
        }
        for _ in 0..plan.receivers {
            let session = &session;
            scope.spawn(move || call_receiver(session, record, seeds.next()));
        }
        drop(sending);
        stall(plan, &path, &all_sent);
        if plan.floods > 0 {
            // From here on the queued bytes are sent, whether an answer was given up
            // or not.
            let _ = all_sent.recv_timeout(plan.handshake * 2);
            path.link.set_rate(None);
        }
        match plan.moment {
            Some(moment) => drop(all_sent.recv_timeout(moment)),
            None => drop(all_sent.recv()),
        }
        end(plan, path, record, start)
    });
    let (complete, violations) = record.close();
    Outcome {
        seed,
        plan: plan.clone(),
        complete,
        promised,
        violations,
    }
}

fn set_up(plan: &Plan, record: &Arc<Record>, seeds: &Seeds) -> Path {
    let timeout = |side| match plan.ending {
        Ending::Close(closer, _) if closer == side => plan.close,
        _ => CLOSE,
    };
    // For the wire whose answers go to the caller over the slow link.
    let flooding = |wire: Builder| {
        let wire = wire.handshake_timeout(plan.handshake);
        match plan.floods {
            0 => wire,
            // The kernel must not buffer all of it.
            _ => wire.send_buffer(16 * 1024).stream("flood", flood),
        }
    };
    let hub_answers = plan.way.slow == Slow::ToCaller;
    let owner = |wire: Builder| {
        let wire = if hub_answers { wire } else { flooding(wire) };
        let (take_seeds, take_record) = (seeds.clone(), Arc::clone(record));
        let (give_seeds, give_record) = (seeds.clone(), Arc::clone(record));
        let glance_seeds = seeds.clone();
        wire.session_close_timeout(timeout(Side::Owner))
            .stream("take", move |stream: &mut Stream| {
                receive(stream, &mut take_seeds.next(), &take_record, "the owner");
                Ok(())
            })
            .stream("give", move |stream: &mut Stream| {
                match send(stream, &mut give_seeds.next(), &give_record, Side::Owner) {
                    Left::Closed | Left::Dropped => Ok(()),
                    Left::Failed => Err(io::Error::other("on purpose")),
                }
            })
            .stream("read_a_little", move |stream: &mut Stream| {
                read_a_little(stream, &mut glance_seeds.next())
            })
    };
    let caller = |wire: Builder| wire.session_close_timeout(timeout(Side::Caller));
    let hub = |wire: Builder| {
        let wire = wire.session_close_timeout(CLOSE);
        if hub_answers { flooding(wire) } else { wire }
    };
    Path::new(plan.way, plan.queue, Sides { owner, caller, hub })
}

/// Sends forever, after the caller has asked for it.
fn flood(mut stream: &mut Stream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink())?;
    loop {
        stream.write_all(&[0; 16 * 1024])?;
    }
}

fn open(session: &Session, name: &str, random: &mut Random) -> Option<Stream> {
    let opened = match random.chance(60) {
        true => session.open_stream_nowait(name),
        false => session.open_stream(name),
    };
    opened.ok()
}

fn call_senders(session: &Session, record: &Record, mut random: Random) {
    for _ in 0..random.between(1, 4) {
        let name = random.pick(&["take", "take", "take", "read_a_little"]);
        let Some(stream) = open(session, name, &mut random) else {
            return;
        };
        // Messages to a handler that reads only a little are not recorded.
        let unrecorded = Record::default();
        let record = if name == "take" { record } else { &unrecorded };
        send(&stream, &mut random, record, Side::Caller);
    }
}

fn call_receiver(session: &Session, record: &Record, mut random: Random) {
    for _ in 0..random.between(1, 4) {
        match open(session, "give", &mut random) {
            Some(stream) => receive(&stream, &mut random, record, "the caller"),
            None => return,
        }
    }
}

fn stall(plan: &Plan, path: &Path, all_sent: &Receiver<()>) {
    if let Some((direction, time)) = plan.stall {
        path.link.hold(direction);
        // Everything may be sent meanwhile, if it fits into the buffers.
        let _ = all_sent.recv_timeout(time);
        path.link.release(direction);
    }
}

/// Ends the scenario as planned. Returns the number of messages that had to
/// arrive.
fn end(plan: &Plan, path: Path, record: &Record, start: Instant) -> usize {
    let closed = match plan.ending {
        Ending::Close(Side::Caller, Closed::Wire) => path.caller.close().is_ok(),
        Ending::Close(Side::Caller, Closed::Session) => path.session.close().is_ok(),
        Ending::Close(Side::Owner, Closed::Wire) => path.owner.close().is_ok(),
        Ending::Close(Side::Owner, Closed::Session) => {
            let session = path.owner.sessions().pop();
            session.is_some_and(|session| session.close().is_ok())
        }
        Ending::Drop => {
            drop(path.caller);
            return 0;
        }
        Ending::Abort(Side::Caller) => {
            path.session.abort();
            return 0;
        }
        Ending::Abort(Side::Owner) => {
            path.owner.sessions().iter().for_each(Session::abort);
            return 0;
        }
        Ending::Cut(how) => {
            let direction = Direction::Up;
            path.link.cut(Cut {
                direction,
                after: 0,
                how,
            });
            return 0;
        }
    };
    let promises = plan.promises(start.elapsed());
    // What is still in flight may arrive, and need not take its time.
    path.link.set_rate(None);
    match promises.filter(|_| closed) {
        Some(side) => record.expect_delivered(side, READ_LIMIT),
        None => 0,
    }
}
