//! A process of clients: each offers streams, and has threads that call others.

use super::{
    CLIENTS, PATIENCE, Settings, TOKEN,
    calls::{self, Deed, LARGEST},
    cutter::Cutter,
    gate::Gate,
    transfer::{Plan, Reading, Trouble},
};
use crate::{
    counts::Tally,
    support::{pattern::Pattern, process, random::Random},
};
use parking_lot::Mutex;
use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};
use wirenet::{Session, Wire};

/// Threads of a client that call others.
const CALLERS: usize = 2;

/// One call in so many of a client that loses its connections ends its session
/// by itself.
const ENDS: usize = 100;

/// How many of the errors are told that should not be.
const TOLD: usize = 20;

/// What all clients of the process share.
pub struct Crowd {
    pub gate: Gate,
    pub pattern: Pattern,
    tally: Arc<Tally>,
    /// What must not be.
    wrong: Mutex<Vec<String>>,
}

pub struct Client {
    pub crowd: Arc<Crowd>,
    number: usize,
    wire: Wire,
    cutter: Option<Cutter>,
}

/// Every other client has a connection that breaks again and again.
fn is_steady(number: usize) -> bool {
    number.is_multiple_of(2)
}

fn name_of(number: usize) -> String {
    format!("client-{number:02}")
}

impl Crowd {
    pub fn delivered(&self, plan: &Plan) {
        self.tally.add("delivered", 1);
        self.tally.add("bytes", plan.size);
        if plan.size == LARGEST {
            self.tally.add("largest", 1);
        }
        if plan.reading != Reading::AtOnce {
            self.tally.add("slow", 1);
        }
    }

    /// What a handler ends with.
    pub fn serve(&self, outcome: Result<(), Trouble>) -> io::Result<()> {
        outcome.map_err(|trouble| {
            let (Trouble::Failed(text) | Trouble::Wrong(text)) = &trouble;
            let text = text.clone();
            self.note(&trouble, "handler");
            io::Error::other(text)
        })
    }

    fn note(&self, trouble: &Trouble, place: &str) {
        match trouble {
            Trouble::Wrong(text) => {
                self.tally.add("wrong", 1);
                self.must_not_be(format!("{place}: {text}"));
            }
            Trouble::Failed(_) => self.tally.add(&format!("failed:{place}"), 1),
        }
    }

    fn must_not_be(&self, text: String) {
        let mut wrong = self.wrong.lock();
        if wrong.len() < TOLD {
            wrong.push(text);
        }
    }
}

impl Client {
    fn join(hub: SocketAddr, number: usize, settings: &Settings, crowd: &Arc<Crowd>) -> Self {
        let cutter = (!is_steady(number)).then(|| {
            let (tally, seed) = (Arc::clone(&crowd.tally), number as u64);
            Cutter::to(hub, seed, settings.silence(), tally).unwrap()
        });
        let addr = cutter.as_ref().map_or(hub, |cutter| cutter.addr);
        let errors = Arc::clone(crowd);
        let client = Wire::join(addr.to_string())
            .identification(name_of(number), TOKEN)
            .retry_wait(Duration::from_millis(10), Duration::from_millis(500))
            .on_error(move |error| {
                let operation = format!("{:?}", error.operation);
                let operation = operation.split(['(', '{']).next().unwrap_or_default();
                errors.tally.add(&format!("error:{operation}"), 1);
            });
        let client = settings.timeouts(client);
        let wire = calls::offer(client, &name_of(number), crowd)
            .build()
            .unwrap();
        wire.start().unwrap();
        Self {
            crowd: Arc::clone(crowd),
            number,
            wire,
            cutter,
        }
    }

