//! A client that reconnects whenever it loses its server, and resumes where it
//! stopped.
//!
//! ```text
//! cargo run --release --example reconnect -- server    # stop and restart it
//! cargo run --release --example reconnect -- client
//! ```

mod support;

use clap::Subcommand;
use std::{
    io::{self, BufRead, Read, Write},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use support::{
    messages::pause,
    output::{print_line, say},
    stop::Stop,
};
use wirenet::{Session, Stream, Wire};

/// The index of the last greeting.
const LAST: u32 = 20;
/// The longest greeting that the client accepts, in bytes.
const MAX_GREETING: u64 = 64;

/// A client that reconnects to its server and resumes where it stopped.
///
/// The server handles the stream `sayHello`: it reads one message, the index to
/// start with, and writes a greeting for each index up to 20. The client reconnects
/// whenever it loses the server, and asks for the greetings that it does not have
/// yet. Either side can be the go-wirenet example of the same name.
#[derive(Subcommand)]
enum Role {
    /// Sends greetings until stopped
    Server {
        /// Milliseconds between two greetings
        #[arg(long, value_name = "MS", default_value_t = 1000)]
        interval_ms: u64,
    },
    /// Reads all greetings, then exits
    Client(ClientArgs),
}

#[derive(clap::Args)]
struct ClientArgs {
    /// How many times in a row to retry a failed connection; 0 disables retries
    #[arg(long, value_name = "N", default_value_t = 1000)]
    tries: u32,
    /// The longest wait before the first retry, in milliseconds; doubles with
    /// each further retry
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    wait_ms: u64,
    /// The longest wait before any retry, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    max_wait_ms: u64,
}

fn main() -> ExitCode {
    support::run_role::<9876, Role>(|role, addr, stop| match role {
        Role::Server { interval_ms } => server(addr, Duration::from_millis(interval_ms), stop),
        Role::Client(args) => client(addr, &args, stop),
    })
}

// -- the server --

fn server(addr: String, interval: Duration, stop: &Stop) -> io::Result<()> {
    let wire = Wire::mount(addr)
        .stream("sayHello", move |stream| say_hello(stream, interval))
        .on_session_open(|session| say!("open session {}", session.id()))
        .on_session_close(|session| say!("close session {}", session.id()));
    support::serve(wire, stop)
}

fn say_hello(stream: &mut Stream, interval: Duration) -> io::Result<()> {
    let mut start = [0; 4];
    stream.read_exact(&mut start)?;
    let start = u32::from_le_bytes(start);
    for index in start..=LAST {
        if index > start && !pause(stream, interval) {
            // An error aborts the stream, so that the client sees that
            // greetings are missing.
            return Err(io::Error::other("stopped before the last greeting"));
        }
        stream.write_all(format!("{index}. Hello from server! ").as_bytes())?;
    }
    Ok(())
}

// -- the client --

fn client(addr: String, args: &ClientArgs, stop: &Stop) -> io::Result<()> {
    // The next index to ask for. It outlives the sessions.
    let reached = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&reached);
    let waits = [args.wait_ms, args.max_wait_ms].map(Duration::from_millis);
    let wire = Wire::join(addr)
        .session_close_timeout(Duration::from_secs(1))
        .retry_max(args.tries)
        .retry_wait(waits[0], waits[1])
        .on_session_open(move |session| {
            say!("open session {}", session.id());
            if let Err(error) = read_greetings(session, &counter) {
                log::warn!("session {}: {error}", session.id());
            }
            // If greetings are still missing, the client reconnects by itself.
            let cut = match counter.load(Ordering::Acquire) > LAST {
                true => session.close_wire(),
                false => session.close(),
            };
            if let Err(cut) = cut {
                log::warn!("{cut}");
            }
        })
        .on_session_close(|session| say!("close session {}", session.id()));
    support::run_client(&wire.build()?, stop)?;
    match reached.load(Ordering::Acquire) {
        count if count > LAST => say!("data complete!"),
        _ if stop.is_requested() => {}
        count => {
            let text = format!("only {count} of {} greetings were received", LAST + 1);
            return Err(io::Error::other(text));
        }
    }
    Ok(())
}

/// Reads the greetings that are still missing, in a new session.
fn read_greetings(session: &Session, reached: &AtomicU32) -> io::Result<()> {
    let stream = session.open_stream("sayHello")?;
    let start = reached.load(Ordering::Acquire);
    stream.write_message(start.to_le_bytes())?;
    let mut reader = stream.reader();
    for index in start..=LAST {
        let greeting = read_greeting(&mut reader)?;
        if greeting != format!("{index}. Hello from server!") {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("greeting {index} is {greeting:?}"),
            ));
        }
        print_line!("{greeting}")?;
        reached.store(index + 1, Ordering::Release);
    }
    // Wait until the server has ended the stream too, so that closing the
    // session does not cut it short.
    io::copy(&mut reader, &mut io::sink())?;
    Ok(())
}

/// Reads up to the exclamation mark, and trims the spaces around the greeting.
fn read_greeting(reader: impl BufRead) -> io::Result<String> {
    let mut greeting = Vec::new();
    reader.take(MAX_GREETING).read_until(b'!', &mut greeting)?;
    Ok(String::from_utf8_lossy(&greeting).trim().into())
}
