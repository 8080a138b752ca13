//! One scenario: a path, those who send and receive on it, and how it ends.

use super::{
    ledger::{Ledger, Side},
    receiving::{glance, receive},
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
    time::Duration,
};
use wirenet::{Builder, Session, Stream};

/// How long what was delivered may take to be read, once the link is fast. Only
/// a failure takes it.
const READ: Duration = Duration::from_secs(5);

/// All of it follows from the scenario's number.
#[derive(Clone, Debug)]
struct Plan {
    way: Way,
    /// Bytes per second.
    rate: u32,
    /// Bytes in front of the link.
    queue: usize,
    /// How long an answer may take. Where it is short, a stream that is not
    /// waited for may turn out to be refused when all has been sent.
    handshake: Duration,
    /// How long the close that ends it lets streams end.
    close: Duration,
    /// What fills the link, until answers to openings have been given up.
    floods: usize,
    senders: usize,
    receivers: usize,
    stall: Option<(Direction, Duration)>,
    /// When it ends: then, or when all has been sent.
    moment: Option<Duration>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// By the wire, or by its session.
    Close(Side, What),
    /// The last handle of the caller's wire.
    Drop,
    Abort(Side),
    Cut(How),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Wire,
    Session,
}

impl Plan {
    fn new(random: &mut Random) -> Self {
        // As many slow ones as fast ones.
        let rate = (20_000u32 << random.below(6)) / 100 * random.between(100, 160) as u32;
        let close = Ending::Close(
            random.pick(&[Side::Caller, Side::Caller, Side::Owner]),
            random.pick(&[What::Wire, What::Wire, What::Session]),
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

    /// Whose messages have to arrive, if all goes well.
    fn promises(&self) -> Option<Side> {
        match self.ending {
            Ending::Close(side, _) if self.handshake > CLOSE * 2 => Some(side),
            _ => None,
        }
    }
}

fn millis(count: usize) -> Duration {
    Duration::from_millis(count as u64)
}

/// What came of a scenario.
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

/// Each stream's own numbers.
#[derive(Clone)]
struct Seeds(Arc<Mutex<Random>>);

impl Seeds {
    fn next(&self) -> Random {
        Random(self.0.lock().next())
    }
}

pub fn play(seed: u64) -> Outcome {
    let mut random = Random(seed);
    let plan = Plan::new(&mut random);
    let ledger = Arc::<Ledger>::default();
    let seeds = Seeds(Arc::new(Mutex::new(random)));
    let path = set_up(&plan, &ledger, &seeds);
    let session = path.session.clone();
    let open = |_| session.open_stream("flood").expect("before there is any");
    let floods: Vec<_> = (0..plan.floods).map(open).collect();
    path.link.set_rate(Some(plan.rate));
    for flood in &floods {
        flood.write_message(b"now").expect("it is read");
    }
    let (sending, all_sent) = bounded::<()>(0);
    let (plan, ledger, seeds) = (&plan, &*ledger, &seeds);
    let promised = thread::scope(|scope| {
        for _ in 0..plan.senders {
            let (session, sending) = (&session, sending.clone());
            scope.spawn(move || {
                call_senders(session, ledger, seeds.next());
                drop(sending);
            });
        }
        for _ in 0..plan.receivers {
            let session = &session;
            scope.spawn(move || call_receiver(session, ledger, seeds.next()));
        }
        drop(sending);
        stall(plan, &path, &all_sent);
        if plan.floods > 0 {
            // From here on what waits is sent, with the answers and without.
            let _ = all_sent.recv_timeout(plan.handshake * 2);
            path.link.set_rate(None);
        }
        match plan.moment {
            Some(moment) => drop(all_sent.recv_timeout(moment)),
            None => drop(all_sent.recv()),
        }
        end(plan, path, ledger)
    });
    let (complete, violations) = ledger.close();
    Outcome {
        seed,
        plan: plan.clone(),
        complete,
        promised,
        violations,
    }
}

fn set_up(plan: &Plan, ledger: &Arc<Ledger>, seeds: &Seeds) -> Path {
    let timeout = |side| match plan.ending {
        Ending::Close(closer, _) if closer == side => plan.close,
        _ => CLOSE,
    };
    // Where answers go over the slow link to the caller.
    let flooding = |wire: Builder| {
        let wire = wire.handshake_timeout(plan.handshake);
        match plan.floods {
            0 => wire,
            // The kernel is not to take in all of it.
            _ => wire.send_buffer(16 * 1024).stream("flood", flood),
        }
    };
    let hub_answers = plan.way.slow == Slow::ToCaller;
    let owner = |wire: Builder| {
        let wire = if hub_answers { wire } else { flooding(wire) };
        let (to_take, taking) = (seeds.clone(), Arc::clone(ledger));
        let (to_give, giving) = (seeds.clone(), Arc::clone(ledger));
        let to_glance = seeds.clone();
        wire.session_close_timeout(timeout(Side::Owner))
            .stream("take", move |stream: &mut Stream| {
                receive(stream, &mut to_take.next(), &taking, "the owner");
                Ok(())
            })
            .stream("give", move |stream: &mut Stream| {
                match send(stream, &mut to_give.next(), &giving, Side::Owner) {
                    Left::Closed | Left::Dropped => Ok(()),
                    Left::Failed => Err(io::Error::other("on purpose")),
                }
            })
            .stream("glance", move |stream: &mut Stream| {
                glance(stream, &mut to_glance.next())
            })
    };
    let caller = |wire: Builder| wire.session_close_timeout(timeout(Side::Caller));
    let hub = |wire: Builder| {
        let wire = wire.session_close_timeout(CLOSE);
        if hub_answers { flooding(wire) } else { wire }
    };
    Path::new(plan.way, plan.queue, Sides { owner, caller, hub })
}

/// Sends on and on, once it is told to.
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

fn call_senders(session: &Session, ledger: &Ledger, mut random: Random) {
    for _ in 0..random.between(1, 4) {
        let name = random.pick(&["take", "take", "take", "glance"]);
        let Some(stream) = open(session, name, &mut random) else {
            return;
        };
        // What is sent to one that only glances is not noted.
        let aside = Ledger::default();
        let ledger = if name == "take" { ledger } else { &aside };
        send(&stream, &mut random, ledger, Side::Caller);
    }
}

fn call_receiver(session: &Session, ledger: &Ledger, mut random: Random) {
    for _ in 0..random.between(1, 4) {
        match open(session, "give", &mut random) {
            Some(stream) => receive(&stream, &mut random, ledger, "the caller"),
            None => return,
        }
    }
}

fn stall(plan: &Plan, path: &Path, all_sent: &Receiver<()>) {
    if let Some((direction, time)) = plan.stall {
        path.link.hold(direction);
        // What is sent meanwhile may all fit.
        let _ = all_sent.recv_timeout(time);
        path.link.release(direction);
    }
}

/// Ends it as planned; gives how many messages had to arrive.
fn end(plan: &Plan, path: Path, ledger: &Ledger) -> usize {
    let closed = match plan.ending {
        Ending::Close(Side::Caller, What::Wire) => path.caller.close().is_ok(),
        Ending::Close(Side::Caller, What::Session) => path.session.close().is_ok(),
        Ending::Close(Side::Owner, What::Wire) => path.owner.close().is_ok(),
        Ending::Close(Side::Owner, What::Session) => {
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
    // What is under way may arrive, without the time that it would take.
    path.link.set_rate(None);
    match plan.promises().filter(|_| closed) {
        Some(side) => ledger.expect_delivered(side, READ),
        None => 0,
    }
}
