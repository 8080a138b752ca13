//! The hub's process.

use super::{PATIENCE, Settings, TOKEN};
use crate::{
    counts::{Counts, Tally},
    figures,
    support::{process, threads},
};
use crossbeam_channel::never;
use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use wirenet::Wire;

/// A thread of the pool that has nothing to do ends after 10 s, of which
/// nothing tells; large buffers that nobody needs are let go of before.
const IDLE: Duration = Duration::from_secs(11);

pub fn run(settings: Settings) -> io::Result<()> {
    let errors: Arc<Tally> = Arc::default();
    let told = Arc::clone(&errors);
    let hub = Wire::hub("127.0.0.1:0")
        .token_validator(|_, _, token| match token == TOKEN.as_bytes() {
            true => Ok(()),
            false => Err("not one of us".into()),
        })
        .on_error(move |error| told.add(&format!("{:?}", error.operation), 1));
    let hub = settings.timeouts(hub).build()?;
    hub.start()?;
    process::tell(hub.local_addr().expect("it listens"))?;
    for command in process::commands() {
        let Some(sessions) = command.strip_prefix("rest ") else {
            break;
        };
        let sessions = sessions.parse().expect("a number");
        process::tell(rest(&hub, sessions))?;
    }
    Ok(())
}

/// Waits until so many sessions are there, and nothing goes on in them; what
/// the process takes then.
fn rest(hub: &Wire, sessions: usize) -> Counts {
    let deadline = Instant::now() + PATIENCE;
    let is_at_rest =
        || hub.sessions().len() == sessions && threads::named("wirenet-session").len() == sessions;
    while !is_at_rest() && Instant::now() < deadline {
        thread::yield_now();
    }
    if sessions > 0 {
        // Nobody sends: this is how long it takes.
        let _ = never::<()>().recv_timeout(IDLE);
    }
    threads::await_none("wirenet-handler");
    threads::await_none("wirenet-writer");
    let mut figures = figures::own();
    figures.set("sessions", hub.sessions().len() as u64);
    figures
}
