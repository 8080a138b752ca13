//! Peers that send nothing, or not enough. Each is disconnected at the deadline
//! of the handshake, and there are never more of them than places.

use crate::{
    attack::{Attack, Stage},
    server::{PLAIN, Setup, TCP, TCP_AND_TLS},
    support::{
        encoding::{OPEN_SESSION, field, layer_2},
        frames::{Frame, SYN, encode_all},
        peer::Peer,
    },
};
use socket2::{Domain, Socket, Type};
use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

const DEADLINE: Duration = Duration::from_millis(500);

/// Extra time beyond the deadline, for a busy machine.
const GRACE: Duration = Duration::from_secs(3);

pub const QUICK: Setup = Setup {
    name: "quick",
    set: |builder| builder.handshake_timeout(DEADLINE),
};

const QUICK_LIMIT: &str = "handshake_timeout (10 s; here 500 ms)";

/// The most that each of these peers may make the server allocate.
const EACH: usize = 32 << 10;

/// The bytes of a request for a session.
fn request() -> Vec<u8> {
    let request = layer_2(OPEN_SESSION, "openSession", &field(1, &[1; 16]));
    encode_all([Frame::flags(1, SYN), Frame::data(1, request)])
}

/// Connects `count` unauthenticated peers, and waits until all of them are
/// disconnected.
fn until_gone(
    stage: &Stage<'_>,
    count: usize,
    connect: impl Fn(&Stage<'_>, usize) -> Peer,
) -> String {
    let peers = (0..count).map(|number| connect(stage, number));
    let mut peers: Vec<_> = peers.collect();
    let began = Instant::now();
    peers.iter_mut().for_each(|peer| {
        peer.read_to_close();
    });
    let took = began.elapsed();
    assert!(took < DEADLINE + GRACE, "{took:?}");
    for peer in &peers {
        let report = stage.server.report_about(peer);
        assert!(report.starts_with("handshake "), "{report}");
    }
    format!("closed, the last {took:.0?} after it connected")
}

#[test]
fn a_peer_that_sends_nothing_is_disconnected_at_the_handshake_timeout() {
    let attack = Attack {
        name: "32 connections that send nothing",
        limit: QUICK_LIMIT,
        setup: &QUICK,
        memory: 32 * EACH,
    };
    attack.run_at_once(TCP_AND_TLS, |stage| {
        until_gone(stage, 32, |stage, _| Peer::over_tcp(stage.server.dial()))
    });
}

#[test]
fn a_peer_that_stops_in_the_middle_is_disconnected_at_the_handshake_timeout() {
    /// Where a peer stops, in bytes of the request.
    const STOPS: [(&str, usize); 3] = [
        ("a yamux header", 6),
        ("the session handshake's header", 12 + 12 + 5),
        ("the session handshake", 12 + 12 + 12 + 5),
    ];
    for (stop, len) in STOPS {
        let attack = Attack {
            name: stop,
            limit: QUICK_LIMIT,
            setup: &QUICK,
            memory: 16 * 2 * EACH,
        };
        attack.run_at_once(TCP_AND_TLS, move |stage| {
            let outcome = until_gone(stage, 16, |stage, _| {
                let mut peer = stage.server.peer();
                peer.write_all(&request()[..len]).unwrap();
                peer
            });
            format!("16 connections that stop in the middle of {stop}: {outcome}")
        });
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_peer_that_stops_in_the_middle_of_tls_is_disconnected_at_the_handshake_timeout() {
    let attack = Attack {
        name: "33 connections that stop in the middle of the TLS handshake",
        limit: QUICK_LIMIT,
        setup: &QUICK,
        memory: 32 * EACH,
    };
    attack.run(&TCP_AND_TLS[2..], |stage| {
        let hello = crate::support::tls::client_hello();
        let stops = [3, hello.len() / 2, hello.len()];
        until_gone(stage, 33, |stage, number| {
            let mut socket = stage.server.dial();
            let stop = stops[number % stops.len()];
            socket.write_all(&hello[..stop]).unwrap();
            Peer::over_tcp(socket)
        })
    });
}

/// Progress does not extend the deadline.
#[test]
fn a_peer_that_sends_a_byte_now_and_then_is_disconnected_at_the_handshake_timeout() {
    let attack = Attack {
        name: "a byte every 20 ms (to a deadline of seconds: every second)",
        limit: QUICK_LIMIT,
        setup: &QUICK,
        memory: 4 * EACH,
    };
    attack.run_at_once(TCP_AND_TLS, |stage| {
        let began = Instant::now();
        let apart = Duration::from_millis(20);
        let mut peer = stage.server.peer();
        let sent = peer.trickle(&request(), apart);
        let took = began.elapsed();
        assert!(took < DEADLINE + GRACE, "{took:?}");
        let report = stage.server.report_about(&peer);
        assert!(report.contains("no session handshake within"), "{report}");
        #[cfg(feature = "tls")]
        if stage.place.is_tls {
            let hello = crate::support::tls::client_hello();
            let began = Instant::now();
            Peer::over_tcp(stage.server.dial()).trickle(&hello, apart);
            let took = began.elapsed();
            assert!(took < DEADLINE + GRACE, "{took:?}, in TLS");
        }
        format!("closed after {sent} bytes, {took:.0?}")
    });
}

const PLACES: usize = 8;

pub const FEW: Setup = Setup {
    name: "few",
    set: |builder| {
        let builder = builder.max_handshakes(PLACES);
        builder.handshake_timeout(Duration::from_secs(3600))
    },
};

const FEW_LIMIT: &str = "max_handshakes (64; here 8)";

#[test]
fn connections_beyond_the_handshake_places_are_closed_at_once() {
    let attack = Attack {
        name: "500 connections that send nothing, 8 of them forever",
        limit: FEW_LIMIT,
        setup: &FEW,
        memory: 4 * PLACES * EACH,
    };
    attack.run(TCP_AND_TLS, |stage| {
        let before = stage.server.usage();
        let held: Vec<_> = (0..PLACES).map(|_| stage.server.dial()).collect();
        let began = Instant::now();
        for _ in PLACES..500 {
            Peer::over_tcp(stage.server.dial()).read_to_close();
        }
        let took = began.elapsed();
        let after = stage.server.usage();
        let threads = after.threads - before.threads;
        // One or two threads of the pool run the error handler.
        assert!(threads <= PLACES + 2, "{threads} threads");
        let descriptors = after.descriptors - before.descriptors;
        assert!(descriptors <= 2 * PLACES, "{descriptors} descriptors");
        stage.server.report("8 handshakes are under way");
        drop(held);
        format!("492 closed at once, in {took:.0?}; {threads} threads, {descriptors} descriptors")
    });
}

/// A connection from another address of this machine.
fn dial_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[test]
fn one_address_cannot_keep_other_addresses_out() {
    let attack = Attack {
        name: "one address takes every place",
        limit: FEW_LIMIT,
        setup: &FEW,
        memory: 4 * PLACES * EACH,
    };
    attack.run(TCP_AND_TLS, |stage| {
        let mut held: Vec<_> = (0..PLACES)
            .map(|_| Peer::over_tcp(stage.server.dial()))
            .collect();
        // There is no place for its own address.
        Peer::over_tcp(stage.server.dial()).read_to_close();
        stage.server.report("handshakes are under way");
        let other = dial_from(Ipv4Addr::new(127, 0, 0, 2), stage.server.addr);
        let answer = Peer::over(other, stage.place.is_tls).ask(&field(1, &[2; 16]));
        assert!(answer.starts_with(&field(1, &[2; 16])));
        // The oldest was evicted, and the report names it.
        let oldest = held.remove(0);
        let local = oldest.socket().local_addr().unwrap().to_string();
        let report = stage.server.report("evicted");
        assert!(report.contains(&local), "{report}");
        let mut oldest = oldest;
        oldest.read_to_close();
        "a client from another address gets the oldest place".into()
    });
}

/// As many as a server has by default.
#[test]
fn unauthenticated_peers_in_all_places_cost_little() {
    let attack = Attack {
        name: "64 connections that send nothing, for as long as allowed",
        limit: "max_handshakes 64",
        setup: &PLAIN,
        memory: 64 * EACH,
    };
    attack.run(TCP, |stage| {
        let held: Vec<_> = (0..64).map(|_| stage.server.dial()).collect();
        Peer::over_tcp(stage.server.dial()).read_to_close();
        stage.server.report("64 handshakes are under way");
        drop(held);
        "the 65th is closed at once".into()
    });
}
