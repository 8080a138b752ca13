//! NAT traversal: reach a TCP service behind NAT (ssh, a web server, a database)
//! through a hub.
//!
//! ```text
//! # On all three machines:
//! export WIRENET_TOKEN=…
//! # On a machine that the other two can connect to:
//! cargo run --release --example tunnel -- hub --addr :7722
//! # On the machine behind NAT:
//! cargo run --release --example tunnel -- expose --addr hub.example:7722 --name box-1:ssh --to 127.0.0.1:22
//! # On the machine that needs the service:
//! cargo run --release --example tunnel -- forward --addr hub.example:7722 --name box-1:ssh --listen 127.0.0.1:2222
//! ssh -p 2222 localhost
//! ```
//!
//! Each TCP connection uses its own stream. Each direction of a connection is
//! one message: its end mark stands for the end of that direction, so half-closes
//! pass through. An error is never mistaken for an end: it resets the
//! connections at both ends.

mod support;

use clap::{Parser, Subcommand, builder::NonEmptyStringValueParser};
use socket2::SockRef;
use std::{
    hash::{BuildHasher, RandomState},
    io::{self, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use support::{
    Addr, SESSION_TIMEOUT,
    output::say,
    stop::Stop,
    tls_options::{ClientTls, ServerTls},
};
use wirenet::{Builder, Session, Stream, Wire, same_token};

/// The prefix of the tunnel's stream names.
const PREFIX: &str = "tunnel:";
/// How long connecting to the exposed service may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait before the first retry, and before any retry.
const RETRY_WAIT: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];
/// How long a write to a TCP connection blocks before it checks whether the
/// stream is still open.
const STALLED: Duration = Duration::from_secs(1);
/// The size of the read buffer in bytes: one frame's worth of data.
const BUFFER: usize = 64 << 10;

/// Reaches a TCP service behind NAT, through a hub that both sides dial.
///
/// `expose` offers one service under a name. `forward` listens, and carries each
/// connection to the service with a given name, up to 512 connections at once.
/// Half-closes pass through, and an error on one side resets the connection on
/// the other. Both reconnect by themselves when they lose the hub.
///
/// Every machine that has the token can expose services, forward to them, and take
/// over names: give it only to machines that trust each other. Without TLS
/// (--certs, --ca, --pin), the token crosses the network unencrypted, and so does
/// all data that the service does not encrypt itself.
#[derive(Parser)]
#[command(after_long_help = support::SIGNALS)]
struct Args {
    #[command(flatten)]
    addr: Addr<7722>,
    /// The token that the hub requires of its clients
    #[arg(
        long,
        global = true,
        env = "WIRENET_TOKEN",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    token: String,
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Connects the clients' streams to each other, until stopped
    Hub(ServerTls),
    /// Offers a service until stopped
    Expose(Expose),
    /// Makes an offered service reachable on this machine, until stopped
    Forward(Forward),
}

#[derive(clap::Args)]
struct Expose {
    /// The service's name
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The service's address; nothing else is exposed
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    #[command(flatten)]
    tls: ClientTls,
}

#[derive(clap::Args)]
struct Forward {
    /// The service's name
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The address to listen on for connections to the service; port 0 picks a
    /// free port
    #[arg(long, value_name = "HOST:PORT")]
    listen: String,
    #[command(flatten)]
    tls: ClientTls,
}

fn main() -> ExitCode {
    let Args {
        addr: Addr { addr },
        token,
        role,
    } = Args::parse();
    support::run(|stop| match role {
        Role::Hub(args) => hub(addr, token, &args, stop),
        Role::Expose(args) => expose(client(addr, token), &args, stop),
        Role::Forward(args) => forward(client(addr, token), &args, stop),
    })
}

// -- the hub --

fn hub(addr: String, token: String, tls: &ServerTls, stop: &Stop) -> io::Result<()> {
    if token.is_empty() {
        log::warn!("no token set: every machine that can reach this hub can use it");
    }
    let wire = Wire::hub(addr)
        .token_validator(move |_, _, given| match same_token(given, &token) {
            true => Ok(()),
            false => Err("wrong token".into()),
        })
        .on_session_open(|session| print_names(session, "exposed"))
        .on_session_close(|session| print_names(session, "no longer exposed"));
    support::serve(tls.apply(wire)?, stop)
}

fn print_names(session: &Session, event: &str) {
    for name in session.stream_names() {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        say!("{event}: {name:?}");
    }
}

// -- the clients --

fn client(addr: String, token: String) -> Builder {
    // A random identification is known only to this process. If the hub sees it
    // again, together with the token, then this process has reconnected before
    // the hub noticed that its old session was lost.
    let id = RandomState::new().hash_one("identification");
    let wire = Wire::join(addr).identification(format!("tunnel-{id:016x}"), token);
    let [min, max] = RETRY_WAIT;
    support::reconnecting(wire.retry_wait(min, max))
}

fn expose(wire: Builder, args: &Expose, stop: &Stop) -> io::Result<()> {
    // Report a bad address now, not when the first connection arrives.
    resolve(&args.to)?;
    let to = args.to.clone();
    let wire = wire.stream(format!("{PREFIX}{}", args.name), move |stream| {
        carry(&connect(&to)?, stream)
    });
    support::run_client(&args.tls.apply(wire)?.build()?, stop)
}

fn forward(wire: Builder, args: &Forward, stop: &Stop) -> io::Result<()> {
    let listener = TcpListener::bind(&args.listen)
        .map_err(|error| with_context(&format!("cannot listen at {}", args.listen), error))?;
    say!("listening at {}", listener.local_addr()?);
    let wire = args.tls.apply(wire)?.build()?;
    let name = format!("{PREFIX}{}", args.name);
    let (accepting, stopping) = (wire.clone(), stop.clone());
    // This thread is never joined: it ends with the program.
    thread::spawn(move || accept(&listener, &accepting, &name, &stopping));
    support::run_client(&wire, stop)
}

/// Accepts connections forever, and carries each one on two new threads.
fn accept(listener: &TcpListener, wire: &Wire, name: &str, stop: &Stop) {
    loop {
        let (tcp, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                // Most likely the process is out of file descriptors, and the
                // shortage will pass.
                stop.wait_for(Duration::from_millis(100));
                continue;
            }
        };
        let (wire, name) = (wire.clone(), name.to_string());
        let work = move || {
            if let Err(error) = forward_connection(&tcp, &wire, &name) {
                log::warn!("connection from {peer}: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().spawn(work) {
            log::warn!("connection from {peer}: {error}");
        }
    }
}

fn forward_connection(tcp: &TcpStream, wire: &Wire, name: &str) -> io::Result<()> {
    prepare(tcp)?;
    let session = wire.wait_session(SESSION_TIMEOUT)?;
    carry(tcp, &session.open_stream(name)?)
}

// -- a connection --

fn resolve(to: &str) -> io::Result<Vec<SocketAddr>> {
    let found = to
        .to_socket_addrs()
        .map_err(|error| with_context(to, error))?;
    Ok(found.collect())
}

/// Connects to the service.
fn connect(to: &str) -> io::Result<TcpStream> {
    let mut last_error = io::Error::other("the name has no address");
    for addr in resolve(to)? {
        match TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT) {
            Ok(tcp) => return prepare(&tcp).map(|()| tcp),
            Err(error) => last_error = error,
        }
    }
    Err(with_context(&format!("cannot connect to {to}"), last_error))
}

/// Sets the options of a TCP connection. From now on, closing the connection
/// resets it, even if the program is killed: the TCP peer must not mistake that
/// for the end of the data.
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.set_write_timeout(Some(STALLED))?;
    let socket = SockRef::from(tcp);
    socket.set_keepalive(true)?;
    socket.set_linger(Some(Duration::ZERO))
}

