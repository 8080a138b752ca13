//! Limits of numbers and lengths.

use crate::support::{
    PATIENCE,
    encoding::{FEATURES, field},
    in_time,
    peer::Peer,
    wires::{
        Link, addr_of, announcing, as_it_is, assert_echoes, echo, errors, joining, message,
        mounting, started,
    },
};
use crossbeam_channel::bounded;
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};
use wirenet::{Builder, Error, Operation, Refusal, RefusalCode, Wire};

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(3600);

fn assert_refused(error: &Error, expected: RefusalCode, part: &str) {
    let Error::SessionRefused { code, text, .. } = error else {
        panic!("expected a refusal, got {error}");
    };
    assert_eq!(*code, Some(expected));
    assert!(text.contains(part), "{text}");
}

#[test]
fn a_session_beyond_the_limit_is_refused_until_there_is_room() {
    in_time(|| {
        let (on_error, told) = errors();
        let (serving, opened) = announcing(mounting().max_sessions(2).on_error(on_error));
        let server = started(serving);
        let mut clients = [started(joining(&server)), started(joining(&server))];
        let third = joining(&server).retry_max(0).build().unwrap();
        let error = third.start().unwrap_err();
        assert_refused(&error, RefusalCode::TooManySessions, "too many sessions");
        assert!(!error.is_permanent());
        assert_eq!(told.recv().unwrap().0, Operation::Handshake);
        assert_eq!(server.sessions().len(), 2);
        // There is room as soon as a session has ended. Until then the client retries.
        clients[0] = joining(&server)
            .retry_policy(|_| Some(Duration::ZERO))
            .build()
            .unwrap();
        clients[0].start().unwrap();
        // A client knows of its session before the server has registered it.
        for _ in 0..3 {
            opened.recv().unwrap();
        }
        clients[1].close().unwrap();
        server.close().unwrap();
        assert_eq!(server.stats().sessions, 3);
        drop(server);
        assert_eq!(
            opened.iter().count(),
            0,
            "no hook is called for a refused session"
        );
    });
}

#[test]
fn pending_handshakes_do_not_keep_others_from_being_accepted() {
    in_time(|| {
        let (on_error, told) = errors();
        let serving = mounting().max_handshakes(2).handshake_timeout(NEVER);
        let server = started(serving.on_error(on_error).stream("echo", echo));
        let dial = || TcpStream::connect(addr_of(&server)).unwrap();
        let first = dial();
        // Established sessions do not count as handshakes.
        let client = started(joining(&server));
        // The client sees its session a little before the server's handshake is over.
        server.wait_session(PATIENCE).unwrap();
        let second = dial();
        let mut third = dial();
        // The connection is closed, and the accept loop continues.
        let closed = third.read(&mut [0]);
        assert!(matches!(closed, Ok(0)) || closed.is_err());
        let (operation, cause) = told.recv().unwrap();
        assert_eq!(operation, Operation::Accept);
        assert_eq!(
            cause,
            "connection closed: 2 handshakes are under way; see `Builder::max_handshakes`"
        );
        assert_echoes(&client.sessions()[0]);
        drop(first);
        // There is room as soon as the server notices the end of the first one.
        let patient = joining(&server).retry_policy(|_| Some(Duration::ZERO));
        assert_echoes(&started(patient).sessions()[0]);
        drop(second);
    });
}

#[test]
fn a_client_with_too_many_names_is_refused() {
    in_time(|| {
        let (on_error, told) = errors();
        let server = started(mounting().max_names(2).on_error(on_error));
        let client = |count: usize| {
            let named = |builder: Builder, number| builder.stream(format!("{number}"), |_| Ok(()));
            (0..count).fold(joining(&server), named).build().unwrap()
        };
        client(2).start().unwrap();
        // A retry would not help.
        let error = client(3).start().unwrap_err();
        assert_refused(&error, RefusalCode::Malformed, "3");
        assert!(error.is_permanent());
        assert_eq!(told.recv().unwrap().0, Operation::Handshake);
    });
}

/// Sends a scripted session request with an id and these fields, and returns the
/// answer.
fn answer_to(server: &Wire, fields: &[u8]) -> Vec<u8> {
    let request = [&field(1, &[6; 16]), fields].concat();
    Peer::request(addr_of(server), &request).1
}

