//! TCP connections through the tunnel, on this machine. `through_nat` tests it
//! between services and clients that cannot reach each other.

use crate::program::{DEADLINE, NONE, Program, example, join, serve};
use crate::refusing::Refusing;
use crate::resources::{await_resources, settled};
use socket2::SockRef;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

pub const TOKEN: [&str; 2] = ["--token", "a secret"];

fn expose(addr: &str, name: &str, to: &str, args: &[&str]) -> Program {
    let own = ["--name", name, "--to", to];
    let exposed = join("tunnel", "expose", addr, own.iter().chain(args));
    exposed.line("connected");
    exposed
}

/// Also returns the address to connect to.
pub fn forward(addr: &str, name: &str, args: &[&str]) -> (Program, String) {
    let own = ["--name", name, "--listen", "127.0.0.1:0"];
    let forward = join("tunnel", "forward", addr, own.iter().chain(args));
    let entrance = forward.address();
    forward.line("connected");
    (forward, entrance)
}

/// A tunnel to a service of the test.
pub struct Tunnel {
    pub hub: Program,
    pub addr: String,
    pub expose: Program,
    pub forward: Program,
    entrance: String,
    pub service: Receiver<TcpStream>,
}

impl Tunnel {
    pub fn new() -> Self {
        Self::with(&TOKEN, &TOKEN)
    }

    fn with(of_hub: &[&str], of_clients: &[&str]) -> Self {
        let (hub, addr) = serve("tunnel", "hub", of_hub);
        Self::at(hub, addr, of_clients)
    }

    fn at(hub: Program, addr: String, args: &[&str]) -> Self {
        let (to, service) = service();
        let expose = expose(&addr, "box:echo", &to, args);
        let (forward, entrance) = forward(&addr, "box:echo", args);
        Self {
            hub,
            addr,
            expose,
            forward,
            entrance,
            service,
        }
    }

    /// Returns both ends of a new connection: the client's and the service's.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = connect(&self.entrance);
        let served = self.service.recv_timeout(DEADLINE).unwrap();
        (client, served)
    }

    /// Stops all programs, after connections have failed.
    fn end_after_failures(self) {
        self.forward.terminate();
        self.expose.terminate();
        self.hub.terminate().assert_success();
    }

    /// Stops all programs, while no connection is open.
    pub fn end(self) {
        self.forward.terminate().assert_success();
        self.expose.terminate().assert_success();
        self.hub.terminate().assert_success();
    }
}

/// Starts a service that passes its connections to the receiver.
pub fn service() -> (String, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        listener.incoming().try_for_each(|tcp| {
            let tcp = tcp.unwrap();
            tcp.set_read_timeout(Some(DEADLINE)).unwrap();
            sender.send(tcp)
        })
    });
    (to, receiver)
}

pub fn connect(addr: &str) -> TcpStream {
    let tcp = TcpStream::connect(addr).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    tcp
}