/// The directions that have ended gracefully.
#[derive(Default)]
struct Ended {
    sent: AtomicBool,
    received: AtomicBool,
}

/// Copies bytes in both directions until both have ended.
fn carry(tcp: &TcpStream, stream: &Stream) -> io::Result<()> {
    let sending = stream.try_clone()?;
    let ended = Ended::default();
    let (sent, received) = thread::scope(|scope| {
        let sender = thread::Builder::new().spawn_scoped(scope, || {
            send(tcp, &sending, &ended).inspect_err(|_| abort(tcp, &sending))
        })?;
        let received = receive(tcp, stream, &ended).inspect_err(|_| abort(tcp, stream));
        let sent = sender.join().expect("no thread panics");
        Ok::<_, io::Error>((sent, received))
    })?;
    received.and(sent)?;
    // Both directions ended gracefully, so the kernel may send what it still
    // buffers.
    SockRef::from(tcp).set_linger(None)?;
    stream.close()
}

fn send(tcp: &TcpStream, mut stream: &Stream, ended: &Ended) -> io::Result<()> {
    copy(tcp, &mut stream)?;
    // The system reports a reset only once. If the writer got the report, this read
    // looks like the end of the data. But then the socket no longer has a peer
    // address, although the other direction has not ended.
    if !ended.received.load(Ordering::SeqCst) && tcp.peer_addr().is_err() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    // Set this before `finish`, which may close the stream. If `finish` fails,
    // both directions are aborted anyway.
    ended.sent.store(true, Ordering::SeqCst);
    stream.finish()
}

fn receive(tcp: &TcpStream, stream: &Stream, ended: &Ended) -> io::Result<()> {
    copy(stream, &mut WhileStreamOpen { tcp, stream, ended })?;
    ended.received.store(true, Ordering::SeqCst);
    tcp.shutdown(Shutdown::Write)
}

/// Writes to a TCP connection for as long as its stream is open.
///
/// The only ways to wake a blocked write from outside look like the end of the
/// data to the TCP peer. So a blocked write times out at intervals, and checks
/// whether the stream is still open.
struct WhileStreamOpen<'a> {
    tcp: &'a TcpStream,
    stream: &'a Stream,
    ended: &'a Ended,
}

impl Write for WhileStreamOpen<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            match (&mut { self.tcp }).write(buf) {
                Err(error) if is_timeout(&error) => {
                    // If both directions have ended, the stream is closed, but
                    // these bytes must still be written.
                    if self.stream.is_closed() && !self.ended.sent.load(Ordering::SeqCst) {
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Copies bytes as soon as they arrive.
fn copy(from: impl Read, to: &mut impl Write) -> io::Result<u64> {
    io::copy(&mut BufReader::with_capacity(BUFFER, from), to)
}

/// Ends both directions after one has failed, so that neither peer mistakes the
/// failure for the end of the data.
fn abort(tcp: &TcpStream, stream: &Stream) {
    stream.reset();
    // Wakes the thread that reads from the connection. The TCP peer does not
    // notice: it gets a reset when the connection is dropped. This fails if the
    // connection is already gone.
    let _ = tcp.shutdown(Shutdown::Read);
}

fn with_context(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
