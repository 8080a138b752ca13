//! `session.close()` and `session.abort()` end one session, and nothing else.

use super::{NEVER, SHORT, SOON, await_closing, is_going_away};
use crate::support::{
    PATIENCE, in_time,
    peer::Peer,
    wires::{
        Link, announcing, assert_echoes, echo, joining, means_broken, message, mounting, started,
    },
    within,
};
use crossbeam_channel::{bounded, unbounded};
use std::{
    io::{self, Read},
    thread,
    time::{Duration, Instant},
};
use wirenet::{Builder, Operation};

#[test]
fn a_closing_session_lets_its_streams_end() {
    in_time(|| {
        let link = Link::new(
            |server| server.session_close_timeout(PATIENCE).stream("echo", echo),
            |client| client.retry_max(0),
        );
        let stream = link.near.open_stream("echo").unwrap();
        let closing = link.far.clone();
        let closer = thread::spawn(move || closing.close());
        await_closing(&link.near);
        assert!(is_going_away(&link.near.open_stream("echo").unwrap_err()));
        stream.write_message(b"still").unwrap();
        assert_eq!(message(&stream).unwrap(), b"still");
        drop(stream);
        closer.join().unwrap().unwrap();
        assert!(link.near.is_closed() && link.far.is_closed());
        assert!(link.server.sessions().is_empty());
    });
}

#[test]
fn a_session_that_does_not_end_in_time_is_cut_and_listed() {
    in_time(|| {
        let (outcome, outcomes) = bounded(1);
        let server = |server: Builder| {
            server
                .session_close_timeout(3 * SHORT)
                .stream("read", move |stream| {
                    outcome.send(stream.read(&mut [0])).unwrap();
                    Ok(())
                })
        };
        let link = Link::new(server, |client| {
            client.retry_max(0).identification("box", "")
        });
        let mut stream = link.near.open_stream("read").unwrap();
        let begin = Instant::now();
        let error = link.far.close().unwrap_err();
        assert!(begin.elapsed() >= 3 * SHORT);
        assert_eq!(error.sessions.len(), 1);
        assert_eq!(error.sessions[0].id, link.far.id());
        assert_eq!(error.sessions[0].identification, b"box");
        assert_eq!((error.sessions[0].streams, error.running), (1, 0));
        outcomes.recv().unwrap().unwrap_err();
        stream.read(&mut [0]).unwrap_err();
        // Another close has nothing left to cut.
        link.far.close().unwrap();
        link.near.close().unwrap();
    });
}

#[test]
fn closing_a_session_does_not_affect_other_sessions() {
    in_time(|| {
        let (ended, ends) = unbounded();
        let (serving, opened) = announcing(mounting().stream("echo", echo));
        let server = started(serving.on_session_close(move |session| {
            ended.send(session.id()).unwrap();
        }));
        let clients = [(); 3].map(|()| {
            let client = started(joining(&server).retry_max(0));
            (client, opened.recv().unwrap())
        });
        let running = clients[1].0.sessions()[0].open_stream("echo").unwrap();
        clients[0].1.close().unwrap();
        assert_eq!(ends.recv().unwrap(), clients[0].1.id());
        clients[2].1.abort();
        assert_eq!(ends.recv().unwrap(), clients[2].1.id());
        assert_eq!(server.sessions().len(), 1);
        assert!(!clients[1].1.is_closing());
        running.write_message(b"still running").unwrap();
        assert_eq!(message(&running).unwrap(), b"still running");
        assert_echoes(&clients[1].0.sessions()[0]);
        drop(running);
        // The server still accepts sessions.
        assert_echoes(&started(joining(&server)).sessions()[0]);
    });
}

/// Only closing the wire ends a client permanently.
#[test]
fn a_client_reconnects_after_its_session_was_closed() {
    in_time(|| {
        let server = started(mounting().stream("echo", echo));
        let client = started(joining(&server).retry_policy(|_| Some(Duration::ZERO)));
        let first = client.wait_session(PATIENCE).unwrap();
        first.close().unwrap();
        let second = client.wait_session(PATIENCE).unwrap();
        assert_ne!(first.id(), second.id());
        assert_echoes(&second);
    });
}

#[test]
fn an_abort_cuts_both_sides_immediately() {
    within(SOON, || {
        let (outcome, outcomes) = bounded(1);
        let link = Link::new(
            |server| {
                server.stream("read", move |stream| {
                    outcome.send(stream.read(&mut [0])).unwrap();
                    Ok(())
                })
            },
            |client| client.retry_max(0).session_close_timeout(NEVER),
        );
        let mut stream = link.near.open_stream("read").unwrap();
        link.near.abort();
        assert!(link.near.is_closed());
        for error in [
            stream.read(&mut [0]).unwrap_err(),
            outcomes.recv().unwrap().unwrap_err(),
        ] {
            let kind = error.kind();
            let aborted = io::ErrorKind::ConnectionAborted;
            assert!(means_broken(kind) || kind == aborted, "{error}");
        }
        link.near.abort();
        link.client.wait().unwrap();
    });
}

#[test]
fn a_session_closes_in_time_though_its_peer_is_unresponsive() {
    in_time(|| {
        let server = started(mounting().session_close_timeout(3 * SHORT));
        let client = Peer::join(&server, [1; 16]);
        let session = server.wait_session(PATIENCE).unwrap();
        let begin = Instant::now();
        session.close().unwrap();
        let took = begin.elapsed();
        assert!(took >= 3 * SHORT && took < SOON, "{took:?}");
        drop(client);
    });
}

#[test]
fn a_graceful_close_is_not_an_error_on_either_side() {
    in_time(|| {
        let (told, errors) = unbounded::<Operation>();
        let also = told.clone();
        let link = Link::new(
            |server| {
                let server = server.stream("echo", echo);
                server.on_error(move |error| told.send(error.operation.clone()).unwrap())
            },
            |client| {
                let client = client.retry_max(0);
                client.on_error(move |error| also.send(error.operation.clone()).unwrap())
            },
        );
        assert_echoes(&link.near);
        link.far.close().unwrap();
        link.client.wait().unwrap();
        drop(link);
        assert_eq!(errors.iter().collect::<Vec<_>>(), []);
    });
}

#[test]
fn calls_to_a_sessions_close_may_overlap() {
    within(SOON, || {
        let link = Link::new(
            |server| server.stream("echo", echo),
            |client| client.retry_max(0),
        );
        thread::scope(|scope| {
            for session in [&link.near, &link.far, &link.near, &link.far] {
                scope.spawn(|| session.close().unwrap());
            }
            scope.spawn(|| link.client.close().unwrap());
            scope.spawn(|| link.server.close().unwrap());
        });
        assert!(link.near.is_closed() && link.far.is_closed());
    });
}
