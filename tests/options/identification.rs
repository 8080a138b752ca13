//! `identification` and `token_validator`.

use crate::support::{
    in_time,
    wires::{Link, as_it_is, assert_echoes, echo, joining, mounting, started},
};
use crossbeam_channel::{Sender, unbounded};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use wirenet::{Builder, Denied, Error, Operation, Refusal, RefusalCode, Session};

/// A question to a validator: name, identification, token.
type Asked = (String, Vec<u8>, Vec<u8>);

/// A validator that accepts everything, and records each question.
fn asking(
    to: Sender<Asked>,
) -> impl Fn(&str, &[u8], &[u8]) -> Result<(), Denied> + Send + Sync + 'static {
    move |name, id, token| {
        // The test may have ended already.
        let _ = to.send((name.to_owned(), id.to_owned(), token.to_owned()));
        Ok(())
    }
}

#[test]
fn an_identification_and_a_token_may_be_any_bytes() {
    let all: Vec<u8> = (0..=255).collect();
    let longest = vec![0xff; 4096];
    for (id, token) in [
        (all.clone(), all.iter().rev().copied().collect()),
        (longest.clone(), longest),
        (Vec::new(), vec![0]),
        (vec![0], Vec::new()),
    ] {
        in_time(move || {
            let (ask, asked) = unbounded();
            let link = Link::new(
                |server| server.token_validator(asking(ask)),
                |client| client.identification(id.clone(), token.clone()),
            );
            assert_eq!(asked.recv().unwrap().1, id);
            assert_eq!(link.near.identification(), id);
            assert_eq!(link.far.identification(), id);
            link.near.open_stream("x").unwrap_err();
            assert_eq!(asked.recv().unwrap(), ("x".into(), id, token));
        });
    }
}

#[test]
fn a_validator_is_asked_about_the_session_and_every_stream() {
    in_time(|| {
        let (ask, asked) = unbounded();
        let link = Link::new(
            |server| server.stream("echo", echo).token_validator(asking(ask)),
            |client| client.identification("box-1", "secret"),
        );
        for _ in 0..2 {
            assert_echoes(&link.near);
        }
        link.near.open_stream("missing").unwrap_err();
        let names: Vec<String> = asked
            .try_iter()
            .map(|(name, id, token)| {
                assert_eq!((&id[..], &token[..]), (&b"box-1"[..], &b"secret"[..]));
                name
            })
            .collect();
        assert_eq!(names, ["confirmSession", "echo", "echo", "missing"]);
    });
}

/// The server also has a token. It does not open the session, so the client's validator
/// is not asked about that.
#[test]
fn a_clients_validator_is_asked_about_the_streams_that_its_server_opens() {
    in_time(|| {
        let (ask, asked) = unbounded();
        let link = Link::new(
            |server| server.identification("", "the server's"),
            |client| {
                client
                    .identification("box-1", "secret")
                    .token_validator(asking(ask))
                    .stream("echo", echo)
            },
        );
        assert_echoes(&link.far);
        let stream = ("echo".into(), b"box-1".into(), b"the server's".into());
        assert_eq!(asked.try_iter().collect::<Vec<Asked>>(), [stream]);
    });
}

/// Opens a stream, and returns the refusal.
fn refusal(session: &Session, name: &str) -> Refusal {
    match session.open_stream(name).unwrap_err() {
        Error::Refused { refusal, .. } => refusal,
        error => panic!("expected a refusal, got {error}"),
    }
}

fn refusing_streams(text: &'static str) -> impl FnOnce(Builder) -> Builder {
    move |builder| {
        let validator = move |name: &str, _: &[u8], _: &[u8]| match name {
            "confirmSession" => Ok(()),
            _ => Err(text.into()),
        };
        builder.stream("echo", echo).token_validator(validator)
    }
}

#[test]
fn a_stream_is_refused_with_the_text_of_the_validators_error() {
    in_time(|| {
        for text in ["not with this token", "Ünïcode ✋", "two\nlines", ""] {
            let link = Link::new(refusing_streams(text), refusing_streams(text));
            for session in [&link.near, &link.far] {
                assert_eq!(refusal(session, "echo"), Refusal::Other(text.into()));
            }
            assert!(!link.near.is_closed(), "only the stream was refused");
        }
    });
}

/// Returns the error of a client whose session is refused by this validator.
fn refused(
    validator: impl Fn(&str, &[u8], &[u8]) -> Result<(), Denied> + Send + Sync + 'static,
) -> Error {
    let server = started(mounting().token_validator(validator));
    let client = joining(&server).build().unwrap();
    // Fails immediately: a retry would not help.
    client.start().unwrap_err()
}

#[test]
fn a_session_is_refused_with_the_text_of_the_validators_error() {
    in_time(|| {
        for text in ["not with this token", "Ünïcode ✋"] {
            let error = refused(move |_, _, _| Err(text.into()));
            let Error::SessionRefused {
                code,
                text: received,
                ..
            } = error
            else {
                panic!("expected a refusal, got {error}");
            };
            assert_eq!(code, Some(RefusalCode::TokenRefused));
            assert_eq!(received, text);
        }
    });
}

