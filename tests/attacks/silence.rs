//! Peers that say nothing, or not enough: each is gone within the one deadline
//! of the handshake, and no more of them are let in than there are places.

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

/// A busy machine's, beyond the deadline.
const GRACE: Duration = Duration::from_secs(3);

pub const QUICK: Setup = Setup {
    name: "quick",
    set: |builder| builder.handshake_timeout(DEADLINE),
};

const QUICK_LIMIT: &str = "handshake_timeout (10 s; here 500 ms)";

/// What each of these strangers may make the server hold.
const EACH: usize = 32 << 10;

/// A request for a session, as it goes over the wire.
fn request() -> Vec<u8> {
    let request = layer_2(OPEN_SESSION, "openSession", &field(1, &[1; 16]));
    encode_all([Frame::flags(1, SYN), Frame::data(1, request)])
}

/// Has so many strangers go about it, and waits until all are gone.
fn until_gone(
    stage: &Stage<'_>,
    count: usize,
    stranger: impl Fn(&Stage<'_>, usize) -> Peer,
) -> String {
    let strangers = (0..count).map(|number| stranger(stage, number));
    let mut strangers: Vec<_> = strangers.collect();
    let began = Instant::now();
    strangers.iter_mut().for_each(|peer| {
        peer.read_to_close();
    });
    let took = began.elapsed();
    assert!(took < DEADLINE + GRACE, "{took:?}");
    for stranger in &strangers {
        let report = stage.server.report_about(stranger);
        assert!(report.starts_with("handshake "), "{report}");
    }
    format!("closed, the last {took:.0?} after it came")
}

#[test]
fn who_says_nothing_is_gone_within_the_handshake_timeout() {
    let attack = Attack {
        name: "32 connections that say nothing",
        limit: QUICK_LIMIT,
        setup: &QUICK,
        memory: 32 * EACH,
    };
    attack.run(TCP_AND_TLS, |stage| {
        until_gone(stage, 32, |stage, _| Peer::over_tcp(stage.server.dial()))
    });
}

#[test]
fn who_stops_in_the_middle_is_gone_within_the_handshake_timeout() {
    /// Bytes of the request after which to stop.
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
        attack.run(TCP_AND_TLS, move |stage| {
            let outcome = until_gone(stage, 16, |stage, _| {
                let mut peer = stage.server.peer();
                peer.write_all(&request()[..len]).unwrap();
                peer
            });
            format!("16 that stop in the middle of {stop}: {outcome}")
        });
    }
}

#[cfg(feature = "tls")]
#[test]
fn who_stops_in_the_middle_of_tls_is_gone_within_the_handshake_timeout() {
    let attack = Attack {
        name: "33 connections that stop in the middle of TLS's handshake",
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

/// Each byte is something new, and no excuse.
#[test]
fn who_sends_a_byte_now_and_then_is_gone_within_the_handshake_timeout() {
    let attack = Attack {
        name: "a byte every 20 ms (to a deadline of seconds: every second)",
        limit: QUICK_LIMIT,
        setup: &QUICK,
        memory: 4 * EACH,
    };
    attack.run(TCP_AND_TLS, |stage| {
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
fn strangers_are_no_more_than_there_are_places_and_the_next_is_not_kept_waiting() {
    let attack = Attack {
        name: "500 connections that say nothing, 8 of them for ever",
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
        // One or two of the pool's tell the error handler.
        assert!(threads <= PLACES + 2, "{threads} threads");
        let descriptors = after.descriptors - before.descriptors;
        assert!(descriptors <= 2 * PLACES, "{descriptors} descriptors");
        stage.server.report("8 handshakes are under way");
        drop(held);
        format!("492 closed at once, in {took:.0?}; {threads} threads, {descriptors} descriptors")
    });
}

/// A connection from another address of this machine's.
fn dial_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[test]
fn one_address_cannot_keep_others_out() {
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
        // Its own address has no place for it.
        Peer::over_tcp(stage.server.dial()).read_to_close();
        stage.server.report("handshakes are under way");
        let other = dial_from(Ipv4Addr::new(127, 0, 0, 2), stage.server.addr);
        let answer = Peer::over(other, stage.place.is_tls).ask(&field(1, &[2; 16]));
        assert!(answer.starts_with(&field(1, &[2; 16])));
        // The oldest gave way, and the error handler knows which.
        let oldest = held.remove(0);
        let local = oldest.socket().local_addr().unwrap().to_string();
        let report = stage.server.report("gave way");
        assert!(report.contains(&local), "{report}");
        let mut oldest = oldest;
        oldest.read_to_close();
        "a client of another address takes the oldest place".into()
    });
}

/// As many as a default server has.
#[test]
fn a_full_house_of_strangers_costs_little() {
    let attack = Attack {
        name: "64 connections that say nothing, for as long as they may",
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
