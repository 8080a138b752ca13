//! A server that sends each command typed on its keyboard to every connected
//! client. The clients run it and send back its output.
//!
//! ```text
//! cargo run --release --example keyboard -- server
//! cargo run --release --example keyboard -- client --id box-1
//! ```

mod support;

use clap::Subcommand;
use std::{
    io::{self, BufRead},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};
use support::{
    command::{self, send_output},
    messages::{print_message, read_text},
    output::{print_line, say},
    stop::Stop,
};
use wirenet::{Session, Stream, Wire};

/// How long a command may keep running after the program was asked to stop.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest command, in bytes.
const MAX_COMMAND: u64 = 64 << 10;

/// Runs the commands typed at the server on every client.
///
/// The server reads lines from its standard input. For each line it opens the
/// stream `shell` in every session, sends the line as one message, and prints the
/// one message that it gets back. The client RUNS THE LINE IN A SHELL, with its own
/// privileges. That is safe only on a single machine: anyone who controls the
/// server controls the client's account. So the client refuses servers on other
/// machines. Either side can be the go-wirenet example of the same name, whose
/// client answers without reading.
#[derive(Subcommand)]
enum Role {
    /// Reads commands until its input ends or it is stopped
    Server,
    /// Runs the commands until stopped
    Client {
        /// The client's identification
        #[arg(long, default_value = "client")]
        id: String,
        /// The client's token, which the server ignores
        #[arg(long, default_value = "token")]
        token: String,
    },
}

fn main() -> ExitCode {
    support::run_role::<8976, Role>(|role, addr, stop| match role {
        Role::Server => server(addr, stop),
        Role::Client { id, token } => client(addr, id, token, stop),
    })
}

// -- the server --

fn server(addr: String, stop: &Stop) -> io::Result<()> {
    let (input_ended, ended) = mpsc::channel();
    let wire = Wire::mount(addr)
        .session_close_timeout(CLOSE_TIMEOUT)
        // go-wirenet clients end their message by closing the stream.
        .takes_unmarked_end(true)
        .on_session_open(|session| say!("joined: {}", Client(session)))
        .on_session_close(|session| say!("left: {}", Client(session)))
        .on_connect({
            let stop = stop.clone();
            move |wire| {
                let (wire, stop, ended) = (wire.clone(), stop.clone(), input_ended.clone());
                // Reading a terminal cannot be interrupted, so no thread waits
                // for this one.
                thread::spawn(move || {
                    // The receiver is gone if the program was stopped before.
                    let _ = ended.send(read_commands(&wire));
                    stop.request();
                });
            }
        });
    support::serve(wire, stop)?;
    ended.try_recv().unwrap_or(Ok(()))
}

fn read_commands(wire: &Wire) -> io::Result<()> {
    print_line!("enter commands:")?;
    for line in io::stdin().lock().split(b'\n') {
        let Ok(line) = String::from_utf8(line?) else {
            print_line!("the command is not UTF-8, so no client can run it")?;
            continue;
        };
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() {
            continue;
        }
        let sessions = wire.sessions();
        if sessions.is_empty() {
            print_line!("no client is connected to run {line:?}")?;
        }
        // In parallel, because a client may be slow or never answer.
        thread::scope(|scope| {
            for session in &sessions {
                scope.spawn(|| {
                    if let Err(error) = execute(session, line) {
                        say!("{}: error: {error}", Client(session));
                    }
                });
            }
        });
    }
    Ok(())
}

fn execute(session: &Session, command: &str) -> io::Result<()> {
    let stream = session.open_stream("shell")?;
    stream.write_message(command)?;
    print_line!("{} on {command:?}:", Client(session))?;
    print_message(&stream)?;
    stream.close()
}

/// Displays the client of a session.
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
    support::stay_connected(wire, stop)
}

fn answer(stream: &mut Stream) -> io::Result<()> {
    let is_local = |addr: std::net::SocketAddr| addr.ip().to_canonical().is_loopback();
    if !stream.session().peer_addr().is_some_and(is_local) {
        let text = "commands are accepted only from a server on this machine";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let command = read_text(stream, MAX_COMMAND)?;
    print_line!("running {:?}", command.trim_end())?;
    send_output(command::shell(&command), stream)
}
