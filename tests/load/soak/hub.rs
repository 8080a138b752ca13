//! The hub's process.

use super::{PATIENCE, Settings, TOKEN};
use crate::{
    counts::Counts,
    figures,
    support::{process, threads},
    waiters,
};
use std::{io, thread, time::Instant};
use wirenet::Wire;

/// More threads than the hub has at any time.
const THREADS: usize = 1_000;

pub fn run(settings: Settings) -> io::Result<()> {
    waiters::grow_table(THREADS);
    let hub = Wire::hub("127.0.0.1:0")
        .token_validator(|_, _, token| match token == TOKEN.as_bytes() {
            true => Ok(()),
            false => Err("wrong token".into()),
        })
        .on_error(|_| ());
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

/// Waits until the hub has this many sessions, and all are idle. Returns the figures of
/// the process.
fn rest(hub: &Wire, sessions: usize) -> Counts {
    let deadline = Instant::now() + PATIENCE;
    let is_at_rest =
        || hub.sessions().len() == sessions && threads::named("wirenet-session").len() == sessions;
    while !is_at_rest() && Instant::now() < deadline {
        thread::yield_now();
    }
    let mut figures = match sessions {
        0 => {
            threads::await_none("wirenet-handler");
            figures::trimmed()
        }
        _ => figures::at_rest(),
    };
    figures.set("sessions", hub.sessions().len() as u64);
    figures
}
