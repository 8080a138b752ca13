//! A TCP service behind NAT, reached through a hub: ssh, a web server, a
//! database.
//!
//! ```text
//! # Where everybody can connect to:
//! export WIRENET_TOKEN=…
//! cargo run --release --example tunnel -- hub --addr :7722
//! # On the box behind NAT:
//! cargo run --release --example tunnel -- expose --addr hub.example:7722 --name box-1:ssh --to 127.0.0.1:22
//! # On the machine that wants to reach it:
//! cargo run --release --example tunnel -- forward --addr hub.example:7722 --name box-1:ssh --listen 127.0.0.1:2222
//! ssh -p 2222 localhost
//! ```
//!
//! Each connection is a stream of its own. The bytes of a direction are one
//! message; its end mark is the end of that direction, so that a half-close
//! passes, and whatever breaks is never taken for one: the connections at both
//! ends are reset then.

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
    secure::{ClientTls, ServerTls},
    stop::Stop,
};
use wirenet::{Builder, Session, Stream, Wire, same_token};

/// What the names of our streams begin with.
const PREFIX: &str = "tunnel:";
/// How long the exposed service may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before trying again: up to so long at first, and at last.
const RETRY_WAIT: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];
/// After how long it is looked whether what a connection does not take is still
/// wanted.
const STALLED: Duration = Duration::from_secs(1);
/// What is read at once, in bytes: as much as one frame carries.
const BUFFER: usize = 64 << 10;

/// Reaches a TCP service behind NAT, through a hub that both sides dial.
///
/// `expose` offers one service, under a name; `forward` listens, and carries each
/// connection to the service of a name, up to 512 at once. A half-close
/// passes through, and what breaks on one side is reset on the other. Both come
/// back by themselves when they have lost the hub.
///
/// Who has the token may expose, forward, and take over a name: give it only to
/// machines that trust each other. Without TLS (--certs, --ca, --pin) it goes over
/// the network as it is, and so does all that the service does not encrypt itself.
/// Ctrl-C and SIGTERM close properly. RUST_LOG=debug shows what the library does.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    addr: Addr<7722>,
    /// What the clients show the hub
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
    /// Lets clients reach each other, until it is stopped
    Hub(ServerTls),
    /// Offers a service, until it is stopped
    Expose(Expose),
    /// Makes an offered service reachable here, until it is stopped
    Forward(Forward),
}

#[derive(clap::Args)]
struct Expose {
    /// What the service is called
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Where the service listens; nothing else is exposed
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    #[command(flatten)]
    tls: ClientTls,
}

#[derive(clap::Args)]
struct Forward {
    /// What the service is called
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Where to listen for connections to it; port 0 is any free port
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
        log::warn!("no token: whoever reaches this hub may use it");
    }
    let wire = Wire::hub(addr)
        .token_validator(move |_, _, shown| match same_token(shown, &token) {
            true => Ok(()),
            false => Err("wrong token".into()),
        })
        .on_session_open(|session| tell(session, "exposed"))
        .on_session_close(|session| tell(session, "no longer exposed"));
    support::serve(tls.apply(wire)?, stop)
}

fn tell(session: &Session, what: &str) {
    for name in session.stream_names() {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        println!("{what}: {name:?}");
    }
}

// -- the clients --

fn client(addr: String, token: String) -> Builder {
    // Known to nobody else: whoever has the token, and this too, is this very
    // process, which has come back before the hub noticed that it was gone.
    let id = RandomState::new().hash_one("identification");
    let wire = Wire::join(addr).identification(format!("tunnel-{id:016x}"), token);
    let [min, max] = RETRY_WAIT;
    support::coming_back(wire.retry_wait(min, max))
}

fn expose(wire: Builder, args: &Expose, stop: &Stop) -> io::Result<()> {
    // Better told now than to the first who comes.
    addresses(&args.to)?;
    let to = args.to.clone();
    let wire = wire.stream(format!("{PREFIX}{}", args.name), move |stream| {
        carry(&connect(&to)?, stream)
    });
    support::run_client(&args.tls.apply(wire)?.build()?, stop)
}

fn forward(wire: Builder, args: &Forward, stop: &Stop) -> io::Result<()> {
    let listener = TcpListener::bind(&args.listen)
        .map_err(|error| about(&format!("cannot listen at {}", args.listen), error))?;
    println!("listening at {}", listener.local_addr()?);
    let wire = args.tls.apply(wire)?.build()?;
    let name = format!("{PREFIX}{}", args.name);
    let (accepting, stopping) = (wire.clone(), stop.clone());
    // Nobody waits for it: it ends with the program.
    thread::spawn(move || accept(&listener, &accepting, &name, &stopping));
    support::run_client(&wire, stop)
}

