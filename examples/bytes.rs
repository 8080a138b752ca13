//! Many sessions at once: a client keeps a hundred sessions open, and each
//! reads 1 MiB from the server twice a second.
//!
//! ```text
//! cargo run --release --example bytes -- server
//! cargo run --release --example bytes -- client
//! ```

mod support;

use clap::Subcommand;
use std::{
    io::{self, Read},
    process::ExitCode,
    thread,
    time::Duration,
};
use support::{output::print_line, random::RandomBytes, stop::Stop};
use wirenet::{Session, Wire};

const LEN: usize = 1 << 20;
const PACE: Duration = Duration::from_millis(500);

/// Many sessions at once: each reads 1 MiB from the server repeatedly.
///
/// The server handles the stream `bytes`: it sends one message of 1 MiB of random
/// bytes. The client keeps many sessions, and each opens that stream twice a
/// second. Either side can be the go-wirenet example of the same name.
#[derive(Subcommand)]
enum Role {
    /// Sends the bytes, until stopped
    Server,
    /// Reads the bytes in many sessions
    Client(ClientArgs),
}

#[derive(clap::Args)]
struct ClientArgs {
    /// The number of sessions
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    sessions: u32,
    /// How many times each session reads the bytes [default: until stopped]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
}

fn main() -> ExitCode {
    support::run_role::<8765, Role>(|role, addr, stop| match role {
        Role::Server => server(addr, stop),
        Role::Client(args) => client(&addr, &args, stop),
    })
}

fn server(addr: String, stop: &Stop) -> io::Result<()> {
    let mut payload = vec![0; LEN];
    RandomBytes::new().read_exact(&mut payload)?;
    let wire = Wire::mount(addr).stream("bytes", move |stream| stream.write_message(&payload));
    support::serve(wire, stop)
}

fn client(addr: &str, args: &ClientArgs, stop: &Stop) -> io::Result<()> {
    let mut sessions = Vec::new();
    for _ in 0..args.sessions {
        let (wire, session) = support::connect_once(Wire::join(addr), stop)?;
        print_line!("open session {}", session.id())?;
        sessions.push((wire, session));
    }
    thread::scope(|scope| {
        let spawn = |(wire, session)| scope.spawn(move || run(&wire, &session, args.rounds, stop));
        let threads: Vec<_> = sessions.into_iter().map(spawn).collect();
        let mut outcomes = threads.into_iter().map(|thread| thread.join());
        outcomes.try_for_each(|outcome| outcome.expect("no thread panics"))
    })
}

/// Runs one session to its end. The first session to fail stops the others.
fn run(wire: &Wire, session: &Session, rounds: Option<u64>, stop: &Stop) -> io::Result<()> {
    let outcome = read_rounds(session, rounds, stop);
    wire.close()?;
    if stop.is_requested() {
        return Ok(());
    }
    outcome.inspect_err(|_| stop.request())
}

fn read_rounds(session: &Session, rounds: Option<u64>, stop: &Stop) -> io::Result<()> {
    for round in 1.. {
        let mut stream = session.open_stream("bytes")?;
        let count = io::copy(&mut stream, &mut io::sink())?;
        stream.close()?;
        print_line!("{} read {count} bytes", session.id())?;
        if rounds == Some(round) || stop.wait_for(PACE) {
            break;
        }
    }
    Ok(())
}
