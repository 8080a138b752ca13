//! A server that calls into its clients as soon as they are there, and one of
//! them that calls back meanwhile.
//!
//! ```text
//! cargo run --release --example shell -- server
//! cargo run --release --example shell -- host_a
//! cargo run --release --example shell -- host_b
//! ```

mod support;

use clap::Subcommand;
use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use support::{
    command::{self, send_output},
    messages::{print_messages, read_text},
    stop::Stop,
};
use wirenet::{Session, Stream, Wire};

/// How long a command may go on when the program is stopped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// More than the server's text has, in bytes.
const MAX_TEXT: u64 = 4096;

/// A server that has its clients run commands, and prints what they print.
///
/// Which commands, only the clients decide: host A handles the streams `ping`
/// and `hostA:envPath`, host B `ifconfig` and `hostB:envPath`. The server opens
/// all that a new session offers, one after another, prints what comes, and
/// ends the session; with that the client ends. While it answers, host A opens
/// the stream `amount` of the server. Either side may be the go-wirenet example
/// of the same name. Ctrl-C and SIGTERM close properly. RUST_LOG=debug shows
/// what the library does.
#[derive(Subcommand)]
enum Role {
    /// Calls into every client, until it is stopped
    Server,
    /// Handles `ping` and `hostA:envPath`
    #[command(name = "host_a")]
    HostA(Host),
    /// Handles `ifconfig` and `hostB:envPath`
    #[command(name = "host_b")]
    HostB(Host),
}

#[derive(clap::Args)]
struct Host {
    /// The command whose output is sent
    #[arg(
        long,
        value_name = "LINE",
        default_value = "ifconfig 2>/dev/null || ip addr"
    )]
    command: String,
}

fn main() -> ExitCode {
    support::play::<9099, Role>(|role, addr, stop| match role {
        Role::Server => server(addr, stop),
        Role::HostA(host) => host_a(addr, host.command, stop),
        Role::HostB(host) => host_b(addr, host.command, stop),
    })
}

// -- the server --

fn server(addr: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::mount(addr)
        // A host written with go-wirenet ends its only message by closing the stream.
        .takes_unmarked_end(true)
        .stream("amount", |stream| stream.write_message(b"\"amount\"\n"))
        .on_session_open(|session| {
            let outcome = call_all(session).and_then(|()| Ok(session.close()?));
            if let Err(error) = outcome {
                log::warn!("session {}: {error}", session.id());
            }
        });
    support::serve(wire, stop)
}

fn call_all(session: &Session) -> io::Result<()> {
    let mut names = session.stream_names().to_vec();
    names.sort();
    for name in names {
        writeln!(io::stdout(), "calling {name:?} of {}", session.id())?;
        let stream = session.open_stream(&name)?;
        print_messages(&stream)?;
        writeln!(io::stdout(), "end of {name:?}")?;
    }
    Ok(())
}

// -- the hosts --

fn host_a(addr: String, command: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::join(addr)
        .session_close_timeout(CLOSE_TIMEOUT)
        .stream("ping", move |stream| {
            let amount = read_amount(stream.session())?;
            writeln!(io::stdout(), "the server says {}", amount.trim_end())?;
            send_output(command::shell(&command), stream)
        })
        .stream("hostA:envPath", send_path);
    support::run_client(&wire.retry_max(0).build()?, stop)
}

fn host_b(addr: String, command: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::join(addr)
        .session_close_timeout(CLOSE_TIMEOUT)
        .stream("ifconfig", move |stream| {
            send_output(command::shell(&command), stream)
        })
        .stream("hostB:envPath", send_path);
    support::run_client(&wire.retry_max(0).build()?, stop)
}

fn read_amount(session: &Session) -> io::Result<String> {
    let stream = session.open_stream("amount")?;
    read_text(&stream, MAX_TEXT)
}

fn send_path(stream: &mut Stream) -> io::Result<()> {
    let path = env::var("PATH").unwrap_or_default();
    stream.write_message(format!("{path}\n").as_bytes())
}
