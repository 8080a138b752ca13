//! The server with the idle sessions, and the client processes.

use super::{PATIENCE, keep_alive};
use crate::{
    figures,
    support::{process, threads, wires::message},
};
use std::{
    fmt, io, thread,
    time::{Duration, Instant},
};
#[cfg(feature = "tls")]
use std::{
    fs,
    path::{Path, PathBuf},
};
use wirenet::{Builder, Stream, Wire};
#[cfg(feature = "tls")]
use wirenet::{TlsClient, TlsServer, load_certificates};

/// Clients of one process that connect, or close, at the same time. The server allows
/// 64 handshakes at once.
const AT_ONCE: usize = 8;

pub enum Transport {
    Tcp,
    /// TLS, with the server's certificate in this directory.
    #[cfg(feature = "tls")]
    Tls(PathBuf),
}

impl Transport {
    /// TLS, with a new certificate.
    #[cfg(feature = "tls")]
    pub fn tls(dir: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        fs::write(dir.join("server.pem"), made.cert.pem()).unwrap();
        fs::write(dir.join("server.key"), made.signing_key.serialize_pem()).unwrap();
        Self::Tls(dir.into())
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "TLS",
        }
    }

    pub fn parse(text: &str) -> Self {
        match text {
            "tcp" => Self::Tcp,
            #[cfg(feature = "tls")]
            dir => Self::Tls(dir.into()),
            #[cfg(not(feature = "tls"))]
            other => panic!("unknown transport: {other}"),
        }
    }

    fn serve(&self, server: Builder) -> Builder {
        match self {
            Self::Tcp => server,
            #[cfg(feature = "tls")]
            Self::Tls(dir) => {
                let certificates = load_certificates("server", dir).unwrap();
                server.tls(TlsServer::new(certificates).unwrap())
            }
        }
    }

    fn dial(&self, client: Builder) -> Builder {
        match self {
            Self::Tcp => client,
            #[cfg(feature = "tls")]
            Self::Tls(dir) => {
                let certificates = load_certificates("server", dir).unwrap();
                client.tls(TlsClient::pinned(certificates.fingerprint()))
            }
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            #[cfg(feature = "tls")]
            Self::Tls(dir) => dir.display().fmt(f),
        }
    }
}

pub fn server(transport: &Transport) -> io::Result<()> {
    let server = transport.serve(Wire::mount("127.0.0.1:0"));
    run_server(server.keep_alive_interval(keep_alive()))
}

/// Runs a server that answers the commands `look` and `await N` (sessions) with its
/// figures, and `close` with the time that it takes.
pub fn run_server(server: Builder) -> io::Result<()> {
    let server = server.stream("echo", echo).build()?;
    server.start()?;
    process::tell(server.local_addr().expect("it listens"))?;
    for command in process::commands() {
        match command.split_once(' ') {
            Some((_await, sessions)) => {
                await_sessions(&server, sessions.parse().expect("a number"));
                process::tell(figures::own())?;
            }
            None if command == "look" => process::tell(figures::own())?,
            None => {
                let start = Instant::now();
                // The answer lists the streams that did not end in time.
                let closed = server.close();
                let outcome = closed.map_or_else(|error| format!(", {error}"), |()| String::new());
                process::tell(format!("{:.1?}{outcome}", start.elapsed()))?;
            }
        }
    }
    Ok(())
}

/// Waits until the server has this many sessions. A client sees its session earlier
/// than the server does.
fn await_sessions(server: &Wire, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    let are_open =
        || threads::named("wirenet-session").len() == count && server.sessions().len() == count;
    while !are_open() {
        assert!(Instant::now() < deadline, "{}", server.sessions().len());
        thread::yield_now();
    }
}

fn echo(stream: &mut Stream) -> io::Result<()> {
    while stream.next_message()? {
        let bytes = message(stream)?;
        stream.write_message(&bytes)?;
    }
    Ok(())
}

pub fn client(transport: &Transport, addr: &str) -> Builder {
    transport
        .dial(Wire::join(addr))
        .keep_alive_interval(keep_alive())
        .handshake_timeout(Duration::from_secs(60))
        .retry_max(0)
}

/// Runs `count` clients, which connect and close on command.
pub fn clients(transport: &Transport, addr: &str, count: usize) -> io::Result<()> {
    let wires: Vec<_> = (0..count)
        .map(|_| client(transport, addr).build())
        .collect::<Result<_, _>>()?;
    for command in process::commands() {
        let work: fn(&Wire) = match &*command {
            "connect" => |wire| wire.start().unwrap(),
            _ => |wire| wire.close().unwrap(),
        };
        thread::scope(|scope| {
            for mine in wires.chunks(count.div_ceil(AT_ONCE)) {
                scope.spawn(move || mine.iter().for_each(work));
            }
        });
        process::tell("done")?;
    }
    Ok(())
}
