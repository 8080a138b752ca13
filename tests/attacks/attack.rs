//! Carries out an attack and measures it.

use crate::{
    honest::{Honest, Trips},
    server::{Place, Server, Setup},
    support::in_time,
};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// Round trips before the attack.
const BEFORE: usize = 100;

/// An attack, and what it may cost.
pub struct Attack {
    /// In a line.
    pub name: &'static str,
    /// The option that bounds it, and its value here.
    pub limit: &'static str,
    pub setup: &'static Setup,
    /// Bytes by which what the server has allocated may grow.
    pub memory: usize,
}

/// Where an attack takes place.
pub struct Stage<'a> {
    pub server: &'a Server,
    pub honest: &'a Honest,
    pub place: Place,
}

impl Attack {
    /// Has `act` attack a server at each of these places; it asserts what
    /// happens, and says it in a few words. The honest client's round trips go
    /// on until it is done.
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

    /// The same at a server that is there already.
    pub fn row(&self, server: &Server, act: impl Fn(&Stage<'_>) -> String) -> Row<'_> {
        let honest = Honest::join(server);
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

/// What an attack did, as a line of a table.
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