/// Accepts connections for ever, and carries each on two threads of its own.
fn accept(listener: &TcpListener, wire: &Wire, name: &str, stop: &Stop) {
    loop {
        let (tcp, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                // Out of descriptors, most likely, and not for ever.
                stop.wait_for(Duration::from_millis(100));
                continue;
            }
        };
        let (wire, name) = (wire.clone(), name.to_string());
        let work = move || {
            if let Err(error) = forward_one(&tcp, &wire, &name) {
                log::warn!("connection from {peer}: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().spawn(work) {
            log::warn!("connection from {peer}: {error}");
        }
    }
}

fn forward_one(tcp: &TcpStream, wire: &Wire, name: &str) -> io::Result<()> {
    prepare(tcp)?;
    let session = wire.wait_session(SESSION_TIMEOUT)?;
    carry(tcp, &session.open_stream(name)?)
}

// -- a connection --

fn addresses(to: &str) -> io::Result<Vec<SocketAddr>> {
    let found = to.to_socket_addrs().map_err(|error| about(to, error))?;
    Ok(found.collect())
}

/// Connects to the service.
fn connect(to: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("no address");
    for addr in addresses(to)? {
        match TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT) {
            Ok(tcp) => return prepare(&tcp).map(|()| tcp),
            Err(error) => failed = error,
        }
    }
    Err(about(&format!("cannot connect to {to}"), failed))
}

/// From now on the connection is reset when it is dropped, by whatever means,
/// even by the end of the program: nobody is to take that for the end of the
/// data.
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.set_write_timeout(Some(STALLED))?;
    let socket = SockRef::from(tcp);
    socket.set_keepalive(true)?;
    socket.set_linger(Some(Duration::ZERO))
}

/// What has come to its end in order.
#[derive(Default)]
struct Ended {
    sent: AtomicBool,
    received: AtomicBool,
}

/// Carries bytes both ways, until both have ended.
fn carry(tcp: &TcpStream, stream: &Stream) -> io::Result<()> {
    let sending = stream.try_clone()?;
    let ended = Ended::default();
    let (sent, received) = thread::scope(|scope| {
        let sender = thread::Builder::new().spawn_scoped(scope, || {
            send(tcp, &sending, &ended).inspect_err(|_| tear(tcp, &sending))
        })?;
        let received = receive(tcp, stream, &ended).inspect_err(|_| tear(tcp, stream));
        let sent = sender.join().expect("no thread panics");
        Ok::<_, io::Error>((sent, received))
    })?;
    received.and(sent)?;
    // Both have ended in order: what the kernel still has may be sent.
    SockRef::from(tcp).set_linger(None)?;
    stream.close()
}

fn send(tcp: &TcpStream, mut stream: &Stream, ended: &Ended) -> io::Result<()> {
    copy(tcp, &mut stream)?;
    // The system tells of a reset once. If it has told who writes, this looks
    // like an end; but then the connection is gone, and not by ends of both sides.
    if !ended.received.load(Ordering::SeqCst) && tcp.peer_addr().is_err() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    // First, as the stream may be closed by it; if it fails, all is torn anyway.
    ended.sent.store(true, Ordering::SeqCst);
    stream.finish()
}

fn receive(tcp: &TcpStream, stream: &Stream, ended: &Ended) -> io::Result<()> {
    copy(stream, &mut Wanted { tcp, stream, ended })?;
    ended.received.store(true, Ordering::SeqCst);
    tcp.shutdown(Shutdown::Write)
}

/// A connection that is written to for as long as its stream stands. Nothing
/// wakes a write that it does not take, but what could pass for an end; so such
/// a write looks from time to time.
struct Wanted<'a> {
    tcp: &'a TcpStream,
    stream: &'a Stream,
    ended: &'a Ended,
}

impl Write for Wanted<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            match (&mut { self.tcp }).write(buf) {
                Err(error) if is_timeout(&error) => {
                    // A stream that has ended both ways may leave bytes to write.
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

/// Copies what comes as soon as it comes.
fn copy(from: impl Read, to: &mut impl Write) -> io::Result<u64> {
    io::copy(&mut BufReader::with_capacity(BUFFER, from), to)
}

/// One direction has failed: ends the other, and lets nobody take that for an
/// end in order.
fn tear(tcp: &TcpStream, stream: &Stream) {
    stream.reset();
    // Wakes who reads from it. Nothing of this shows on the other side, which
    // gets a reset when the connection is dropped. Fails if that was faster.
    let _ = tcp.shutdown(Shutdown::Read);
}

fn about(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
