//! `kill -9` of each of the programs, in the middle of traffic: the others
//! reconnect, the offered names are found again, and no resources are left over.
//!
//! Each of the two tests kills 12 programs; `WIRENET_KILLS` sets another number.

use crate::program::{DEADLINE, NONE, Program, example, join, serve};
use crate::resources::{await_resources, settled};
use std::{
    env,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const TOKEN: [&str; 2] = ["--token", "a secret"];

/// Programs that are killed in a round: one of each role.
const ROLES: usize = 3;

/// Rounds that run in parallel.
const LANES: usize = 4;

/// TCP connections through a tunnel.
const CONNECTIONS: usize = 3;

/// The maximum of idle handler threads: as many as handlers ran at once. It does
/// not grow with each kill.
const HANDLERS: usize = 2 * CONNECTIONS + 2;

fn rounds() -> usize {
    let kills: usize =
        env::var("WIRENET_KILLS").map_or(12, |kills| kills.parse().expect("a number"));
    kills.div_ceil(ROLES)
}

/// How long recovery may take beyond the retry wait: the time to start processes,
/// on a busy machine.
const GRACE: Duration = Duration::from_secs(20);

/// Runs all rounds, and prints the longest recovery. A program that lost its hub
/// retries within the retry wait; if the hub is not back by then, within twice that
/// time.
fn each_round(what: &str, retry_wait: Duration, round: impl Fn(usize) -> Duration + Sync) {
    let (next, all) = (AtomicUsize::new(0), rounds());
    let longest = thread::scope(|scope| {
        let lane = || {
            let numbers = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < all);
            std::iter::from_fn(numbers).map(&round).max()
        };
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        let longest = lanes.into_iter().filter_map(|lane| lane.join().unwrap());
        longest.max().expect("there are rounds")
    });
    let kills = all * ROLES;
    println!("{what}: {kills} killed; the longest recovery took {longest:?}");
    assert!(longest < 2 * retry_wait + GRACE, "{longest:?}");
}

/// Returns a number below `limit` that differs from round to round.
fn spread(round: usize, limit: usize) -> usize {
    round.wrapping_mul(0x9e37_79b9) % limit
}

/// Returns how many handler threads there may be. The first round waits at its end
/// until there are none.
fn handlers(round: usize, last: bool) -> usize {
    match round == 0 && last {
        true => 0,
        false => HANDLERS,
    }
}

// -- the tunnel --

/// Starts a service that echoes. Returns its address.
fn echo_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            thread::spawn(move || -> io::Result<()> {
                let tcp = tcp?;
                io::copy(&mut &tcp, &mut &tcp)?;
                tcp.shutdown(Shutdown::Write)
            });
        }
    });
    addr
}

/// Returns byte number `at` of every connection's content.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

struct Tunnel {
    addr: String,
    service: String,
    hub: Program,
    expose: Program,
    forward: Program,
    entrance: String,
}

impl Tunnel {
    fn start_hub(addr: &str) -> (Program, String) {
        let hub = Program::start(example("tunnel").args(["hub", "--addr", addr]).args(TOKEN));
        let addr = hub.address();
        (hub, addr)
    }

    fn start_expose(addr: &str, to: &str) -> Program {
        let own = ["--name", "box:echo", "--to", to];
        let expose = join("tunnel", "expose", addr, own.iter().chain(&TOKEN));
        expose.line("connected");
        expose
    }

    fn start_forward(addr: &str) -> (Program, String) {
        let own = ["--name", "box:echo", "--listen", "127.0.0.1:0"];
        let forward = join("tunnel", "forward", addr, own.iter().chain(&TOKEN));
        let entrance = forward.address();
        forward.line("connected");
        (forward, entrance)
    }

    fn new(round: usize) -> Self {
        // An address that no other test uses, so that its port stays free.
        let (hub, addr) = Self::start_hub(&format!("127.44.0.{}:0", round % 250 + 1));
        let service = echo_service();
        let expose = Self::start_expose(&addr, &service);
        let (forward, entrance) = Self::start_forward(&addr);
        Self {
            addr,
            service,
            hub,
            expose,
            forward,
            entrance,
        }
    }

    fn connect(&self) -> TcpStream {
        let tcp = TcpStream::connect(&self.entrance).unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        tcp
    }

    /// Sends a question on each of as many connections as are used later, and checks
    /// the answers.
    fn ask(&self) {
        let all: Vec<_> = (0..CONNECTIONS).map(|_| self.connect()).collect();
        for mut tcp in &all {
            tcp.write_all(b"question").unwrap();
            tcp.shutdown(Shutdown::Write).unwrap();
        }
        for mut tcp in &all {
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "question");
        }
    }

    /// Starts connections that carry bytes until they break. Each one sends to
    /// `carried` when it has carried `much` bytes.
    fn carry(&self, much: usize, carried: &Sender<()>) -> Vec<JoinHandle<()>> {
        let carry = |_| {
            let (tcp, carried) = (self.connect(), carried.clone());
            thread::spawn(move || carry_until_cut(&tcp, much, &carried))
        };
        (0..CONNECTIONS).map(carry).collect()
    }

    /// Kills the program of this role and starts it again. Returns the time from
    /// its start until all programs were connected.
    fn kill(&mut self, role: usize, much: usize) -> Duration {
        let (carried, has_carried) = channel();
        let connections = self.carry(much, &carried);
        for _ in &connections {
            has_carried.recv_timeout(DEADLINE).unwrap();
        }
        // Dropped, a program is killed by SIGKILL and waited for.
        let restarted = match role {
            0 => {
                // Its port is free only after the process has ended.
                let (stand_in, _) = Self::start_hub("127.44.1.1:0");
                drop(std::mem::replace(&mut self.hub, stand_in));
                let restarted = Instant::now();
                self.hub = Self::start_hub(&self.addr).0;
                self.expose.line("connected");
                self.forward.line("connected");
                restarted
            }
            1 => {
                self.expose.signal("KILL");
                self.hub.line("no longer exposed");
                let restarted = Instant::now();
                self.expose = Self::start_expose(&self.addr, &self.service);
                restarted
            }
            _ => {
                self.forward.signal("KILL");
                let restarted = Instant::now();
                (self.forward, self.entrance) = Self::start_forward(&self.addr);
                restarted
            }
        };
        for connection in connections {
            connection.join().unwrap();
        }
        self.ask();
        restarted.elapsed()
    }
}