    /// Calls others while the gate is open.
    fn call_others(&self, caller: usize, pace: usize) {
        let mut random = Random((self.number * CALLERS + caller) as u64);
        let mut first = caller == 0;
        while let Some(_inside) = self.crowd.gate.enter() {
            let other = random.below(CLIENTS - 1);
            let other = other + usize::from(other >= self.number);
            let mut deed = Deed::choose(&mut random);
            let mut plan = Plan::choose(&mut random);
            if std::mem::take(&mut first) && self.number < 2 {
                // So that a short soak has some.
                (deed, plan.size) = (Deed::Push, LARGEST);
            }
            let Ok(session) = self.wire.wait_session(Duration::from_secs(1)) else {
                self.crowd.tally.add("away", 1);
                continue;
            };
            if !is_steady(self.number) && random.below(ENDS) == 0 {
                self.end_session(&session, &mut random);
                continue;
            }
            let outcome = calls::call(self, &session, &name_of(other), deed, &plan);
            self.judge(other, deed, &plan, outcome);
            self.crowd
                .gate
                .linger(Duration::from_millis(random.below(2 * pace + 1) as u64));
        }
    }

    fn judge(&self, other: usize, deed: Deed, plan: &Plan, outcome: Result<(), Trouble>) {
        let crowd = &self.crowd;
        match outcome {
            Ok(()) => crowd.tally.add(&format!("done:{deed:?}"), 1),
            Err(trouble) => {
                crowd.note(&trouble, "caller");
                if is_steady(self.number) && is_steady(other) {
                    // No connection has broken on its way.
                    crowd.tally.add("unexplained", 1);
                    let from = self.number;
                    let text = format!("{from} to {other}: {deed:?} of {plan:?}: {trouble:?}");
                    crowd.must_not_be(text);
                }
            }
        }
    }

    fn end_session(&self, session: &Session, random: &mut Random) {
        if random.below(2) == 0 {
            self.crowd.tally.add("ended:abort", 1);
            session.abort();
        } else {
            self.crowd.tally.add("ended:close", 1);
            // Streams that do not end in time are cut.
            let _ = session.close();
        }
    }

    fn set_calm(&self, calm: bool) {
        if let Some(cutter) = &self.cutter {
            cutter.set_calm(calm);
        }
    }
}

/// The process: its role is `hub address, first client, how many`.
pub fn run(hub: SocketAddr, numbers: std::ops::Range<usize>, settings: Settings) -> io::Result<()> {
    let crowd = Arc::new(Crowd {
        gate: Gate::default(),
        pattern: Pattern::new(1),
        tally: Arc::default(),
        wrong: Mutex::default(),
    });
    let clients: Vec<Client> = numbers
        .map(|number| Client::join(hub, number, &settings, &crowd))
        .collect();
    process::tell("ready")?;
    thread::scope(|scope| {
        for client in &clients {
            for caller in 0..CALLERS {
                let thread = thread::Builder::new().name(format!("caller-{}", client.number));
                let call = move || client.call_others(caller, settings.pace);
                thread.spawn_scoped(scope, call).expect("a thread");
            }
        }
        for command in process::commands() {
            match &*command {
                "go" => {
                    clients.iter().for_each(|client| client.set_calm(false));
                    crowd.gate.open();
                }
                "pause" => process::tell(pause(&clients, &crowd))?,
                "count" => process::tell(crowd.tally.counts())?,
                "wrong" => {
                    let wrong = crowd.wrong.lock().clone();
                    process::tell(serde_json::json!(wrong))?;
                }
                _ => break,
            }
        }
        crowd.gate.end();
        for client in &clients {
            let _ = client.wire.close();
        }
        process::tell("closed")
    })
}

/// Has all callers come to an end, and all clients have a session.
fn pause(clients: &[Client], crowd: &Crowd) -> String {
    clients.iter().for_each(|client| client.set_calm(true));
    match crowd.gate.clear(PATIENCE) {
        0 => {}
        busy => return format!("{busy} calls do not end"),
    }
    for client in clients {
        if client.wire.wait_session(PATIENCE).is_err() {
            return format!("client {} does not come back", client.number);
        }
    }
    "paused".into()
}
