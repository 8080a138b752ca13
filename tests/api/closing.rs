//! What a close waits for, and what it ends.

use crate::support::{
    PATIENCE,
    frames::{Frame, PING},
    in_time,
    peer::{Peer, ScriptedServer},
    wires::{addr_of, announcing, started},
    within,
};
use crossbeam_channel::bounded;
use std::{
    io::Read,
    thread,
    time::{Duration, Instant},
};
use wirenet::{Error, Wire};

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

const CLOSE: Duration = Duration::from_secs(3);

#[test]
fn close_waits_for_all_peers_at_once() {
    // Less time than waiting for two of them in turn would take.
    within(Duration::from_secs(15), || {
        let (serving, sessions) = announcing(Wire::mount("127.0.0.1:0"));
        let server = started(serving);
        let mut clients = [1, 2, 3].map(|id| {
            let client = Peer::join(&server, [id; 16]);
            sessions.recv().unwrap();
            client
        });
        let closing = thread::spawn(move || server.close().unwrap());
        // Each gets a go-away while none of them has left.
        assert!(clients.iter_mut().all(Peer::ends_with_go_away));
        drop(clients);
        closing.join().unwrap();
    });
}

#[test]
fn close_ends_a_clients_handshake() {
    in_time(|| {
        let server = ScriptedServer::silent();
        let joining = Wire::join(server.addr.to_string()).handshake_timeout(NEVER);
        let client = joining.build().unwrap();
        let connecting = {
            let client = client.clone();
            thread::spawn(move || client.connect())
        };
        let _accepted = server.accepted.recv().unwrap();
        client.close().unwrap();
        let ended = connecting.join().unwrap();
        assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
    });
}

#[test]
fn close_ends_a_servers_handshakes() {
    in_time(|| {
        let server = started(Wire::mount("127.0.0.1:0").handshake_timeout(NEVER));
        let mut client = Peer::dial(addr_of(&server));
        // It sends nothing else, and the server answers.
        client.send(Frame::ping(0));
        assert_eq!(client.receive().unwrap().kind, PING);
        server.close().unwrap();
        assert_eq!(client.receive(), None);
    });
}

/// The close hook runs after the open hook, and a close waits for hooks.
#[test]
fn a_close_from_the_open_hook_does_not_wait_for_the_close_hook() {
    in_time(|| {
        let (sender, closed) = bounded(1);
        let server = Wire::mount("127.0.0.1:0")
            .session_close_timeout(CLOSE)
            .on_session_open(move |session| {
                let began = Instant::now();
                let outcome = session.close_wire();
                let _ = sender.send((outcome, began.elapsed()));
            })
            .on_session_close(|_| {})
            .build()
            .unwrap();
        server.start().unwrap();
        let addr = server.local_addr().unwrap().to_string();
        let client = Wire::join(addr).retry_max(0).build().unwrap();
        let _ = client.start();
        let (outcome, took) = closed.recv_timeout(PATIENCE).unwrap();
        assert_eq!(outcome, Ok(()), "after {took:?}");
        assert!(took < CLOSE, "{took:?}");
    });
}

#[test]
fn a_close_from_the_validator_of_a_stream_does_not_wait_for_that_stream() {
    in_time(|| {
        let (sender, closed) = bounded(1);
        let (give, given) = bounded::<wirenet::Session>(1);
        let server = Wire::mount("127.0.0.1:0")
            .session_close_timeout(CLOSE)
            .token_validator(move |name, _, _| {
                if name == "echo" {
                    let session = given.recv().unwrap();
                    let began = Instant::now();
                    let outcome = session.close_wire();
                    let _ = sender.send((outcome, began.elapsed()));
                }
                Ok(())
            })
            .stream("echo", |_| Ok(()))
            .build()
            .unwrap();
        server.start().unwrap();
        let addr = server.local_addr().unwrap().to_string();
        let client = Wire::join(addr).retry_max(0).build().unwrap();
        client.start().unwrap();
        give.send(server.wait_session(PATIENCE).unwrap()).unwrap();
        let near = client.wait_session(PATIENCE).unwrap();
        let mut stream = near.open_stream_nowait("echo").unwrap();
        let _ = stream.read(&mut [0; 1]);
        let (outcome, took) = closed.recv_timeout(PATIENCE).unwrap();
        assert_eq!(outcome, Ok(()), "after {took:?}");
        assert!(took < CLOSE, "{took:?}");
    });
}
