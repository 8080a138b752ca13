//! `keep_alive`, `keep_alive_interval`, and the round-trip time.

use crate::support::{
    PATIENCE,
    fault_proxy::{FaultProxy, Profile},
    frames::{ACK, Frame, PING, SYN, WINDOW_UPDATE},
    in_time,
    peer::{Peer, ScriptedServer},
    wires::{Told, addr_of, assert_echoes, echo, errors, joining, mounting, started},
};
use crossbeam_channel::{Receiver, bounded, unbounded};
use std::time::{Duration, Instant};
use wirenet::{Builder, Operation, Session, Wire, yamux};

const SHORT: Duration = Duration::from_millis(100);

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(3600);

/// Sets up a side that pings, and records the ends of its sessions and its errors.
fn pinging(side: Builder) -> (Builder, Receiver<Instant>, Receiver<Told>) {
    let (ended, ends) = unbounded();
    let (on_error, told) = errors();
    let side = side
        .keep_alive_interval(SHORT)
        .read_write_timeouts(None, 2 * SHORT)
        .retry_max(0)
        .on_session_close(move |_| ended.send(Instant::now()).unwrap())
        .on_error(on_error);
    (side, ends, told)
}

#[test]
fn a_silent_connection_ends_on_both_sides_after_interval_and_write_timeout() {
    in_time(|| {
        let (serving, server_ends, server_told) = pinging(mounting());
        let server = started(serving.stream("echo", echo));
        let link = FaultProxy::to(addr_of(&server), Profile::default()).unwrap();
        let (dialling, client_ends, client_told) = pinging(Wire::join(link.addr.to_string()));
        let client = started(dialling);
        let session = client.wait_session(PATIENCE).unwrap();
        assert_echoes(&session);
        let shut = Instant::now();
        link.silence();
        for (ends, told) in [(server_ends, server_told), (client_ends, client_told)] {
            let after = ends.recv().unwrap() - shut;
            // The last bytes may have arrived a while before.
            assert!(after >= SHORT, "{after:?}");
            assert!(after < 30 * SHORT, "{after:?}");
            let (operation, cause) = told.recv().unwrap();
            assert_eq!(operation, Operation::Session);
            assert_eq!(cause, yamux::Error::KeepAlive.to_string());
        }
        assert!(server.sessions().is_empty() && session.is_closed());
    });
}

/// Returns a server with these options, its session, and its scripted client.
fn scripted_client(options: impl FnOnce(Builder) -> Builder) -> (Wire, Session, Peer) {
    let server = started(options(mounting().session_close_timeout(Duration::ZERO)));
    let client = Peer::join(&server, [3; 16]);
    let session = server.wait_session(PATIENCE).unwrap();
    (server, session, client)
}

/// Reads up to the next ping.
fn next_ping(client: &mut Peer) -> Frame {
    loop {
        let frame = client.receive().expect("a ping");
        if frame.kind == PING {
            assert_eq!((frame.flags, frame.stream), (SYN, 0));
            return frame;
        }
    }
}

fn answer(client: &mut Peer, ping: Frame) {
    client.send(ping.with_flags(ACK));
}

#[test]
fn a_ping_is_sent_when_nothing_was_received_for_the_interval() {
    in_time(|| {
        let begin = Instant::now();
        let (_server, session, mut client) =
            scripted_client(|server| server.keep_alive_interval(SHORT));
        for round in 1..4 {
            let ping = next_ping(&mut client);
            assert!(begin.elapsed() >= round * SHORT);
            answer(&mut client, ping);
        }
        assert!(!session.is_closed());
    });
}

#[test]
fn a_server_without_keep_alive_sends_no_ping() {
    in_time(|| {
        let (_server, session, mut client) = scripted_client(|server| {
            let quick = server.keep_alive_interval(Duration::from_millis(1));
            quick.keep_alive(false)
        });
        assert_eq!(client.until_quiet(5 * SHORT).unwrap(), [0; 0]);
        assert!(!session.is_closed());
        assert_eq!(session.round_trip_time(), None);
    });
}

#[test]
fn a_client_without_keep_alive_sends_no_ping() {
    in_time(|| {
        let server = ScriptedServer::listen(Peer::confirm_session);
        let client = Wire::join(server.addr.to_string())
            .session_close_timeout(Duration::ZERO)
            .keep_alive_interval(Duration::from_millis(1))
            .keep_alive(false);
        let _client = started(client);
        let mut connection = server.accepted.recv().unwrap();
        let kinds = connection.until_quiet(5 * SHORT).unwrap();
        // Only the end of the stream with the session request.
        assert!(kinds.iter().all(|kind| *kind == WINDOW_UPDATE), "{kinds:?}");
    });
}

#[test]
fn a_peer_that_sends_anything_is_alive() {
    in_time(|| {
        let (_server, session, mut client) = scripted_client(|server| {
            let server = server.keep_alive_interval(SHORT);
            server.read_write_timeouts(None, 3 * SHORT)
        });
        for _ in 0..6 {
            next_ping(&mut client);
            // A frame for an unknown stream, to which there is no response.
            client.send(Frame::flags(99, 0));
        }
        assert!(!session.is_closed());
    });
}

#[test]
fn the_round_trip_time_is_measured_by_a_ping() {
    in_time(|| {
        let (server, session, mut client) =
            scripted_client(|server| server.keep_alive_interval(SHORT));
        assert_eq!(session.round_trip_time(), None);
        let ping = next_ping(&mut client);
        // Delays the answer, like a long link.
        assert_eq!(client.until_quiet(SHORT).unwrap(), [0; 0]);
        answer(&mut client, ping);
        // The next ping is sent after the answer was received.
        next_ping(&mut client);
        let measured = session.round_trip_time().unwrap();
        assert!(measured >= SHORT && measured < PATIENCE, "{measured:?}");
        for stats in [session.stats(), server.stats()] {
            assert_eq!(stats.round_trip_time, Some(measured));
        }
        session.abort();
        // The wire's statistics keep it.
        server.close().unwrap();
        assert_eq!(server.stats().round_trip_time, Some(measured));
    });
}

#[test]
fn a_session_that_answers_pings_stays_open_for_many_intervals() {
    in_time(|| {
        let asking = |side: Builder, interval| {
            side.keep_alive_interval(interval)
                .read_write_timeouts(None, PATIENCE)
        };
        let quick = Duration::from_millis(5);
        // Only one side pings; with two it would be random which one does.
        for intervals in [[quick, NEVER], [NEVER, quick]] {
            let (stop, stopped) = bounded::<()>(0);
            let server = started(asking(mounting(), intervals[0]).stream("echo", echo));
            let client = started(asking(joining(&server), intervals[1]));
            let near = client.wait_session(PATIENCE).unwrap();
            let far = server.wait_session(PATIENCE).unwrap();
            stopped.recv_timeout(3 * SHORT).unwrap_err();
            drop(stop);
            assert_echoes(&near);
            let asked = if intervals[0] == quick { far } else { near };
            assert!(asked.round_trip_time().is_some());
            assert_eq!(client.stats().sessions, 1);
        }
    });
}

#[test]
fn a_long_keep_alive_interval_does_not_delay_a_close() {
    in_time(|| {
        let slow = |side: Builder| side.keep_alive_interval(NEVER);
        let server = started(slow(mounting()));
        let client = started(slow(joining(&server)));
        client.close().unwrap();
        server.close().unwrap();
    });
}