#[test]
fn a_refusal_that_is_too_long_is_truncated_between_characters() {
    in_time(|| {
        let long = || "x".to_owned() + &"ü".repeat(4096);
        let error = refused(move |_, _, _| Err(long().into()));
        let Error::SessionRefused { text, .. } = error else {
            panic!("expected a refusal, got {error}");
        };
        assert_eq!(text, long()[..4095]);
        let validator = move |name: &str, _: &[u8], _: &[u8]| match name {
            "confirmSession" => Ok(()),
            _ => Err(long().into()),
        };
        let link = Link::new(|server| server.token_validator(validator), as_it_is);
        assert_eq!(
            refusal(&link.near, "x"),
            Refusal::Other(long()[..4095].into())
        );
    });
}

/// Errors that were reported to an error handler.
type Reports = Vec<(Operation, String)>;

/// Connects a client that retries soon to a server whose validator gives `answer` to
/// the first question, as if its database were offline, and accepts all later ones.
/// Returns the result, and the errors that were reported to the client and the server.
fn answering_first(
    answer: fn() -> Result<(), Denied>,
) -> (Result<(), Error>, Vec<String>, Reports) {
    let asked = AtomicUsize::new(0);
    let (tell, told) = unbounded();
    let (client_tell, client_told) = unbounded();
    let server =
        mounting().token_validator(move |_, _, _| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => answer(),
            _ => Ok(()),
        });
    let server = started(server.on_error(move |error| {
        let _ = tell.send((error.operation.clone(), error.cause.to_string()));
    }));
    let client = joining(&server)
        .retry_max(1)
        .retry_wait(Duration::from_millis(1), Duration::from_millis(1))
        .on_error(move |error| client_tell.send(error.cause.to_string()).unwrap());
    let client = client.build().unwrap();
    let started = client.start();
    client.close().unwrap();
    // The server reports every error before its close returns.
    server.close().unwrap();
    (
        started,
        client_told.try_iter().collect(),
        told.try_iter().collect(),
    )
}

#[test]
fn a_client_that_is_denied_for_now_retries() {
    in_time(|| {
        let (started, client_told, told) =
            answering_first(|| Err(Denied::for_now("the database is offline")));
        started.unwrap();
        let text = "session refused: the database is offline";
        assert_eq!(client_told, [text]);
        assert_eq!(told, [(Operation::Handshake, text.into())]);
    });
}

#[test]
fn a_panic_in_a_validator_refuses_for_now_and_is_reported() {
    in_time(|| {
        let (started, client_told, told) = answering_first(|| panic!("a rule is broken"));
        started.unwrap();
        // An unauthenticated peer does not get the panic's text.
        let text = "session refused: wirenet: the validator failed";
        assert_eq!(client_told, [text]);
        let panicked = Operation::Hook("token_validator");
        let panic_report = (panicked, "panicked: a rule is broken".into());
        assert_eq!(told, [panic_report, (Operation::Handshake, text.into())]);
    });
}

#[test]
fn a_denial_for_now_has_a_code_of_its_own() {
    in_time(|| {
        for (denied, code) in [
            (Denied::for_now("not now"), RefusalCode::TryLater),
            (Denied::new("never"), RefusalCode::TokenRefused),
        ] {
            let text = denied.text().to_owned();
            let server = started(mounting().token_validator(move |_, _, _| Err(denied.clone())));
            let client = joining(&server).retry_max(0).build().unwrap();
            let error = client.start().unwrap_err();
            let Error::SessionRefused {
                code: received_code,
                text: received_text,
                ..
            } = &error
            else {
                panic!("expected a refusal, got {error}");
            };
            assert_eq!((*received_code, &**received_text), (Some(code), &*text));
            assert_eq!(error.is_permanent(), code == RefusalCode::TokenRefused);
        }
    });
}

#[test]
fn a_panic_in_a_validator_refuses_the_stream_and_is_reported() {
    in_time(|| {
        let (tell, told) = unbounded();
        let validator = |name: &str, _: &[u8], _: &[u8]| match name {
            "bad" => panic!("a rule is broken"),
            _ => Ok(()),
        };
        let server = |server: Builder| {
            let server = server.stream("bad", |_| unreachable!("it is refused"));
            let server = server.on_error(move |error| {
                let _ = tell.send((error.operation.clone(), error.cause.to_string()));
            });
            server.stream("echo", echo).token_validator(validator)
        };
        let link = Link::new(server, as_it_is);
        assert!(matches!(refusal(&link.near, "bad"), Refusal::Other(_)));
        assert_echoes(&link.near);
        let (operation, cause) = told.recv().unwrap();
        assert_eq!(operation, Operation::Hook("token_validator"));
        assert_eq!(cause, "panicked: a rule is broken");
    });
}

#[test]
fn a_slow_validator_delays_only_the_session_that_it_is_asked_about() {
    in_time(|| {
        let (release, released) = crossbeam_channel::bounded::<()>(0);
        let server = started(mounting().stream("echo", echo).token_validator(
            move |_, id: &[u8], _| {
                if id == b"slow" {
                    assert!(released.recv().is_err());
                }
                Ok(())
            },
        ));
        let slow = joining(&server).identification("slow", "").build().unwrap();
        let waiting = {
            let slow = slow.clone();
            std::thread::spawn(move || slow.start())
        };
        let quick = started(joining(&server));
        assert_echoes(&quick.wait_session(Duration::from_secs(9)).unwrap());
        drop(release);
        waiting.join().unwrap().unwrap();
    });
}
