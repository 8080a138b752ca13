//! A client may be closed at any moment.

use super::{NEVER, SOON, servers::break_handshake, waiting};
use crate::support::{
    PATIENCE, in_time,
    peer::{ScriptedServer, play},
    threads,
    unreachable::Unreachable,
    wires::{joining, mounting, started, starting},
    within,
};
use crossbeam_channel::unbounded;
use std::thread;
use wirenet::{Error, Wire};

#[test]
fn close_ends_a_wait_at_once() {
    within(SOON, || {
        let (client, starter) = waiting(play(vec![Box::new(break_handshake)]));
        client.close().unwrap();
        assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
    });
}

#[test]
fn close_ends_a_dial_at_once_and_its_thread() {
    within(SOON, || {
        let nobody = Unreachable::new();
        let client = Wire::join(nobody.addr.to_string())
            .dial_timeout(NEVER)
            .thread_name("cl-dl")
            .build()
            .unwrap();
        let starter = starting(&client);
        threads::await_one("cl-dl-dial");
        client.close().unwrap();
        assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
        threads::await_none("cl-dl");
    });
}

#[test]
fn close_ends_a_handshake_at_once() {
    within(SOON, || {
        let server = ScriptedServer::listen(|client| client.read_request().map(drop));
        let client = Wire::join(server.addr.to_string()).handshake_timeout(NEVER);
        let client = client.thread_name("cl-hs").build().unwrap();
        let starter = starting(&client);
        let _accepted = server.accepted.recv().unwrap();
        client.close().unwrap();
        assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
        threads::await_none("cl-hs");
    });
}

#[test]
fn close_between_two_sessions_ends_connect_with_ok() {
    within(SOON, || {
        let (failed, fails) = unbounded();
        let server = started(mounting());
        let client = joining(&server).retry_policy(move |_| {
            failed.send(()).unwrap();
            Some(NEVER)
        });
        let client = client.build().unwrap();
        let connecting = client.clone();
        let connection = thread::spawn(move || connecting.connect());
        server.wait_session(PATIENCE).unwrap().abort();
        fails.recv().unwrap();
        client.close().unwrap();
        // There was a session before.
        connection.join().unwrap().unwrap();
    });
}

/// A closed wire never gets a session, at whatever moment it is closed.
#[test]
fn close_at_any_moment_leaves_nothing_behind() {
    in_time(|| {
        let server = started(mounting());
        for round in 0..100 {
            let client = joining(&server).thread_name("any-mo").build().unwrap();
            let starter = starting(&client);
            // At different moments, as there is nothing to wait for.
            (0..round).for_each(|_| thread::yield_now());
            client.close().unwrap();
            let outcome = starter.join().unwrap();
            assert!(
                matches!(outcome, Ok(()) | Err(Error::Closed)),
                "{outcome:?}"
            );
            assert!(client.sessions().is_empty());
            client.wait().unwrap();
        }
        threads::await_none("any-mo");
    });
}
