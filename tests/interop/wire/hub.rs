//! Our hub between Go peers and ours: a Go program calls through it, and is
//! called through it, with its audit reading along on each connection.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wirenet::{Builder, Error, Refusal, RefusalCode, Session, Stream, Wire};

use super::handlers::{Collected, digest, ours};
use super::{PATIENCE, read_message, send_by_copy};
use crate::pattern::{assert_pattern, pattern};
use crate::peer::GoPeer;
use crate::stage::{Stage, on_stage};

const SIZES: [usize; 7] = [0, 1, 1_023, 1_024, 1_025, 262_144, 8 << 20];

/// A hub that knows the Go peers' token, and shows it.
fn hub() -> (Wire, SocketAddr) {
    hub_with(Wire::hub("127.0.0.1:0"))
}

fn hub_with(builder: Builder) -> (Wire, SocketAddr) {
    let hub = builder
        .identification("hub", "secret")
        .token_validator(|_, _, token| match token {
            b"secret" => Ok(()),
            _ => Err("bad token".into()),
        })
        .build()
        .expect("a hub");
    hub.start().expect("a hub that listens");
    let addr = hub.local_addr().expect("the address listened on");
    (hub, addr)
}

fn join(stage: &Stage, addr: SocketAddr, script: &str) -> GoPeer {
    let addr = addr.to_string();
    stage.start(
        "wirepeer",
        &["-role", "join", "-addr", &addr, "-script", script],
    )
}

fn join_as(stage: &Stage, addr: SocketAddr, id: &str) -> GoPeer {
    let addr = addr.to_string();
    let arguments = ["-role", "join", "-addr", &addr, "-script", "serve"];
    stage.start("wirepeer", &[&arguments[..], &["-id", id]].concat())
}

fn join_without_names(stage: &Stage, addr: SocketAddr, script: &str) -> GoPeer {
    let addr = addr.to_string();
    let arguments = ["-role", "join", "-addr", &addr, "-script", script];
    stage.start("wirepeer", &[&arguments[..], &["-names", "none"]].concat())
}

/// A Go peer calls our owner through the hub, as its script says.
fn they_call(script: &'static str, then: fn(mpsc::Receiver<Collected>)) {
    on_stage(&format!("{script}, through a hub"), move |stage| {
        let (hub, addr) = hub();
        let (collect, collected) = mpsc::channel();
        let owner = ours(Wire::join(addr.to_string()), collect).identification("owner", "secret");
        let owner = owner.build().expect("an owner");
        owner.start().expect("a session with the hub");
        // One that offers names which ours has too would be refused.
        let mut peer = join_without_names(stage, addr, script);
        assert!(peer.note().starts_with("session "));
        assert_eq!(peer.note(), "done");
        then(collected);
        hub.close().expect("a close");
        peer.ends_well();
    });
}

#[test]
fn their_messages_of_every_size_come_back_to_their_write_to() {
    they_call("echo", drop);
}

#[test]
fn their_messages_of_every_size_come_back_to_their_reader_whole() {
    they_call("echo.reader", drop);
}

#[test]
fn large_chunks_of_their_writer_arrive_whole() {
    they_call("writer", drop);
}

#[test]
fn sixty_four_of_their_calls_at_once_do_not_mix() {
    they_call("many", drop);
}

#[test]
fn our_owner_answers_their_call() {
    they_call("call", drop);
}

#[test]
fn their_data_may_follow_the_open_at_once() {
    they_call("eager", drop);
}

#[test]
fn their_call_of_an_unknown_name_is_refused_in_go_wirenets_words() {
    they_call("unknown", drop);
}

#[test]
fn our_owners_refusal_reaches_them_in_its_words() {
    they_call("forbidden", drop);
}

#[test]
fn their_end_without_an_end_mark_is_truncation_at_our_owner() {
    they_call("bare", |collected| {
        let collected = collected
            .recv_timeout(PATIENCE)
            .expect("a handler that ran");
        assert_eq!(collected.bytes, b"no end mark");
        assert_eq!(collected.end, Err(io::ErrorKind::UnexpectedEof));
    });
}

