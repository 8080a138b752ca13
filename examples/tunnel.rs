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
    io,
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    process::ExitCode,
    thread,
    time::Duration,
};
use support::{
    Addr, SESSION_TIMEOUT,
    listen::listen,
    output::say,
    persistent::Failures,
    stop::Stop,
    tls_options::{ClientTls, ServerTls},
};
use wirenet::{Builder, Session, Wire, same_token};

/// The prefix of the tunnel's stream names.
const PREFIX: &str = "tunnel:";
/// How long connecting to the exposed service may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait before the first retry, and before any retry.
const RETRY_WAIT: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];

/// Reaches a TCP service behind NAT, through a hub that both sides dial.
///
/// `expose` offers services, each under a name. `forward` listens, and carries each
/// connection to the service with a given name, up to 512 connections at once.
/// Half-closes pass through, and an error on one side resets the connection on
/// the other. Both wait for the hub, and connect again when they lose it.
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
    /// Offers services until stopped
    Expose(Expose),
    /// Makes an offered service reachable on this machine, until stopped
    Forward(Forward),
}

#[derive(clap::Args)]
struct Expose {
    /// The service's name
    #[arg(
        long,
        requires = "to",
        required_unless_present = "services",
        value_parser = NonEmptyStringValueParser::new()
    )]
    name: Option<String>,
    /// The service's address; nothing else is exposed
    #[arg(
        long,
        value_name = "HOST:PORT",
        requires = "name",
        required_unless_present = "services"
    )]
    to: Option<String>,
    /// Another service; can be repeated
    ///
    /// Each service has a session of its own, so that a name that the hub refuses
    /// does not affect the other services.
    #[arg(long = "service", value_name = "NAME=HOST:PORT", value_parser = Service::parse)]
    services: Vec<Service>,
    /// Identifies this program to the hub, so that it takes its names back after a
    /// restart [default: random for each start]
    ///
    /// The hub may still hold the session of a program that was killed, or whose
    /// network was lost. With the same id and the token, the restarted program takes
    /// over the names of that session at once. With the default, it waits until the
    /// hub finds that session dead, which takes seconds. The id must differ between
    /// machines: two programs with the same id that offer the same name take it from
    /// each other again and again.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    id: Option<String>,
    #[command(flatten)]
    hub: Hub,
}

#[derive(clap::Args)]
struct Forward {
    /// The service's name
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The address to listen on for connections to the service; port 0 picks a
    /// free port
    ///
    /// `:PORT` listens on all interfaces. A name stands for all its addresses, so
    /// that `localhost` is reachable over IPv4 and IPv6.
    #[arg(long, value_name = "HOST:PORT")]
    listen: String,
    #[command(flatten)]
    hub: Hub,
}

/// How a client connects to the hub.
#[derive(clap::Args)]
struct Hub {
    /// End with an error if the hub does not accept this program at the first attempt
    ///
    /// By default, the program keeps trying until the hub can be reached and the name
    /// is free, and prints each cause once. It always ends if the hub refuses the
    /// token, or does not present the right certificate.
    #[arg(long)]
    fail_fast: bool,
    #[command(flatten)]
    tls: ClientTls,
}

/// A service that is offered.
#[derive(Clone)]
struct Service {
    name: String,
    to: String,
}

impl Service {
    /// Parses the value of `--service`.
    fn parse(text: &str) -> Result<Self, String> {
        match text.rsplit_once('=') {
            Some((name, to)) if !name.is_empty() => Ok(Self {
                name: name.into(),
                to: to.into(),
            }),
            _ => Err("a service must be NAME=HOST:PORT".into()),
        }
    }
}

