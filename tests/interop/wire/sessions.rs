//! How sessions begin and end.

use std::sync::mpsc;

use wirenet::{Error, Session, Wire};

use super::handlers::{OUR_NAMES, ours};
use super::{Connected, Mounts, PATIENCE, THEIR_NAMES, connect, with_peer};
use crate::stage::on_stage;

#[test]
fn each_side_learns_the_others_names() {
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
        .expect("stream names in the Go side's greeting")
        .1
}

#[test]
fn our_identification_and_token_reach_their_mount() {
    on_stage("they mount", |stage| {
        let connected = connect(stage, "serve", Mounts::They);
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
    on_stage("we mount", |stage| {
        let connected = connect(stage, "serve", Mounts::We);
        assert_eq!(connected.session.identification(), b"go-peer");
        assert_eq!(connected.wire.sessions().len(), 1);
        connected.finish();
    });
}

#[test]
fn their_validator_refuses_our_token_with_its_own_words() {
    on_stage("they mount", |stage| {
        let mut peer = stage.start("wirepeer", &["-role", "mount"]);
        let (opened, on_open) = mpsc::channel();
        let wire = Wire::join(peer.ready().to_string())
            .identification("box-1", "wrong")
            .on_session_open(move |_: &Session| _ = opened.send(()))
            .build()
            .expect("a wire");
        match wire.start() {
            // go-wirenet has no codes.
            Err(Error::SessionRefused { code: None, text }) => assert_eq!(text, "bad token"),
            other => panic!("a start with a wrong token: {other:?}"),
        }
        assert!(wire.sessions().is_empty(), "a refused session is nowhere");
        wire.close().expect("a close");
        drop(wire);
        assert!(on_open.recv().is_err(), "a refused session has no hook");
        peer.ends_well();
    });
}

#[test]
fn our_validator_refuses_their_token_with_its_own_words() {
    on_stage("we mount", |stage| {
        let (opened, on_open) = mpsc::channel();
        let (collect, _) = mpsc::channel();
        let wire = ours(Wire::mount("127.0.0.1:0"), collect)
            .on_session_open(move |_: &Session| _ = opened.send(()))
            .build()
            .expect("a wire");
        wire.start().expect("a wire that listens");
        let address = wire
            .local_addr()
            .expect("the address listened on")
            .to_string();
        let join = ["-role", "join", "-addr", &address];
        let wrong = ["-token", "wrong", "-refusal", "bad token"];
        let mut peer = stage.start("wirepeer", &[join, wrong].concat());
        // 1 is "token refused", for clients that know the field.
        assert_eq!(peer.note(), "code 1");
        peer.ends_well();
        assert!(wire.sessions().is_empty(), "a refused session is nowhere");
        wire.close().expect("a close");
        drop(wire);
        assert!(on_open.recv().is_err(), "a refused session has no hook");
    });
}

#[test]
fn our_session_close_ends_theirs_in_good_order() {
    with_peer("serve", |connected| {
        connected.session.close().expect("a close");
        connected
            .closed
            .recv_timeout(PATIENCE)
            .expect("the hook of a closed session");
        assert!(connected.session.is_closed());
    });
}

#[test]
fn their_close_ends_our_session() {
    for mounts in [Mounts::We, Mounts::They] {
        on_stage(&format!("{mounts:?} mount"), move |stage| {
            let Connected {
                wire,
                session,
                peer,
                closed,
                ..
            } = connect(stage, "hang-up", mounts);
            closed
                .recv_timeout(PATIENCE)
                .expect("the hook of a closed session");
            assert!(session.is_closed());
            assert!(session.open_stream("echo").is_err());
            wire.close().expect("a close");
            peer.ends_well();
        });
    }
}
