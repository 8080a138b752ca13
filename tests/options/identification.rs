//! `identification` and `token_validator`.

use crate::support::{
    in_time,
    link::{Link, as_it_is, assert_echoes, echo, joining, mounting, started},
};
use crossbeam_channel::{Sender, unbounded};
use std::time::Duration;
use wirenet::{Builder, Error, Refusal, RefusalCode, Session};

/// What a validator was asked: name, identification, token.
type Asked = (String, Vec<u8>, Vec<u8>);

/// A validator that lets everyone in, and tells of it.
fn asking(
    to: Sender<Asked>,
) -> impl Fn(&str, &[u8], &[u8]) -> Result<(), String> + Send + Sync + 'static {
    move |name, id, token| {
        // What comes after the test has seen enough is of no interest.
        let _ = to.send((name.to_owned(), id.to_owned(), token.to_owned()));
        Ok(())
    }
}

#[test]
fn an_identification_and_a_token_are_any_bytes() {
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
fn a_validator_is_asked_for_the_session_and_for_every_stream() {
    in_time(|| {
        let (ask, asked) = unbounded();
        let link = Link::new(
            |server| server.stream("echo", echo).token_validator(asking(ask)),
            |client| client.identification("box-1", "secret"),
        );
        for _ in 0..2 {
            assert_echoes(&link.near);
        }
        link.near.open_stream("nobody").unwrap_err();
        let names: Vec<String> = asked
            .try_iter()
            .map(|(name, id, token)| {
                assert_eq!((&id[..], &token[..]), (&b"box-1"[..], &b"secret"[..]));
                name
            })
            .collect();
        assert_eq!(names, ["confirmSession", "echo", "echo", "nobody"]);
    });
}

/// The server has a token too, and does not open the session.
#[test]
fn a_clients_validator_is_asked_for_the_streams_that_its_server_opens() {
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

/// What opening a stream was refused with.
fn refusal(session: &Session, name: &str) -> Refusal {
    match session.open_stream(name).unwrap_err() {
        Error::Refused { refusal, .. } => refusal,
        error => panic!("not refused: {error}"),
    }
}

fn forbidding(text: &'static str) -> impl FnOnce(Builder) -> Builder {
    move |builder| {
        let validator = move |name: &str, _: &[u8], _: &[u8]| match name {
            "confirmSession" => Ok(()),
            _ => Err(text.into()),
        };
        builder.stream("echo", echo).token_validator(validator)
    }
}

#[test]
fn the_text_of_a_validators_error_is_the_refusal_of_a_stream() {
    in_time(|| {
        for text in ["not with this token", "Ünïcode ✋", "two\nlines", ""] {
            let link = Link::new(forbidding(text), forbidding(text));
            for session in [&link.near, &link.far] {
                assert_eq!(refusal(session, "echo"), Refusal::Other(text.into()));
            }
            assert!(!link.near.is_closed(), "it was only the stream");
        }
    });
}

fn refused(
    validator: impl Fn(&str, &[u8], &[u8]) -> Result<(), String> + Send + Sync + 'static,
) -> Error {
    let server = started(mounting().token_validator(validator));
    let client = joining(&server).build().unwrap();
    // At once: trying again would not help.
    client.start().unwrap_err()
}

#[test]
fn the_text_of_a_validators_error_is_the_refusal_of_a_session() {
    in_time(|| {
        for text in ["not with this token", "Ünïcode ✋"] {
            let error = refused(move |_, _, _| Err(text.into()));
            let Error::SessionRefused { code, text: told } = error else {
                panic!("not refused: {error}");
            };
            assert_eq!(code, Some(RefusalCode::TokenRefused));
            assert_eq!(told, text);
        }
    });
}

#[test]
fn a_refusal_that_is_too_long_is_cut_between_characters() {
    in_time(|| {
        let long = || "x".to_owned() + &"ü".repeat(4096);
        let error = refused(move |_, _, _| Err(long()));
        let Error::SessionRefused { text, .. } = error else {
            panic!("not refused: {error}");
        };
        assert_eq!(text, long()[..4095]);
        let validator = move |name: &str, _: &[u8], _: &[u8]| match name {
            "confirmSession" => Ok(()),
            _ => Err(long()),
        };
        let link = Link::new(|server| server.token_validator(validator), as_it_is);
        assert_eq!(
            refusal(&link.near, "x"),
            Refusal::Other(long()[..4095].into())
        );
    });
}

#[test]
fn a_validator_that_panics_refuses() {
    in_time(|| {
        let error = refused(|_, _, _| panic!("it cannot tell"));
        assert!(matches!(error, Error::SessionRefused { .. }), "{error}");
        let validator = |name: &str, _: &[u8], _: &[u8]| match name {
            "bad" => panic!("it cannot tell"),
            _ => Ok(()),
        };
        let server = |server: Builder| {
            let server = server.stream("bad", |_| unreachable!("it is refused"));
            server.stream("echo", echo).token_validator(validator)
        };
        let link = Link::new(server, as_it_is);
        assert!(matches!(refusal(&link.near, "bad"), Refusal::Other(_)));
        assert_echoes(&link.near);
    });
}

/// A validator that takes long holds up nobody but the one that it is asked
/// about.
#[test]
fn a_slow_validator_holds_up_nobody_else() {
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
