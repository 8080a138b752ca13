//! What all examples share: the `--addr` option, output, logging, error reporting,
//! and a graceful stop on a signal.

#![allow(dead_code, reason = "no example uses all of it")]

pub mod command;
pub mod listen;
pub mod messages;
pub mod output;
pub mod persistent;
pub mod random;
pub mod signals;
pub mod stop;
#[cfg(feature = "tls")]
pub mod tls_options;
#[cfg(not(feature = "tls"))]
#[path = "tls_options_disabled.rs"]
pub mod tls_options;

use clap::{Parser, Subcommand};
use output::say;
use std::{
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    time::Duration,
};
use stop::Stop;
use wirenet::{Builder, Error, Session, Wire};

// These are not doc comments because clap would show them as the program's help.

// The address that an example listens at or connects to.
#[derive(clap::Args)]
pub struct Addr<const PORT: u16> {
    /// The server's address; with port 0, the server picks a free port
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        default_value_t = format!("127.0.0.1:{PORT}")
    )]
    pub addr: String,
}

// The arguments of an example whose only option besides its role's is --addr.
#[derive(Parser)]
#[command(after_long_help = SIGNALS)]
struct Args<const PORT: u16, Role: Subcommand> {
    #[command(flatten)]
    addr: Addr<PORT>,
    #[command(subcommand)]
    role: Role,
}

/// Parses the command line, and runs the role it names at the address it gives.
pub fn run_role<const PORT: u16, Role: Subcommand>(
    main: impl FnOnce(Role, String, &Stop) -> io::Result<()>,
) -> ExitCode {
    let Args::<PORT, Role> {
        addr: Addr { addr },
        role,
    } = Args::parse();
    run(|stop| main(role, addr, stop))
}

/// The end of each program's `--help`.
pub const SIGNALS: &str = "\
Ctrl-C, SIGTERM and SIGHUP close all sessions gracefully. The exit status is then 0, \
unless a copy is left incomplete. A second Ctrl-C or SIGTERM ends the program at once. \
A server with a certificate reads it again on SIGHUP instead. A signal that was ignored \
when the program started, as with nohup, stays ignored. Set RUST_LOG=debug to see the \
library's log.";

/// How long to wait for the first session.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a role. Prints its error to stderr and returns the matching exit code.
///
/// An error after a signal is an effect of the signal, not a failure of the program,
/// unless [`Stop::unfinished`] returned it. The log goes to stderr too. It contains
/// warnings, or what `RUST_LOG` selects.
pub fn run(role: impl FnOnce(&Stop) -> io::Result<()>) -> ExitCode {
    output::start();
    start_log();
    let outcome = Stop::on_signal().and_then(|stop| match role(&stop) {
        Err(error) if stop.was_interrupted() && error.kind() != io::ErrorKind::Interrupted => {
            log::info!("{error}");
            Ok(())
        }
        outcome => outcome,
    });
    if let Err(error) = &outcome {
        output::complain(format_args!("error: {error}"));
    }
    output::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn start_log() {
    let style = match io::stderr().is_terminal() {
        true => "always",
        false => "never",
    };
    let options = env_logger::Env::default()
        .default_filter_or("warn")
        .default_write_style_or(style);
    env_logger::Builder::from_env(options)
        .target(env_logger::Target::Pipe(Box::new(output::Log)))
        .init();
}

/// Runs a server or a hub until a signal, then closes it.
pub fn serve(builder: Builder, stop: &Stop) -> io::Result<()> {
    let wire = builder.build()?;
    wire.start()?;
    if let Some(addr) = wire.local_addr() {
        say!("listening at {addr}");
    }
    stop.wait();
    close(&wire);
    Ok(())
}

/// Connects a client that does not reconnect when its session ends. A signal
/// closes it.
pub fn connect_once(builder: Builder, stop: &Stop) -> io::Result<(Wire, Session)> {
    let wire = builder.retry_max(0).build()?;
    stop.close_on_stop(&wire);
    let session = wire.start_within(SESSION_TIMEOUT)?;
    Ok((wire, session))
}

/// Runs a client that reconnects, until a signal. See [`reconnecting`].
pub fn stay_connected(builder: Builder, stop: &Stop) -> io::Result<()> {
    run_client(&reconnecting(builder).build()?, stop)
}

/// Makes a client reconnect when it loses its session. Failing to open the
/// first session is an error, because the address may be wrong.
pub fn reconnecting(builder: Builder) -> Builder {
    builder
        .on_connect(|_| say!("connected"))
        .retry_policy(|retry| retry.wait.filter(|_| retry.had_session))
}

/// Runs a client until it stops retrying, or until a signal.
pub fn run_client(wire: &Wire, stop: &Stop) -> io::Result<()> {
    stop.close_on_stop(wire);
    let ended = wire.connect();
    if let Err(Error::Shutdown(cut)) = &ended {
        log::warn!("{cut}");
    }
    close(wire);
    match stop.is_requested() {
        true => Ok(()),
        false => Ok(ended?),
    }
}

/// Closes a wire on request. Streams that were cut short are logged, but are no
/// error.
pub fn close(wire: &Wire) {
    if let Err(cut) = wire.close() {
        log::warn!("{cut}");
    }
}

/// Returns a function that adds `path` to an error's message.
pub fn with_path(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