#[track_caller]
pub fn assert_reads(mut tcp: &TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    tcp.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[track_caller]
fn assert_end(mut tcp: &TcpStream) {
    assert_eq!(tcp.read(&mut [0; 1]).unwrap(), 0);
}

/// Checks that the connection ends by a reset.
#[track_caller]
fn assert_reset(mut tcp: &TcpStream) {
    let error = io::copy(&mut tcp, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
}

/// Drops a connection such that it is reset.
fn reset(tcp: TcpStream) {
    SockRef::from(&tcp)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[test]
fn either_side_may_end_its_direction_first() {
    let tunnel = Tunnel::new();
    let (mut client, mut served) = tunnel.connect();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_reads(&served, "question");
    assert_end(&served);
    served.write_all(b"answer").unwrap();
    assert_reads(&client, "answer");
    drop(served);
    assert_end(&client);

    let (mut client, mut served) = tunnel.connect();
    served.write_all(b"welcome").unwrap();
    served.shutdown(Shutdown::Write).unwrap();
    assert_reads(&client, "welcome");
    assert_end(&client);
    client.write_all(b"thanks").unwrap();
    drop(client);
    assert_reads(&served, "thanks");
    assert_end(&served);

    let (client, served) = tunnel.connect();
    // Without a byte in either direction.
    drop(client);
    assert_end(&served);
    drop(served);
    tunnel.end();
}

#[test]
fn bytes_arrive_without_delay() {
    let tunnel = Tunnel::new();
    let (mut client, mut served) = tunnel.connect();
    for word in ["one", "two", "three"] {
        client.write_all(word.as_bytes()).unwrap();
        assert_reads(&served, word);
        served.write_all(word.as_bytes()).unwrap();
        assert_reads(&client, word);
    }
    drop((client, served));
    tunnel.end();
}

#[test]
fn large_amounts_pass_in_both_directions_at_once() {
    const LEN: u64 = 8 << 20;
    let tunnel = Tunnel::new();
    let (client, served) = tunnel.connect();
    thread::scope(|scope| {
        for tcp in [&client, &served] {
            scope.spawn(move || {
                io::copy(&mut io::repeat(b'x').take(LEN), &mut { tcp }).unwrap();
                tcp.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || {
                assert_eq!(io::copy(&mut { tcp }, &mut io::sink()).unwrap(), LEN);
            });
        }
    });
    drop((client, served));
    tunnel.end();
}

#[test]
fn a_reset_is_relayed_as_a_reset() {
    let tunnel = Tunnel::new();
    for turn in [false, true] {
        let (mut client, mut served) = tunnel.connect();
        client.write_all(b"half of a ques").unwrap();
        served.write_all(b"half of an ans").unwrap();
        assert_reads(&served, "half of a ques");
        assert_reads(&client, "half of an ans");
        let (resetting, other) = if turn {
            (client, served)
        } else {
            (served, client)
        };
        reset(resetting);
        assert_reset(&other);
    }
    // After one direction has ended gracefully.
    let (client, served) = tunnel.connect();
    client.shutdown(Shutdown::Write).unwrap();
    assert_end(&served);
    reset(served);
    assert_reset(&client);
    tunnel.forward.terminate();
    tunnel.expose.terminate();
    tunnel.hub.terminate().assert_success();
}

/// The system reports a reset once: to the reader or to the writer. The other one
/// sees the end of the connection. The tunnel reads and writes, and so does this
/// client.
#[test]
fn a_reset_during_traffic_is_relayed_as_a_reset() {
    let tunnel = Tunnel::new();
    for _ in 0..100 {
        let (client, mut served) = tunnel.connect();
        let ends = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut client = &client;
                io::copy(&mut io::repeat(b'x'), &mut client).unwrap_err()
            });
            served.read_exact(&mut [0; 100_000]).unwrap();
            reset(served);
            let read = io::copy(&mut &client, &mut io::sink()).err();
            [read, Some(writer.join().unwrap())]
        });
        let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        assert!(ends.iter().flatten().any(is_reset), "{ends:?}");
    }
    tunnel.forward.terminate();
    tunnel.expose.terminate();
    tunnel.hub.terminate();
}

/// The service neither reads nor writes, so that its buffers are full.
#[test]
fn an_unresponsive_service_is_disconnected_when_the_client_is_gone() {
    let tunnel = Tunnel::new();
    drop(tunnel.connect());
    let before = settled(&tunnel.expose);
    let (mut client, mut served) = tunnel.connect();
    client
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let stopped = io::copy(&mut io::repeat(b'x'), &mut client).unwrap_err();
    assert!(
        matches!(
            stopped.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        ),
        "{stopped}"
    );
    tunnel.forward.signal("KILL");
    await_resources(&tunnel.expose, &before, 2);
    let error = served.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    tunnel.expose.terminate();
    tunnel.hub.terminate();
}

