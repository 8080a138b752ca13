//! A process with several clients: each offers streams, and has threads that call other
//! clients.

use super::{
    CLIENTS, PATIENCE, Settings, TOKEN,
    calls::{self, Action, LARGEST},
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

/// Threads of a client that call other clients.
const CALLERS: usize = 2;

/// A client with an unreliable connection ends its session itself in one of this many
/// calls.
const SESSION_ENDS: usize = 100;

/// The maximum of unexpected errors that are listed.
const MAX_LISTED: usize = 20;

/// The state that all clients of the process share.
pub struct Crowd {
    pub gate: Gate,
    pub pattern: Pattern,
    tally: Arc<Tally>,
    /// Errors that must not occur.
    wrong: Mutex<Vec<String>>,
}

pub struct Client {
    pub crowd: Arc<Crowd>,
    number: usize,
    wire: Wire,
    cutter: Option<Cutter>,
}

/// Returns whether the client's connection is reliable. That of every other client
/// breaks repeatedly.
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

    /// Records a handler's outcome, and returns its result.
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
                self.list_wrong(format!("{place}: {text}"));
            }
            Trouble::Failed(_) => self.tally.add(&format!("failed:{place}"), 1),
        }
    }

    fn list_wrong(&self, text: String) {
        let mut wrong = self.wrong.lock();
        if wrong.len() < MAX_LISTED {
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
            let mut action = Action::choose(&mut random);
            let mut plan = Plan::choose(&mut random);
            if std::mem::take(&mut first) && self.number < 2 {
                // So that even a short test has some of the largest messages.
                (action, plan.size) = (Action::Push, LARGEST);
            }
            let Ok(session) = self.wire.wait_session(Duration::from_secs(1)) else {
                self.crowd.tally.add("disconnected", 1);
                continue;
            };
            if !is_steady(self.number) && random.below(SESSION_ENDS) == 0 {
                self.end_session(&session, &mut random);
                continue;
            }
            let outcome = calls::call(self, &session, &name_of(other), action, &plan);
            self.judge(other, action, &plan, outcome);
            self.crowd
                .gate
                .linger(Duration::from_millis(random.below(2 * pace + 1) as u64));
        }
    }

    fn judge(&self, other: usize, action: Action, plan: &Plan, outcome: Result<(), Trouble>) {
        let crowd = &self.crowd;
        match outcome {
            Ok(()) => crowd.tally.add(&format!("done:{action:?}"), 1),
            Err(trouble) => {
                crowd.note(&trouble, "caller");
                if is_steady(self.number) && is_steady(other) {
                    // No connection on its way has broken.
                    crowd.tally.add("unexplained", 1);
                    let from = self.number;
                    let text = format!("{from} to {other}: {action:?} of {plan:?}: {trouble:?}");
                    crowd.list_wrong(text);
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
            // It fails if streams are cut.
            let _ = session.close();
        }
    }

    fn set_calm(&self, calm: bool) {
        if let Some(cutter) = &self.cutter {
            cutter.set_calm(calm);
        }
    }
}

/// Runs the process with the clients of these numbers.
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
        let all =
            (0..CALLERS).flat_map(|caller| clients.iter().map(move |client| (client, caller)));
        for (client, caller) in all {
            let pace = settings.pace;
            thread::Builder::new()
                .name(format!("caller-{}-{caller}", client.number))
                .spawn_scoped(scope, move || client.call_others(caller, pace))
                .expect("a thread");
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

/// Waits until all callers are idle and all clients have a session.
fn pause(clients: &[Client], crowd: &Crowd) -> String {
    clients.iter().for_each(|client| client.set_calm(true));
    match crowd.gate.clear(PATIENCE) {
        0 => {}
        busy => return format!("{busy} calls have not ended"),
    }
    for client in clients {
        if client.wire.wait_session(PATIENCE).is_err() {
            return format!("client {} has not reconnected", client.number);
        }
    }
    "paused".into()
}
