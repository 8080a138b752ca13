//! Commands typed at the server are run by every client that is there.
//!
//! ```text
//! cargo run --release --example keyboard -- server
//! cargo run --release --example keyboard -- client --id box-1
//! ```

mod support;

use clap::Subcommand;
use std::{
    io::{self, Write},
    process::ExitCode,
    thread,
    time::Duration,
};
use support::{
    command::{self, send_output},
    messages::{print_message, read_text},
    stop::Stop,
};
use wirenet::{Session, Stream, Wire};

/// How long a command may go on when the program is stopped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest command, in bytes.
const MAX_COMMAND: u64 = 64 << 10;

/// Has every client run what is typed at the server.
///
/// The server sends each line of its standard input as one message on a new
/// stream `shell` of every session, and prints the one message that comes back.
/// The client RUNS THE LINE IN A SHELL, with its own rights: that only makes sense
/// on this machine, for whoever could be the server could do anything here. So it
/// refuses servers elsewhere. Either side may be the go-wirenet example of the
/// same name, whose client answers without reading. Ctrl-C and SIGTERM close
/// properly. RUST_LOG=debug shows what the library does.
#[derive(Subcommand)]
enum Role {
    /// Reads commands, until its input ends or it is stopped
    Server,
    /// Runs them, until it is stopped
    Client {
        /// What the client calls itself
        #[arg(long, default_value = "client")]
        id: String,
        /// What it shows the server, which does not look at it
        #[arg(long, default_value = "token")]
        token: String,
    },
}

fn main() -> ExitCode {
    support::play::<8976, Role>(|role, addr, stop| match role {
        Role::Server => server(addr, stop),
        Role::Client { id, token } => client(addr, id, token, stop),
    })
}

// -- the server --

fn server(addr: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::mount(addr)
        .session_close_timeout(CLOSE_TIMEOUT)
        // A client written with go-wirenet ends its only message by closing the stream.
        .takes_unmarked_end(true)
        .on_session_open(|session| println!("joined: {}", Client(session)))
        .on_session_close(|session| println!("left: {}", Client(session)))
        .on_connect({
            let stop = stop.clone();
            move |wire| {
                let (wire, stop) = (wire.clone(), stop.clone());
                // A read of the terminal cannot be interrupted: nobody waits for it.
                thread::spawn(move || {
                    if let Err(error) = read_commands(&wire) {
                        log::error!("{error}");
                    }
                    stop.request();
                });
            }
        });
    support::serve(wire, stop)
}

fn read_commands(wire: &Wire) -> io::Result<()> {
    writeln!(io::stdout(), "enter commands:")?;
    for line in io::stdin().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let sessions = wire.sessions();
        if sessions.is_empty() {
            writeln!(io::stdout(), "nobody is there to run {line:?}")?;
        }
        // All at once: one may take long, or never answer.
        thread::scope(|scope| {
            for session in &sessions {
                scope.spawn(|| {
                    if let Err(error) = execute(session, &line) {
                        println!("{}: error: {error}", Client(session));
                    }
                });
            }
        });
    }
    Ok(())
}

fn execute(session: &Session, command: &str) -> io::Result<()> {
    let stream = session.open_stream("shell")?;
    stream.write_message(command.as_bytes())?;
    writeln!(io::stdout(), "{} on {command:?}:", Client(session))?;
    print_message(&stream)?;
    stream.close()
}

/// Shows who a session is with.
struct Client<'a>(&'a Session);

impl std::fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = String::from_utf8_lossy(self.0.identification());
        write!(f, "{id:?} in session {}", self.0.id())
    }
}

// -- the client --

fn client(addr: String, id: String, token: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::join(addr)
        .session_close_timeout(CLOSE_TIMEOUT)
        .identification(id, token)
        .stream("shell", answer);
    support::stay_joined(wire, stop)
}

fn answer(stream: &mut Stream) -> io::Result<()> {
    let here = |addr: std::net::SocketAddr| addr.ip().to_canonical().is_loopback();
    if !stream.session().peer_addr().is_some_and(here) {
        let text = "commands are run for a server on this machine alone";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let command = read_text(stream, MAX_COMMAND)?;
    writeln!(io::stdout(), "running {:?}", command.trim_end())?;
    send_output(command::shell(&command), stream)
}