/// The service has read everything, and stays silent.
#[test]
fn half_closed_connections_leave_nothing_behind_when_their_clients_are_gone() {
    const CONNECTIONS: usize = 100;
    let tunnel = Tunnel::new();
    drop(tunnel.connect());
    let before = [&tunnel.expose, &tunnel.forward].map(settled);
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (client, served) = tunnel.connect();
            client.shutdown(Shutdown::Write).unwrap();
            assert_end(&served);
            (client, served)
        })
        .collect();
    let (clients, services): (Vec<_>, Vec<_>) = connections.into_iter().unzip();
    clients.into_iter().for_each(reset);
    // Idle handler threads end later.
    for (program, before) in [&tunnel.expose, &tunnel.forward].into_iter().zip(&before) {
        await_resources(program, before, CONNECTIONS + 2);
    }
    drop(services);
    tunnel.end_after_failures();
}

#[test]
fn connections_are_reset_if_any_of_the_programs_is_killed() {
    for victim in 0..3 {
        let tunnel = Tunnel::new();
        let (mut client, mut served) = tunnel.connect();
        client.write_all(b"half of a ques").unwrap();
        assert_reads(&served, "half of a ques");
        served.write_all(b"half of an ans").unwrap();
        assert_reads(&client, "half of an ans");
        [&tunnel.hub, &tunnel.expose, &tunnel.forward][victim].signal("KILL");
        assert_reset(&client);
        assert_reset(&served);
    }
}

#[test]
fn connections_are_reset_if_any_of_the_programs_is_stopped() {
    thread::scope(|scope| {
        for victim in 0..3 {
            scope.spawn(move || {
                let tunnel = Tunnel::new();
                let (client, served) = tunnel.connect();
                let Tunnel {
                    hub,
                    expose,
                    forward,
                    ..
                } = tunnel;
                let mut programs = [hub, expose, forward].map(Some);
                let stopped = programs[victim].take().unwrap();
                let start = Instant::now();
                stopped.terminate();
                // The program waits for its connections, but only for a limited time.
                assert!(start.elapsed() < DEADLINE / 4);
                assert_reset(&client);
                assert_reset(&served);
            });
        }
    });
}

#[test]
fn connections_are_reset_if_the_service_is_unreachable() {
    let refusing = Refusing::new();
    let to = refusing.addr.to_string();
    let (hub, addr) = serve("tunnel", "hub", TOKEN);
    let expose = expose(&addr, "x", &to, &TOKEN);
    let (forward, entrance) = forward(&addr, "x", &TOKEN);
    assert_reset(&connect(&entrance));
    forward.terminate();
    let stderr = expose.terminate().stderr;
    assert!(
        stderr.contains(&format!("cannot connect to {to}")),
        "{stderr}"
    );
    hub.terminate();
}

#[test]
fn a_name_that_is_not_exposed_cannot_be_reached() {
    let tunnel = Tunnel::new();
    // Neither a similar name nor an address leads to the service.
    for name in ["box:other", "box:", "127.0.0.1:22"] {
        let (forward, entrance) = forward(&tunnel.addr, name, &TOKEN);
        assert_reset(&connect(&entrance));
        let stderr = forward.terminate().stderr;
        assert!(stderr.contains("refused"), "{stderr}");
    }
    assert!(tunnel.service.try_recv().is_err());
    // The hub reports each refusal.
    assert!(tunnel.hub.terminate().stderr.contains("127.0.0.1:22"));
}

#[test]
fn a_client_without_the_token_is_refused() {
    let (hub, addr) = serve("tunnel", "hub", TOKEN);
    let roles = [
        ("expose", ["--name", "x", "--to", "127.0.0.1:22"]),
        ("forward", ["--name", "x", "--listen", "127.0.0.1:0"]),
    ];
    for (role, args) in roles {
        for token in ["", "a secre", "a secret ", "A secret"] {
            let shown = ["--token", token];
            let args = args.iter().chain(&shown);
            let client = join("tunnel", role, &addr, args).end();
            client.assert_failure("error: session refused: wrong token");
        }
    }
    // The hub reports each refused client, but not its token.
    let ended = hub.terminate();
    assert!(
        ended.stdout.is_empty() && !ended.stderr.contains("secre"),
        "{ended:?}"
    );
}