fn assert_answer(answer: &[u8], part: &str) {
    let text = String::from_utf8_lossy(answer);
    assert!(text.contains(part), "{text}");
    let code = [&[15 << 3, 5][..], &FEATURES].concat();
    assert!(answer.ends_with(&code), "the code of a malformed request");
}

#[test]
fn lengths_beyond_their_limits_are_refused() {
    in_time(|| {
        let server = started(mounting());
        let long = vec![b'x'; 4097];
        for (number, part) in [
            (2, "invalid length of a token: 4097"),
            (3, "invalid length of an identification: 4097"),
        ] {
            assert_answer(&answer_to(&server, &field(number, &long)), part);
        }
        assert_answer(&answer_to(&server, &field(4, &long[..256])), "name: 256");
        assert_answer(&answer_to(&server, &field(4, b"")), "name: 0");
        let reserved = answer_to(&server, &field(4, b"confirmSession"));
        assert_answer(&reserved, "confirmSession");
        assert!(server.sessions().is_empty());
        // Each field has its maximum length.
        let longest = [
            field(2, &long[..4096]),
            field(3, &long[..4096]),
            field(4, &long[..255]),
        ];
        let (client, answer) = Peer::request(
            addr_of(&server),
            &[field(1, &[6; 16]), longest.concat()].concat(),
        );
        assert_eq!(answer, [&field(1, &[6; 16])[..], &FEATURES].concat());
        let session = server.wait_session(PATIENCE).unwrap();
        assert_eq!(session.identification(), &long[..4096]);
        assert_eq!(session.stream_names()[0].len(), 255);
        session.abort();
        drop(client);
    });
}

#[test]
fn a_request_that_announces_too_large_a_payload_is_refused_before_it_arrives() {
    in_time(|| {
        let (on_error, told) = errors();
        let server = started(mounting().handshake_timeout(NEVER).on_error(on_error));
        let mut client = TcpStream::connect(addr_of(&server)).unwrap();
        // The header of a request of 1 GiB, and nothing else.
        let header = [0x32, "openSession".len() as u32, 1 << 30];
        let header = header.map(u32::to_le_bytes).concat();
        let opening = [
            crate::support::frames::Frame::flags(1, crate::support::frames::SYN),
            crate::support::frames::Frame::data(1, header),
        ];
        let opening = opening.map(|frame| frame.encode()).concat();
        client.write_all(&opening).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let (operation, cause) = told.recv().unwrap();
        assert_eq!(operation, Operation::Handshake);
        assert!(cause.contains("malformed session handshake"), "{cause}");
    });
}

#[test]
fn a_stream_beyond_the_limit_is_refused_until_there_is_room() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let server = |server: Builder| {
            // Without a budget, a stream beyond the limit is refused, and not held.
            let server = server.max_streams(2).window_budget(0);
            let server = server.stream("echo", echo);
            server.stream("wait", move |stream| {
                // Until it is released.
                let _ = released.recv();
                stream.write_message(b"done")
            })
        };
        let link = Link::new(server, as_it_is);
        let streams = [(); 2].map(|()| link.near.open_stream("wait").unwrap());
        link.near.open_stream("echo").unwrap_err();
        drop(release);
        for stream in &streams {
            assert_eq!(
                message(stream).unwrap(),
                b"done",
                "the other streams are not affected"
            );
            assert!(!stream.next_message().unwrap());
            stream.close().unwrap();
        }
        assert_echoes(&link.near);
        assert_eq!(link.far.stats().streams_refused, 1);
    });
}

#[test]
fn the_limit_of_streams_applies_to_each_session() {
    in_time(|| {
        let (_release, released) = bounded::<()>(0);
        let server = started(mounting().max_streams(1).stream("wait", move |_| {
            // Until it is released.
            let _ = released.recv();
            Ok(())
        }));
        let clients = [started(joining(&server)), started(joining(&server))];
        let _streams = clients.each_ref().map(|client| {
            let session = client.wait_session(PATIENCE).unwrap();
            session.open_stream("wait").unwrap()
        });
        drop(_release);
    });
}