#[test]
fn their_end_in_a_chunk_is_truncation_at_our_owner() {
    they_call("cut", |collected| {
        let collected = collected
            .recv_timeout(PATIENCE)
            .expect("a handler that ran");
        assert_eq!(collected.end, Err(io::ErrorKind::UnexpectedEof));
    });
}

/// What the Go side itself sends, and its reads can take; a hub passes frames on
/// as they come.
const APART: &str = "a chunk's length in one Data frame, its bytes in the next";

#[test]
fn a_go_program_calls_another_through_our_hub() {
    on_stage("Go to Go", |stage| {
        let (hub, addr) = hub();
        let mut owner = join(stage, addr, "serve");
        assert!(owner.note().starts_with("session "));
        // Small messages: where a window runs out, hashicorp/yamux cuts a chunk
        // itself, and go-wirenet's Reader at the other end does not stand that,
        // with or without a hub in between.
        for script in ["many", "call", "eager", "unknown"] {
            let mut caller = join_without_names(stage, addr, script);
            assert!(caller.note().starts_with("session "), "{script}");
            assert_eq!(caller.note(), "done", "{script}");
            // It has been served, so its session stands.
            let is_caller = |session: &Session| session.stream_names().is_empty();
            for session in hub.sessions().iter().filter(|session| is_caller(session)) {
                session.close().expect("a close");
            }
            caller.ends_well_but_for(&[APART]);
        }
        hub.close().expect("a close");
        owner.ends_well_but_for(&[APART]);
    });
}

/// We call a Go owner through the hub.
fn we_call(label: &str, play: fn(&Session)) {
    on_stage(label, move |stage| {
        let (hub, addr) = hub();
        let mut owner = join(stage, addr, "serve");
        assert!(owner.note().starts_with("session "));
        let caller = Wire::join(addr.to_string()).identification("caller", "secret");
        let caller = caller.build().expect("a caller");
        caller.start().expect("a session with the hub");
        play(&caller.wait_session(PATIENCE).expect("a session"));
        caller.close().expect("a close");
        hub.close().expect("a close");
        owner.ends_well();
    });
}

fn open(session: &Session, name: &str) -> Stream {
    session.open_stream(name).expect("a stream of the Go owner")
}

#[test]
fn a_go_owner_returns_our_messages_of_every_size() {
    we_call("echo of a Go owner", |session| {
        let stream = open(session, "echo");
        for size in SIZES {
            send_by_copy(&stream, &pattern(size as u64, size));
            assert_pattern(&read_message(&stream), size as u64, size);
        }
        stream.close().expect("a close");
    });
}

#[test]
fn a_go_owner_reads_our_chunks_whole() {
    we_call("sinks of a Go owner", |session| {
        for name in ["sink.reader", "sink.writeto"] {
            let stream = open(session, name);
            for size in SIZES {
                let message = pattern(size as u64, size);
                stream.write_message(&message).expect("a whole message");
                assert_eq!(read_message(&stream), digest(&message).as_bytes());
            }
            stream.close().expect("a close");
        }
    });
}

#[test]
fn sixty_four_calls_of_a_go_owner_at_once_do_not_mix() {
    we_call("64 calls of a Go owner", |session| {
        thread::scope(|scope| {
            for i in 0..64 {
                scope.spawn(move || {
                    let (stream, size) = (open(session, "echo"), 3_000 * i as usize + 1);
                    send_by_copy(&stream, &pattern(i, size));
                    assert_pattern(&read_message(&stream), i, size);
                    stream.close().expect("a close");
                });
            }
        });
    });
}

#[test]
fn large_chunks_of_a_go_owner_arrive_whole() {
    we_call("a Go owner's writer", |session| {
        let stream = open(session, "source.writer");
        for (size, write) in [(300_000, 100_000), (3 << 20, 1 << 20)] {
            let order = format!("{size} {write}");
            stream.write_message(order.as_bytes()).expect("an order");
            assert_pattern(&read_message(&stream), size as u64, size);
        }
        stream.close().expect("a close");
    });
}