/// Checks that the bytes that come back are those that were sent until the
/// connection breaks, and that it breaks by a reset.
fn carry_until_cut(tcp: &TcpStream, much: usize, carried: &Sender<()>) {
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut to = tcp;
            let period: Vec<u8> = (0..251).map(byte).collect();
            let bytes = period.repeat(64);
            loop {
                if let Err(error) = to.write_all(&bytes) {
                    break error;
                }
            }
        });
        let (mut from, mut buf, mut at) = (tcp, [0; 8192], 0);
        let end = loop {
            match from.read(&mut buf) {
                Ok(0) => break None,
                Ok(count) => {
                    let received = buf[..count].iter().zip(at..);
                    assert!(received.into_iter().all(|(got, at)| *got == byte(at)));
                    if at < much && at + count >= much {
                        carried.send(()).unwrap();
                    }
                    at += count;
                }
                Err(error) => break Some(error),
            }
        };
        // The system reports a reset once: to the reader or to the writer. The
        // other one sees the end of the connection.
        let ends = [end, Some(writer.join().unwrap())];
        let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        assert!(ends.iter().flatten().any(is_reset), "{ends:?} after {at}");
    });
}

#[test]
fn a_tunnel_recovers_from_kills_of_any_of_its_programs() {
    each_round("tunnel", Duration::from_millis(250), |round| {
        let mut tunnel = Tunnel::new(round);
        tunnel.ask();
        let [hub, expose, forward] = [&tunnel.hub, &tunnel.expose, &tunnel.forward].map(settled);
        let much = 1 + spread(round, 1 << 20);
        (0..ROLES)
            .map(|turn| {
                let role = (turn + round) % ROLES;
                let took = tunnel.kill(role, much);
                let last = turn + 1 == ROLES;
                await_resources(&tunnel.hub, &hub, handlers(round, last));
                await_resources(&tunnel.expose, &expose, handlers(round, last));
                await_resources(&tunnel.forward, &forward, handlers(round, last));
                took
            })
            .max()
            .expect("some")
    });
}

// -- the hub's nodes --

/// A slow pace, so that a call takes far longer than a kill.
const PACE: [&str; 2] = ["--interval-ms", "100"];

fn node_b(addr: &str) -> Program {
    let node_b = join("hub", "node_b", addr, NONE);
    node_b.line("connected");
    node_b
}

/// Makes a complete call from a new node A.
fn complete_call(addr: &str, node_b: &Program) {
    let node_a = join("hub", "node_a", addr, ["--interval-ms", "0"]);
    node_a.line("FIN");
    // An earlier call that was cut must not have ended with a FIN.
    let before = node_b.lines_to("node A calls");
    assert!(!before.iter().any(|line| line == "FIN"), "{before:?}");
    node_b.line("FIN");
    node_a.terminate().assert_success();
}

#[test]
fn a_hub_and_its_nodes_recover_from_kills_of_any_of_them() {
    each_round("hub", Duration::from_secs(5), |round| {
        let (mut hub, addr) = serve_at(&format!("127.45.0.{}:0", round % 250 + 1));
        let mut b = node_b(&addr);
        hub.line("open session");
        complete_call(&addr, &b);
        hub.line("close session");
        let [of_hub, of_b] = [&hub, &b].map(settled);
        let mut longest = Duration::ZERO;
        for turn in 0..ROLES {
            let a = join("hub", "node_a", &addr, PACE);
            b.line("node A calls");
            b.line(&format!("{}. part", spread(round, 8)));
            let restarted;
            match (turn + round) % ROLES {
                0 => {
                    let (stand_in, _) = serve("hub", "hub", NONE);
                    drop(std::mem::replace(&mut hub, stand_in));
                    restarted = Instant::now();
                    hub = serve_at(&addr).0;
                    assert!(!a.end().status.success());
                    b.line("connected");
                }
                1 => {
                    b.signal("KILL");
                    assert!(!a.end().status.success());
                    let closed = [0; 2].map(|_| hub.line("close session"));
                    assert_ne!(closed[0], closed[1]);
                    restarted = Instant::now();
                    b = node_b(&addr);
                }
                _ => {
                    drop(a);
                    hub.line("close session");
                    restarted = Instant::now();
                }
            }
            complete_call(&addr, &b);
            longest = longest.max(restarted.elapsed());
            hub.line("close session");
            let last = turn + 1 == ROLES;
            await_resources(&hub, &of_hub, handlers(round, last));
            await_resources(&b, &of_b, handlers(round, last));
        }
        longest
    });
}

fn serve_at(addr: &str) -> (Program, String) {
    let hub = Program::start(example("hub").args(["hub", "--addr", addr]));
    let addr = hub.address();
    (hub, addr)
}
