//! What the examples do alike: their address, log output, errors, Ctrl-C and
//! SIGTERM.

#![allow(dead_code, reason = "each example uses a part of it")]

pub mod command;
pub mod messages;
pub mod random;
#[cfg(feature = "tls")]
pub mod secure;
#[cfg(not(feature = "tls"))]
#[path = "insecure.rs"]
pub mod secure;
pub mod stop;

use clap::{Parser, Subcommand};
use std::{io, path::Path, process::ExitCode, time::Duration};
use stop::Stop;
use wirenet::{Builder, Error, Session, Wire};

// Not doc comments: clap would take them for the program's.
// The address that an example listens at or connects to.
#[derive(clap::Args)]
pub struct Addr<const PORT: u16> {
    /// Where the server listens; on a server, port 0 is any free port
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        default_value_t = format!("127.0.0.1:{PORT}")
    )]
    pub addr: String,
}

// The arguments of an example that takes no others but its role's.
#[derive(Parser)]
struct Args<const PORT: u16, Role: Subcommand> {
    #[command(flatten)]
    addr: Addr<PORT>,
    #[command(subcommand)]
    role: Role,
}

/// Runs an example in the role that the command line says, at its address.
pub fn play<const PORT: u16, Role: Subcommand>(
    play: impl FnOnce(Role, String, &Stop) -> io::Result<()>,
) -> ExitCode {
    let Args::<PORT, Role> {
        addr: Addr { addr },
        role,
    } = Args::parse();
    run(|stop| play(role, addr, stop))
}

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

/// Runs a server or a hub until Ctrl-C or SIGTERM, and closes it.
pub fn serve(builder: Builder, stop: &Stop) -> io::Result<()> {
    let wire = builder.build()?;
    wire.start()?;
    if let Some(addr) = wire.local_addr() {
        println!("listening at {addr}");
    }
    stop.wait();
    close(&wire);
    Ok(())
}

/// Connects a client that has one thing to do, and does not come back once its
/// session has ended. Ctrl-C and SIGTERM close it.
pub fn join(builder: Builder, stop: &Stop) -> io::Result<(Wire, Session)> {
    let wire = builder.retry_max(0).build()?;
    stop.closes(&wire);
    wire.start()?;
    let session = wire.wait_session(SESSION_TIMEOUT)?;
    Ok((wire, session))
}

/// Runs a client until Ctrl-C or SIGTERM, as [`coming_back`] says.
pub fn stay_joined(builder: Builder, stop: &Stop) -> io::Result<()> {
    run_client(&coming_back(builder).build()?, stop)
}

/// A client that comes back when it has lost its session. If the first one
/// cannot be had, that is an error: the address may be wrong, and somebody may
/// be looking.
pub fn coming_back(builder: Builder) -> Builder {
    builder
        .on_connect(|_| println!("connected"))
        .retry_policy(|retry| retry.wait.filter(|_| retry.stood))
}

/// Runs a client until it gives up, or until Ctrl-C or SIGTERM.
pub fn run_client(wire: &Wire, stop: &Stop) -> io::Result<()> {
    stop.closes(wire);
    let ended = wire.connect();
    if let Err(Error::Shutdown(cut)) = &ended {
        log::warn!("{cut}");
    }
    close(wire);
    match stop.requested() {
        true => Ok(()),
        false => Ok(ended?),
    }
}

/// Closes a wire that was to stop: what that has cut is worth telling, and no
/// error.
pub fn close(wire: &Wire) {
    if let Err(cut) = wire.close() {
        log::warn!("{cut}");
    }
}

/// Adds the path that an error is about.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
