//! A server that calls its clients as soon as they connect. One of the clients
//! calls the server back before it answers.
//!
//! ```text
//! cargo run --release --example shell -- server
//! cargo run --release --example shell -- host_a   # or: host_b
//! ```

mod support;

use clap::Subcommand;
use std::{env, io, process::ExitCode, time::Duration};
use support::{
    command::{self, send_output},
    messages::{print_messages, read_text},
    output::print_line,
    stop::Stop,
};
use wirenet::{Session, Stream, Wire};

/// How long a command may keep running after the program was asked to stop.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest text that a host accepts from the server, in bytes.
const MAX_TEXT: u64 = 4096;

/// A server that asks its clients to run commands, and prints the output.
///
/// The clients alone choose the commands: host A handles the streams `ping` and
/// `hostA:envPath`, host B `ifconfig` and `hostB:envPath`. The server opens every
/// stream that a new session offers, one after another, and prints the messages.
/// Then it closes the session, and the client exits. Before host A answers `ping`,
/// it opens the server's stream `amount`. Either side can be the go-wirenet example
/// of the same name.
#[derive(Subcommand)]
enum Role {
    /// Calls every client, until stopped
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
    /// The command whose output the host sends
    #[arg(
        long,
        value_name = "LINE",
        default_value = "ifconfig 2>/dev/null || ip addr"
    )]
    command: String,
}

fn main() -> ExitCode {
    support::run_role::<9099, Role>(|role, addr, stop| match role {
        Role::Server => server(addr, stop),
        Role::HostA(host) => host_a(addr, host.command, stop),
        Role::HostB(host) => host_b(addr, host.command, stop),
    })
}

// -- the server --

fn server(addr: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::mount(addr)
        // go-wirenet hosts end their message by closing the stream.
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
        print_line!("calling {name:?} of {}", session.id())?;
        let stream = session.open_stream(&name)?;
        print_messages(&stream)?;
        print_line!("end of {name:?}")?;
    }
    Ok(())
}

// -- the hosts --

fn host_a(addr: String, command: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::join(addr)
        .session_close_timeout(CLOSE_TIMEOUT)
        .stream("ping", move |stream| {
            let amount = read_amount(stream.session())?;
            print_line!("the server says {}", amount.trim_end())?;
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
    stream.write_message(format!("{path}\n"))
}