#[test]
fn the_token_may_come_from_the_environment() {
    let (hub, addr) = serve("tunnel", "hub", TOKEN);
    let mut command = example("tunnel");
    command.args([
        "expose",
        "--name",
        "x",
        "--to",
        "127.0.0.1:22",
        "--addr",
        &addr,
    ]);
    let expose = Program::start(command.env("WIRENET_TOKEN", "a secret"));
    expose.line("connected");
    assert_eq!(hub.line("exposed: "), "\"x\"");
    expose.terminate().assert_success();
    assert_eq!(hub.line("no longer exposed: "), "\"x\"");
    hub.terminate().assert_success();
    let mut help = example("tunnel");
    let help = Program::start(help.arg("--help").env("WIRENET_TOKEN", "a secret")).end();
    assert!(!help.stdout.join("\n").contains("a secret"));
}

#[test]
fn a_name_has_one_owner() {
    let tunnel = Tunnel::new();
    let args = ["--name", "box:echo", "--to", "127.0.0.1:22", "--fail-fast"];
    let second = join("tunnel", "expose", &tunnel.addr, args.iter().chain(&TOKEN)).end();
    second.assert_failure("error: session refused: ");
    drop(tunnel.connect());
    tunnel.forward.terminate();
    tunnel.expose.terminate();
    tunnel.hub.terminate();
}

#[test]
fn both_clients_reconnect_after_the_hub_was_killed() {
    let serve_at = |addr: &str| {
        let hub = Program::start(example("tunnel").args(["hub", "--addr", addr]).args(TOKEN));
        let addr = hub.address();
        (hub, addr)
    };
    // An address that no other test uses, so that its port stays free.
    let (first, addr) = serve_at("127.42.0.1:0");
    let mut tunnel = Tunnel::at(first, addr.clone(), &TOKEN);
    drop(tunnel.connect());
    tunnel.hub.signal("KILL");
    // Its port is free only after the process has ended.
    let (stand_in, _) = serve_at("127.42.0.1:0");
    std::mem::replace(&mut tunnel.hub, stand_in).end();
    tunnel.hub = serve_at(&addr).0;
    tunnel.expose.line("connected");
    tunnel.forward.line("connected");
    let (mut client, served) = tunnel.connect();
    client.write_all(b"again").unwrap();
    assert_reads(&served, "again");
    drop((client, served));
    tunnel.forward.terminate();
    tunnel.expose.terminate();
    tunnel.hub.terminate();
}

#[cfg(feature = "tls")]
#[test]
fn a_tunnel_works_over_tls() {
    let of_hub = ["--token", "a secret", "--certs", "certs"];
    let of_clients = ["--token", "a secret", "--ca", "certs/ca.pem"];
    let tunnel = Tunnel::with(&of_hub, &of_clients);
    let (mut client, served) = tunnel.connect();
    client.write_all(b"hidden").unwrap();
    assert_reads(&served, "hidden");
    drop((client, served));

    let args = ["--name", "x", "--to", "127.0.0.1:22"];
    let pin = ["--pin", &"00".repeat(32)];
    let client = join("tunnel", "expose", &tunnel.addr, args.iter().chain(&pin));
    client.end().assert_failure("error: ");
    tunnel.forward.terminate().assert_success();
    tunnel.expose.terminate().assert_success();
    tunnel.hub.terminate();
}

#[test]
fn a_hub_without_a_token_prints_a_warning() {
    let (hub, addr) = serve("tunnel", "hub", NONE);
    let expose = expose(&addr, "x", "127.0.0.1:22", &[]);
    expose.terminate().assert_success();
    assert!(hub.terminate().stderr.contains("no token"));
}
