//! Running streams may end before their wire closes.

use super::{NEVER, SOON, await_closing, is_going_away, without_probes};
use crate::support::{
    PATIENCE,
    frames::{ACK, Frame, GO_AWAY, PING},
    in_time,
    peer::Peer,
    wires::{
        Link, addr_of, announcing, as_it_is, closing, echo, errors, joining, message, mounting,
        started,
    },
    within,
};
use crossbeam_channel::bounded;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
};
use wirenet::{Builder, Error, Wire};

/// Gives streams as much time as the test has.
fn patient(builder: Builder) -> Builder {
    builder.session_close_timeout(PATIENCE)
}

/// Either side closes while a message is in flight.
#[test]
fn a_running_stream_may_end_while_its_wire_closes() {
    const LEN: usize = 1 << 20;

    for close in [
        |link: &Link| link.client.clone(),
        |link: &Link| link.server.clone(),
    ] {
        in_time(move || {
            let (on_error, told) = errors();
            let link = Link::new(
                |server| patient(server).stream("echo", echo).on_error(on_error),
                patient,
            );
            let stream = link.near.open_stream("echo").unwrap();
            (&stream).write_all(&vec![1; LEN / 2]).unwrap();
            let closing = close(&link);
            let closer = thread::spawn(move || closing.close());
            await_closing(&link.near);
            (&stream).write_all(&vec![1; LEN / 2]).unwrap();
            stream.finish().unwrap();
            assert_eq!(message(&stream).unwrap(), vec![1; LEN]);
            assert!(
                !stream.next_message().unwrap(),
                "the stream has ended gracefully"
            );
            drop(stream);
            closer.join().unwrap().unwrap();
            assert!(link.near.is_closed() && link.far.is_closed());
            assert_eq!(without_probes(told.try_iter().collect()), []);
        });
    }
}

/// A stream that is open in one direction only is still running.
#[test]
fn a_close_waits_for_an_answer_that_is_still_pending() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                patient(server).stream("late", move |stream| {
                    let question = message(stream)?;
                    assert!(released.recv().is_err());
                    stream.write_message(&question)
                })
            },
            as_it_is,
        );
        let stream = link.near.open_stream("late").unwrap();
        stream.write_message(b"question").unwrap();
        let closer = closing(&link.server);
        await_closing(&link.near);
        drop(release);
        assert_eq!(message(&stream).unwrap(), b"question");
        closer.join().unwrap().unwrap();
    });
}

#[test]
fn a_wire_without_streams_closes_immediately() {
    within(SOON, || {
        let server = started(mounting().session_close_timeout(NEVER));
        let clients: Vec<Wire> = (0..20)
            .map(|_| started(joining(&server).session_close_timeout(NEVER)))
            .collect();
        for client in &clients[..10] {
            client.close().unwrap();
        }
        server.close().unwrap();
        for client in &clients {
            client.close().unwrap();
        }
    });
}

#[test]
fn a_closing_wire_opens_and_serves_no_new_streams() {
    in_time(|| {
        let server = |server: Builder| patient(server).stream("echo", echo);
        let link = Link::new(server, |client| client.retry_max(0).stream("echo", echo));
        let running = link.near.open_stream("echo").unwrap();
        let closer = closing(&link.server);
        await_closing(&link.near);
        for session in [&link.near, &link.far] {
            for opened in [
                session.open_stream("echo"),
                session.open_stream_nowait("echo"),
            ] {
                let error = opened.unwrap_err();
                assert!(is_going_away(&error), "{error}");
            }
        }
        // The running stream is not affected.
        running.write_message(b"still").unwrap();
        assert_eq!(message(&running).unwrap(), b"still");
        drop(running);
        closer.join().unwrap().unwrap();
    });
}

#[test]
fn a_closing_server_accepts_no_sessions() {
    in_time(|| {
        let link = Link::new(|server| patient(server).stream("echo", echo), as_it_is);
        let running = link.near.open_stream("echo").unwrap();
        let closer = closing(&link.server);
        await_closing(&link.near);
        let late = joining(&link.server).retry_max(0).build().unwrap();
        late.start().unwrap_err();
        assert!(matches!(link.server.start(), Err(Error::Closed)));
        assert!(matches!(link.server.connect(), Err(Error::Closed)));
        let waited = link.server.wait_session(PATIENCE);
        assert!(matches!(waited, Err(Error::Closed)), "{waited:?}");
        assert_eq!(link.server.stats().sessions, 1);
        running.finish().unwrap();
        drop(running);
        closer.join().unwrap().unwrap();
    });
}

