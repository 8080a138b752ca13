//! What the examples do alike: log output, errors, Ctrl-C and SIGTERM.

#![allow(dead_code, reason = "each example uses a part of it")]

pub mod random;
pub mod stop;

use std::{io, path::Path, process::ExitCode, time::Duration};
use stop::Stop;
use wirenet::{Builder, Session, Wire};

/// Long enough for a session that stands already to be seen.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs an example's role; its error goes to stderr and into the exit status.
///
/// The log goes to stderr too. It shows warnings, or what `RUST_LOG` says.
pub fn run(role: impl FnOnce(&Stop) -> io::Result<()>) -> ExitCode {
    let level = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(level).init();
    let outcome = Stop::on_signal().and_then(|stop| {
        role(&stop).map_err(|error| match stop.interrupted() {
            true => io::Error::other("interrupted"),
            false => error,
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a server until Ctrl-C or SIGTERM, and closes it.
pub fn serve(builder: Builder, stop: &Stop) -> io::Result<()> {
    let wire = builder.on_error(|error| log::warn!("{error}")).build()?;
    wire.start()?;
    if let Some(addr) = wire.local_addr() {
        println!("listening at {addr}");
    }
    stop.wait();
    Ok(wire.close()?)
}

/// Connects a client, which Ctrl-C and SIGTERM close.
pub fn join(builder: Builder, stop: &Stop) -> io::Result<(Wire, Session)> {
    let wire = builder.build()?;
    stop.closes(&wire);
    wire.start()?;
    let session = wire.wait_session(SESSION_TIMEOUT)?;
    Ok((wire, session))
}

/// Adds the path that an error is about.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
