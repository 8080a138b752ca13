//! The start and the end of sessions.

use std::sync::mpsc;

use wirenet::{Error, Session, Wire};

use super::handlers::{OUR_NAMES, ours};
use super::{Connected, Mounts, THEIR_NAMES, TIMEOUT, addr_of, connect, start_joining, with_peer};
use crate::go_programs::with_go_programs;

#[test]
fn each_peer_learns_the_names_of_the_other() {
    with_peer("serve", |connected| {
        assert_eq!(connected.session.stream_names().join(","), THEIR_NAMES);
        let mut named: Vec<_> = streams_in(&connected.greeting).split(',').collect();
        named.sort_unstable();
        assert_eq!(named, OUR_NAMES);
    });
}

fn streams_in(greeting: &str) -> &str {
    greeting
        .split_once("streams=")
        .expect("stream names in the Go peer's greeting")
        .1
}

#[test]
fn our_identification_and_token_reach_their_mount() {
    with_go_programs("they mount", |programs| {
        let connected = connect(programs, "serve", Mounts::They);
        let greeting = &connected.greeting;
        assert!(
            greeting.starts_with("session id=box-1 token=secret "),
            "{greeting}"
        );
        connected.finish();
    });
}

#[test]
fn their_identification_reaches_our_mount() {
    with_go_programs("we mount", |programs| {
        let connected = connect(programs, "serve", Mounts::We);
        assert_eq!(connected.session.identification(), b"go-peer");
        assert_eq!(connected.wire.sessions().len(), 1);
        connected.finish();
    });
}

#[test]
fn their_validator_refuses_our_token_with_its_own_text() {
    with_go_programs("they mount", |programs| {
        let mut peer = programs.start("wirepeer", &["-role", "mount"]);
        let (opened, on_open) = mpsc::channel();
        let wire = Wire::join(peer.listen_address().to_string())
            .identification("box-1", "wrong")
            .on_session_open(move |_: &Session| _ = opened.send(()))
            .build()
            .expect("a wire");
        match wire.start() {
            // go-wirenet sends no codes.
            Err(Error::SessionRefused {
                code: None, text, ..
            }) => assert_eq!(text, "bad token"),
            other => panic!("a start with a wrong token: {other:?}"),
        }
        assert!(
            wire.sessions().is_empty(),
            "a refused session is not listed"
        );
        wire.close().expect("a close");
        drop(wire);
        assert!(on_open.recv().is_err(), "a refused session calls no hook");
        peer.expect_success();
    });
}

#[test]
fn our_validator_refuses_their_token_with_its_own_text() {
    with_go_programs("we mount", |programs| {
        let (opened, on_open) = mpsc::channel();
        let (collect, _) = mpsc::channel();
        let wire = ours(Wire::mount("127.0.0.1:0"), collect)
            .on_session_open(move |_: &Session| _ = opened.send(()))
            .build()
            .expect("a wire");
        wire.start().expect("a wire that listens");
        let wrong = ["-token", "wrong", "-refusal", "bad token"];
        let mut peer = start_joining(programs, addr_of(&wire), &wrong);
        // 1 means "token refused", for clients that know the field.
        assert_eq!(peer.note(), "code 1");
        peer.expect_success();
        assert!(
            wire.sessions().is_empty(),
            "a refused session is not listed"
        );
        wire.close().expect("a close");
        drop(wire);
        assert!(on_open.recv().is_err(), "a refused session calls no hook");
    });
}

#[test]
fn our_session_close_ends_their_session_gracefully() {
    with_peer("serve", |connected| {
        connected.session.close().expect("a close");
        connected
            .closed
            .recv_timeout(TIMEOUT)
            .expect("the hook of a closed session");
        assert!(connected.session.is_closed());
    });
}

#[test]
fn their_close_ends_our_session() {
    for mounts in [Mounts::We, Mounts::They] {
        with_go_programs(&format!("{mounts:?} mount"), move |programs| {
            let Connected {
                wire,
                session,
                peer,
                closed,
                ..
            } = connect(programs, "hang-up", mounts);
            closed
                .recv_timeout(TIMEOUT)
                .expect("the hook of a closed session");
            assert!(session.is_closed());
            assert!(session.open_stream("echo").is_err());
            wire.close().expect("a close");
            peer.expect_success();
        });
    }
}