fn main() -> ExitCode {
    let Args {
        addr: Addr { addr },
        token,
        role,
    } = Args::parse();
    support::run(|stop| match role {
        Role::Hub(args) => hub(addr, token, &args, stop),
        Role::Expose(args) => expose(&addr, &token, args, stop),
        Role::Forward(args) => forward(&addr, &token, &args, stop),
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
    support::serve(tls.apply(wire, stop)?, stop)
}

fn print_names(session: &Session, event: &str) {
    for name in session.stream_names() {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        say!("{event}: {name:?}");
    }
}

// -- the clients --

fn client(addr: &str, token: &str, id: &str, tls: &ClientTls) -> io::Result<Builder> {
    let [min, max] = RETRY_WAIT;
    let wire = Wire::join(addr).identification(id, token);
    tls.apply(wire.retry_wait(min, max))
}

/// Returns an identification that is known only to this process. If the hub sees it
/// again, together with the token, then this process has reconnected before the hub
/// noticed that its old session was lost.
fn random_id() -> String {
    format!(
        "tunnel-{:016x}",
        RandomState::new().hash_one("identification")
    )
}

impl Hub {
    /// Sets whether a client gives up.
    fn apply(&self, client: Builder, failures: &Failures, connected: String) -> Builder {
        match self.fail_fast {
            true => support::reconnecting(client),
            false => failures.keep_trying(client, connected),
        }
    }
}

fn expose(addr: &str, token: &str, args: Expose, stop: &Stop) -> io::Result<()> {
    let Expose {
        name,
        to,
        mut services,
        id,
        hub,
    } = args;
    services.extend(name.zip(to).map(|(name, to)| Service { name, to }));
    check(&services)?;
    let id = id.unwrap_or_else(random_id);
    let failures = Failures::default();
    let wires: Vec<_> = services
        .iter()
        .map(|Service { name, to }| {
            let to = to.clone();
            // Each name is taken over separately.
            let wire = client(addr, token, &format!("{id}/{name}"), &hub.tls)?
                .stream(format!("{PREFIX}{name}"), move |stream| {
                    stream.pipe_with(connect(&to)?).map(drop)
                });
            let connected = format!("connected: exposing {name:?}");
            Ok(hub.apply(wire, &failures, connected).build()?)
        })
        .collect::<io::Result<_>>()?;
    run_all(&services, &wires, stop)
}

/// Reports bad names and addresses now, not when the first connection arrives.
fn check(services: &[Service]) -> io::Result<()> {
    for (index, Service { name, to }) in services.iter().enumerate() {
        if services[..index].iter().any(|other| other.name == *name) {
            return Err(io::Error::other(format!(
                "two services have the name {name:?}"
            )));
        }
        let port = to.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            return Err(with_context(to, io::Error::other("expected HOST:PORT")));
        }
        // A name that cannot be looked up now may be known later, and a lookup may take
        // long, so this thread is never joined.
        let to = to.clone();
        thread::Builder::new().spawn(move || {
            if let Err(error) = resolve(&to) {
                log::warn!("{error}");
            }
        })?;
    }
    Ok(())
}

/// Runs one client for each service. A service that the hub refuses does not end the
/// others.
fn run_all(services: &[Service], wires: &[Wire], stop: &Stop) -> io::Result<()> {
    if let [wire] = wires {
        return support::run_client(wire, stop);
    }
    let failed = thread::scope(|scope| {
        let run = |(service, wire): (&'_ Service, &'_ Wire)| {
            let outcome = support::run_client(wire, stop);
            outcome.inspect_err(|error| log::error!("{:?} is not exposed: {error}", service.name))
        };
        let spawn = |both| thread::Builder::new().spawn_scoped(scope, move || run(both));
        let spawned = services.iter().zip(wires).map(spawn);
        let threads = spawned.collect::<io::Result<Vec<_>>>();
        // The threads that were started must end, too.
        let threads = threads.inspect_err(|_| stop.request())?;
        let outcomes = threads.into_iter().map(|thread| thread.join());
        let failed = outcomes.filter(|outcome| outcome.as_ref().is_ok_and(Result::is_err));
        Ok::<_, io::Error>(failed.count())
    })?;
    match failed {
        0 => Ok(()),
        _ => Err(io::Error::other(format!(
            "{failed} services are not exposed"
        ))),
    }
}

fn forward(addr: &str, token: &str, args: &Forward, stop: &Stop) -> io::Result<()> {
    let listeners = listen(&args.listen)
        .map_err(|error| with_context(&format!("cannot listen at {}", args.listen), error))?;
    for listener in &listeners {
        say!("listening at {}", listener.local_addr()?);
    }
    let wire = client(addr, token, &random_id(), &args.hub.tls)?;
    let failures = Failures::default();
    let wire = args
        .hub
        .apply(wire, &failures, "connected".into())
        .build()?;
    let name = format!("{PREFIX}{}", args.name);
    for listener in listeners {
        let (wire, name, stop) = (wire.clone(), name.clone(), stop.clone());
        // These threads are never joined: they end with the program.
        thread::Builder::new().spawn(move || accept(&listener, &wire, &name, &stop))?;
    }
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
            if let Err(error) = forward_connection(tcp, &wire, &name) {
                log::warn!("connection from {peer}: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().spawn(work) {
            log::warn!("connection from {peer}: {error}");
        }
    }
}

fn forward_connection(tcp: TcpStream, wire: &Wire, name: &str) -> io::Result<()> {
    // Closing the connection resets it: the TCP peer must not mistake an error for the
    // end of the data.
    SockRef::from(&tcp).set_linger(Some(Duration::ZERO))?;
    let session = wire.wait_session(SESSION_TIMEOUT)?;
    session.open_stream(name)?.pipe_with(tcp).map(drop)
}

// -- the service --

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
            Ok(tcp) => return Ok(tcp),
            Err(error) => last_error = error,
        }
    }
    Err(with_context(&format!("cannot connect to {to}"), last_error))
}

fn with_context(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