#[test]
fn a_go_owners_name_is_refused_to_another_and_free_when_it_has_gone() {
    on_stage("a Go owner's names", |stage| {
        let (hub, addr) = hub();
        let mut owner = join(stage, addr, "serve");
        assert!(owner.note().starts_with("session "));
        // `duplicate connect`: the same names under another identification.
        let other = || {
            Wire::join(addr.to_string())
                .identification("another", "secret")
                .retry_max(0)
                .stream("echo", |_: &mut Stream| Ok(()))
                .build()
                .expect("a client")
        };
        match other().start() {
            Err(Error::SessionRefused { code, text }) => {
                assert_eq!(code, Some(RefusalCode::NameTaken));
                assert!(text.contains("\"echo\""), "{text}");
            }
            outcome => panic!("a name with two owners: {outcome:?}"),
        }
        assert_eq!(hub.sessions().len(), 1);
        let session = hub.wait_session(PATIENCE).expect("its session");
        session.close().expect("a close");
        owner.ends_well();
        let other = other();
        other.start().expect("the name is free");
        other.close().expect("a close");
        hub.close().expect("a close");
    });
}

#[test]
fn a_go_client_that_comes_back_takes_its_names_over() {
    on_stage("a Go client comes back", |stage| {
        let (hub, addr) = hub();
        let mut old = join(stage, addr, "serve");
        assert!(old.note().starts_with("session "));
        // The Go side may know of it a little earlier.
        let before = hub.wait_session(PATIENCE).expect("its session").id();
        let mut new = join(stage, addr, "serve");
        assert!(new.note().starts_with("session "));
        let caller = Wire::join(addr.to_string()).identification("caller", "secret");
        let caller = caller.build().expect("a caller");
        caller.start().expect("a session with the hub");
        let session = caller.wait_session(PATIENCE).expect("a session");
        let stream = open(&session, "alpha");
        assert_eq!(read_message(&stream), b"hello from alpha");
        drop(stream);
        assert!(
            hub.session(before).is_none() || hub.session(before).is_some_and(|s| s.is_closed())
        );
        let refused = session.open_stream("nobody");
        assert!(matches!(
            refused,
            Err(Error::Refused {
                refusal: Refusal::HandlerNotFound,
                ..
            })
        ));
        caller.close().expect("a close");
        hub.close().expect("a close");
        new.ends_well();
        // The old one's connection was cut.
        drop(old);
    });
}

/// Any refusal would be the last word for a Go client.
#[test]
fn a_go_client_waits_for_a_name_until_its_owner_leaves() {
    on_stage("two Go clients want a name", |stage| {
        let (hub, addr) = hub();
        let mut owner = join_as(stage, addr, "first");
        assert!(owner.note().starts_with("session "));
        let first = hub.wait_session(PATIENCE).expect("its session");
        let mut other = join_as(stage, addr, "second");
        first.close().expect("a close");
        owner.ends_well();
        assert!(other.note().starts_with("session "));
        hub.close().expect("a close");
        other.ends_well();
    });
}

#[test]
fn a_frozen_go_client_without_identification_gives_way_to_its_successor() {
    on_stage("a frozen Go client", |stage| {
        let builder = Wire::hub("127.0.0.1:0").handshake_timeout(Duration::from_secs(3));
        let (hub, addr) = hub_with(builder);
        let mut frozen = join_as(stage, addr, "");
        assert!(frozen.note().starts_with("session "));
        stage.freeze_last();
        let mut successor = join_as(stage, addr, "");
        assert!(successor.note().starts_with("session "));
        hub.close().expect("a close");
        // It may still be answering a ping.
        successor.ends_well_but_for(&["failed to send ping reply"]);
        drop(frozen);
    });
}
