//! Runs an attack and measures it.

use crate::{
    honest_client::{HonestClient, Trips},
    server::{Place, Server, Setup},
    support::in_time,
};
use std::{
    fmt, thread,
    time::{Duration, Instant},
};

/// Round trips before the attack.
const BEFORE: usize = 100;

/// An attack, and the most that it may cost.
pub struct Attack {
    /// A description in one line.
    pub name: &'static str,
    /// The option that limits it, and its value in the test.
    pub limit: &'static str,
    pub setup: &'static Setup,
    /// The most bytes by which the server's heap may grow.
    pub memory: usize,
}

/// What an attack works on.
pub struct Stage<'a> {
    pub server: &'a Server,
    pub honest: &'a HonestClient,
    pub place: Place,
}

impl Attack {
    /// Runs `act` against a server at each of these places. It asserts what
    /// happens, and returns a summary for the table. The honest client makes
    /// round trips until `act` returns.
    pub fn run(
        self,
        places: &'static [Place],
        act: impl Fn(&Stage<'_>) -> String + Send + 'static,
    ) {
        in_time(move || {
            for place in places {
                let server = Server::start(*place, self.setup);
                println!("{}", self.row(&server, &act));
            }
        });
    }

    /// Like [`run`](Self::run), but at all places at once: for attacks that mostly wait.
    pub fn run_at_once(
        self,
        places: &'static [Place],
        act: impl Fn(&Stage<'_>) -> String + Send + Sync + 'static,
    ) {
        in_time(move || {
            let at = |place: &Place| {
                let server = Server::start(*place, self.setup);
                self.row(&server, &act).to_string()
            };
            thread::scope(|scope| {
                let running: Vec<_> = places
                    .iter()
                    .map(|place| scope.spawn(|| at(place)))
                    .collect();
                for row in running {
                    println!("{}", row.join().expect("the attack is harmless"));
                }
            });
        });
    }

    /// Runs `act` against a server that is already running.
    pub fn row(&self, server: &Server, act: impl Fn(&Stage<'_>) -> String) -> Row<'_> {
        let honest = HonestClient::join(server);
        let before = honest.trips(BEFORE);
        server.mark();
        let usage = server.usage();
        let began = Instant::now();
        let stage = Stage {
            server,
            honest: &honest,
            place: server.place,
        };
        let (outcome, during) = honest.during(|| act(&stage));
        let took = began.elapsed();
        let after = server.usage();
        let grown = after.peak.saturating_sub(usage.heap);
        let at = server.place;
        let most = self.memory;
        assert!(
            grown <= most,
            "{} ({at}): {grown} bytes, not {most}",
            self.name
        );
        Row {
            attack: self,
            place: at,
            outcome,
            grown,
            resident: after.resident.saturating_sub(usage.resident),
            cpu: after.cpu - usage.cpu,
            took,
            before,
            during,
        }
    }
}

/// The result of an attack, as a line of the table.
pub struct Row<'a> {
    attack: &'a Attack,
    place: Place,
    outcome: String,
    grown: usize,
    resident: usize,
    cpu: Duration,
    took: Duration,
    before: Trips,
    during: Trips,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attack, place, .. } = self;
        let (grown, resident) = (self.grown.div_ceil(1024), self.resident / 1024);
        write!(f, "| {} | {place} | {} ", attack.name, attack.limit)?;
        write!(
            f,
            "| {} | {grown} KiB, resident {resident} KiB ",
            self.outcome
        )?;
        write!(f, "| {:.1?}, CPU {:.1?} ", self.took, self.cpu)?;
        write!(f, "| {} | {} |", self.before, self.during)
    }
}