/// The peer is scripted. It gets a go-away, and may finish its running stream.
#[test]
fn a_peer_gets_a_go_away_before_the_connection_ends() {
    in_time(|| {
        let server = started(patient(mounting()).stream("echo", echo));
        let mut client = Peer::join(&server, [8; 16]);
        assert_eq!(client.call("echo"), 3);
        // An answer that accepts the stream has at least 16 bytes.
        let accepted = |frame: &Frame| frame.stream == 3 && frame.body.len() >= 16;
        while !accepted(&client.receive().unwrap()) {}
        let closing = thread::spawn(move || server.close());
        loop {
            let frame = client.receive().expect("a go-away");
            if frame.kind == GO_AWAY {
                assert_eq!(frame.length, 0, "a go-away without an error");
                break;
            }
        }
        // A complete message, and the end of the stream.
        let mut body = 5_u32.to_le_bytes().to_vec();
        body.extend(b"after\0\0\0\0");
        client.send(Frame::data(3, body.clone()));
        client.send(Frame::flags(3, crate::support::frames::FIN));
        let mut answer = Vec::new();
        while let Some(frame) = client.receive() {
            assert!(!frame.has(crate::support::frames::RST));
            match frame.kind {
                PING => client.send(frame.with_flags(ACK)),
                _ => answer.extend(frame.body),
            }
        }
        assert_eq!(answer, body);
        // The server has closed the connection; now the client does.
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(client);
        closing.join().unwrap().unwrap();
    });
}

#[test]
fn all_sessions_get_the_go_away_at_once() {
    within(SOON, || {
        let (serving, opened) = announcing(mounting().session_close_timeout(NEVER));
        let server = started(serving);
        let mut clients: Vec<Peer> = (0..5)
            .map(|id| {
                let client = Peer::join(&server, [id; 16]);
                opened.recv().unwrap();
                client
            })
            .collect();
        let closing = thread::spawn(move || server.close());
        // While none of the clients has closed.
        assert!(clients.iter_mut().all(Peer::ends_with_go_away));
        drop(clients);
        closing.join().unwrap().unwrap();
    });
}

/// A handler that could not see it might run forever.
#[test]
fn a_handler_sees_that_its_session_is_closing() {
    for close in [
        |link: &Link| link.client.clone(),
        |link: &Link| link.server.clone(),
    ] {
        in_time(move || {
            let server = |server: Builder| {
                patient(server).stream("endless", |stream| {
                    assert!(!stream.session().is_closed());
                    while !stream.session().is_closing() {
                        stream.write_message([7; 1000])?;
                    }
                    stream.write_message(b"the end")
                })
            };
            let link = Link::new(server, patient);
            let stream = link.near.open_stream("endless").unwrap();
            assert!(!link.near.is_closing() && !link.far.is_closing());
            let closing = close(&link);
            let closer = thread::spawn(move || closing.close());
            let mut last = Vec::new();
            while stream.next_message().unwrap() {
                last = message(&stream).unwrap();
            }
            assert_eq!(last, b"the end");
            drop(stream);
            closer.join().unwrap().unwrap();
        });
    }
}

#[test]
fn calls_to_close_may_overlap() {
    in_time(|| {
        let link = Link::new(|server| patient(server).stream("echo", echo), patient);
        let stream = link.near.open_stream("echo").unwrap();
        thread::scope(|scope| {
            let closers: Vec<_> = [&link.client, &link.server, &link.client, &link.server]
                .into_iter()
                .map(|wire| scope.spawn(|| wire.close()))
                .collect();
            await_closing(&link.near);
            stream.write_message(b"all of it").unwrap();
            assert_eq!(message(&stream).unwrap(), b"all of it");
            stream.close().unwrap();
            for closer in closers {
                closer.join().unwrap().unwrap();
            }
        });
        link.client.close().unwrap();
        link.server.close().unwrap();
    });
}

#[test]
fn closing_frees_the_port() {
    in_time(|| {
        for _ in 0..3 {
            let server = started(Wire::mount("127.0.7.3:0"));
            let addr = addr_of(&server);
            let client = started(joining(&server));
            server.close().unwrap();
            let again = started(Wire::mount(addr.to_string()));
            drop(again);
            let error = TcpStream::connect(addr).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            drop(client);
        }
    });
}