#[test]
fn a_wire_has_at_most_1024_handlers() {
    in_time(|| {
        let wire = Wire::join("host:1").build().unwrap();
        let add = |name: String| wire.stream(name, |_| Ok(()));
        (0..1024).for_each(|number| add(format!("{number}")).unwrap());
        let error = add("one more".into()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Option {
                    option: "stream",
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("1024"), "{error}");
        // An existing handler can be replaced.
        add("7".into()).unwrap();
    });
}

#[test]
fn a_handler_that_is_added_or_replaced_takes_effect_immediately() {
    in_time(|| {
        let link = Link::new(as_it_is, as_it_is);
        link.near.open_stream("late").unwrap_err();
        for text in ["first", "second"] {
            let handler = move |stream: &mut wirenet::Stream| stream.write_message(text.as_bytes());
            link.server.stream("late", handler).unwrap();
            let stream = link.near.open_stream("late").unwrap();
            assert_eq!(message(&stream).unwrap(), text.as_bytes());
        }
        assert!(
            link.near.stream_names().is_empty(),
            "the names are those at the opening of the session"
        );
    });
}

#[test]
fn a_stream_name_has_at_most_255_bytes() {
    in_time(|| {
        let longest = "ü".repeat(127) + "x";
        let link = Link::serving(&longest, |stream| stream.write_message(b"hi"));
        let stream = link.near.open_stream(&longest).unwrap();
        assert_eq!(stream.name(), longest);
        assert_eq!(message(&stream).unwrap(), b"hi");
        for wrong in [String::new(), "x".repeat(256)] {
            for error in [
                link.near.open_stream(&wrong).unwrap_err(),
                link.near.open_stream_nowait(&wrong).unwrap_err(),
                link.server.stream(wrong.clone(), |_| Ok(())).unwrap_err(),
            ] {
                assert!(matches!(error, Error::Option { .. }), "{error}");
            }
        }
        let error = link.near.open_stream("confirmSession").unwrap_err();
        let not_found = Refusal::HandlerNotFound;
        assert!(matches!(error, Error::Refused { refusal, .. } if refusal == not_found));
    });
}

#[test]
fn at_most_one_window_of_unread_bytes_is_buffered_for_a_stream() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let server = |server: Builder| {
            let server = server.max_window(1).window_budget(0);
            server.stream("wait", move |_| {
                // Until it is released.
                let _ = released.recv();
                Ok(())
            })
        };
        let link = Link::new(server, as_it_is);
        let mut stream = link.near.open_stream("wait").unwrap();
        stream
            .set_write_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let mut taken = 0;
        let error = loop {
            match stream.write(&[0; 1000]) {
                Ok(count) => taken += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // A window, less the chunk headers and a rest that is too small for a chunk.
        assert!((250_000..=262_144).contains(&taken), "{taken}");
        stream.reset();
        drop(release);
    });
}

#[test]
fn an_invalid_option_is_reported_by_name() {
    let join = || Wire::join("host:1");
    let zero = Duration::ZERO;
    let wrong: [(&str, Builder); 12] = [
        ("identification", join().identification(vec![0; 4097], "")),
        ("identification", join().identification("", vec![0; 4097])),
        ("max_sessions", join().max_sessions(0)),
        ("max_handshakes", join().max_handshakes(0)),
        ("handler_limit", join().handler_limit(0)),
        ("dial_timeout", join().dial_timeout(zero)),
        ("handshake_timeout", join().handshake_timeout(zero)),
        ("keep_alive_interval", join().keep_alive_interval(zero)),
        (
            "read_write_timeouts",
            join().read_write_timeouts(Some(zero), NEVER),
        ),
        (
            "read_write_timeouts",
            join().read_write_timeouts(None, zero),
        ),
        ("retry_wait", join().retry_wait(NEVER, zero)),
        ("retry_wait", join().retry_wait(zero, NEVER)),
    ];
    for (name, builder) in wrong {
        let error = builder.build().unwrap_err();
        let Error::Option { option, .. } = &error else {
            panic!("expected an option error, got {error}");
        };
        assert_eq!(*option, name);
        assert!(error.is_permanent());
    }
}
