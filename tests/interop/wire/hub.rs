//! Our hub between Go peers and ours: a Go program calls through the hub and is
//! called through it. The Go program audits the frames on each connection.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wirenet::{Builder, Error, Refusal, RefusalCode, Session, Stream, Wire};

use super::handlers::{Collected, digest, ours};
use super::{
    SIZES, TIMEOUT, addr_of, echo, expect_session, expect_truncated, join, open, read_message,
    session_of, start_joining, started,
};
use crate::go_programs::with_go_programs;
use crate::pattern::{assert_pattern, pattern};

/// Starts a hub that accepts the Go peers' token, and sends it.
fn hub() -> (Wire, SocketAddr) {
    hub_with(Wire::hub("127.0.0.1:0"))
}

fn hub_with(builder: Builder) -> (Wire, SocketAddr) {
    let hub = builder.token_validator(|_, _, token| match token {
        b"secret" => Ok(()),
        _ => Err("bad token".into()),
    });
    let hub = started(hub, "hub");
    let addr = addr_of(&hub);
    (hub, addr)
}

/// The options of a Go peer that serves its handlers and opens nothing.
const SERVE: &[&str] = &["-script", "serve"];

/// Runs a script of a Go peer that calls our owner through the hub.
fn they_call(script: &'static str, then: fn(mpsc::Receiver<Collected>)) {
    with_go_programs(&format!("{script}, through a hub"), move |programs| {
        let (hub, addr) = hub();
        let (collect, collected) = mpsc::channel();
        let _owner = started(ours(Wire::join(addr.to_string()), collect), "owner");
        // The peer offers no names: the hub would refuse those that our owner has.
        let options = ["-script", script, "-names", "none"];
        let mut peer = join(programs, addr, &options);
        assert_eq!(peer.note(), "done");
        then(collected);
        hub.close().expect("a close");
        peer.expect_success();
    });
}

#[test]
fn their_write_to_gets_back_messages_of_every_size() {
    they_call("echo", drop);
}

#[test]
fn their_reader_gets_back_messages_of_every_size() {
    they_call("echo.reader", drop);
}

#[test]
fn large_chunks_of_their_writer_arrive_intact() {
    they_call("writer", drop);
}

#[test]
fn sixty_four_concurrent_calls_of_theirs_do_not_mix() {
    they_call("many", drop);
}

#[test]
fn our_owner_answers_their_call() {
    they_call("call", drop);
}

#[test]
fn their_data_may_directly_follow_the_open() {
    they_call("eager", drop);
}

#[test]
fn their_call_of_an_unknown_name_is_refused_with_go_wirenets_text() {
    they_call("unknown", drop);
}

#[test]
fn our_owners_refusal_text_reaches_them() {
    they_call("forbidden", drop);
}

#[test]
fn a_missing_end_mark_is_truncation_for_our_owner() {
    they_call("bare", |collected| {
        assert_eq!(expect_truncated(&collected), b"no end mark");
    });
}

#[test]
fn a_cut_chunk_is_truncation_for_our_owner() {
    they_call("cut", |collected| drop(expect_truncated(&collected)));
}

/// A complaint about frames that Go peers send themselves, and that their reads can
/// handle. A hub relays frames unchanged.
const APART: &str = "a chunk's length in one Data frame, its bytes in the next";

#[test]
fn a_go_program_calls_another_through_our_hub() {
    with_go_programs("Go to Go", |programs| {
        let (hub, addr) = hub();
        let owner = join(programs, addr, SERVE);
        // Small messages only: if a window runs out, hashicorp/yamux itself cuts a
        // chunk in two, and go-wirenet's Reader cannot handle that, with or without
        // a hub.
        for script in ["many", "call", "eager", "unknown"] {
            let mut caller = join(programs, addr, &["-script", script, "-names", "none"]);
            assert_eq!(caller.note(), "done", "{script}");
            // The hub has served the caller, so the caller's session is listed.
            let is_caller = |session: &Session| session.stream_names().is_empty();
            for session in hub.sessions().iter().filter(|session| is_caller(session)) {
                session.close().expect("a close");
            }
            caller.expect_success_despite(&[APART]);
        }
        hub.close().expect("a close");
        owner.expect_success_despite(&[APART]);
    });
}

fn join_as_caller(addr: SocketAddr) -> (Wire, Session) {
    let caller = started(Wire::join(addr.to_string()), "caller");
    let session = session_of(&caller);
    (caller, session)
}

/// Calls a Go owner through the hub.
fn we_call(label: &str, test: fn(&Session)) {
    with_go_programs(label, move |programs| {
        let (hub, addr) = hub();
        let owner = join(programs, addr, SERVE);
        let (caller, session) = join_as_caller(addr);
        test(&session);
        caller.close().expect("a close");
        hub.close().expect("a close");
        owner.expect_success();
    });
}

#[test]
fn a_go_owner_echoes_our_messages_of_every_size() {
    we_call("echo of a Go owner", |session| {
        let stream = open(session, "echo");
        for size in SIZES {
            echo(&stream, size as u64, size);
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
fn sixty_four_concurrent_calls_of_a_go_owner_do_not_mix() {
    we_call("64 calls of a Go owner", |session| {
        thread::scope(|scope| {
            for i in 0..64 {
                scope.spawn(move || {
                    let (stream, size) = (open(session, "echo"), 3_000 * i as usize + 1);
                    echo(&stream, i, size);
                    stream.close().expect("a close");
                });
            }
        });
    });
}

#[test]
fn large_chunks_of_a_go_owner_arrive_intact() {
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
fn a_go_owners_name_is_refused_to_others_until_it_leaves() {
    with_go_programs("a Go owner's names", |programs| {
        let (hub, addr) = hub();
        let owner = join(programs, addr, SERVE);
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
            Err(Error::SessionRefused { code, text, .. }) => {
                assert_eq!(code, Some(RefusalCode::NameTaken));
                assert!(text.contains("\"echo\""), "{text}");
            }
            outcome => panic!("a name with two owners: {outcome:?}"),
        }
        assert_eq!(hub.sessions().len(), 1);
        let session = hub.wait_session(TIMEOUT).expect("its session");
        session.close().expect("a close");
        owner.expect_success();
        let other = other();
        other.start().expect("the name is free");
        other.close().expect("a close");
        hub.close().expect("a close");
    });
}

#[test]
fn a_reconnecting_go_client_takes_over_its_names() {
    with_go_programs("a Go client reconnects", |programs| {
        let (hub, addr) = hub();
        let old = join(programs, addr, SERVE);
        // The Go peer may have the session slightly earlier than the hub.
        let before = hub.wait_session(TIMEOUT).expect("its session").id();
        let new = join(programs, addr, SERVE);
        let (caller, session) = join_as_caller(addr);
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
        new.expect_success();
        // The hub cut the connection of the old client.
        drop(old);
    });
}

/// A Go client never retries after a refusal.
#[test]
fn a_go_client_waits_for_a_name_until_its_owner_leaves() {
    with_go_programs("two Go clients want a name", |programs| {
        let (hub, addr) = hub();
        let owner = join(programs, addr, &["-id", "first"]);
        let first = hub.wait_session(TIMEOUT).expect("its session");
        let mut other = start_joining(programs, addr, &["-id", "second"]);
        first.close().expect("a close");
        owner.expect_success();
        expect_session(&mut other);
        hub.close().expect("a close");
        other.expect_success();
    });
}

#[test]
fn a_frozen_go_client_without_identification_is_replaced_by_its_successor() {
    with_go_programs("a frozen Go client", |programs| {
        let builder = Wire::hub("127.0.0.1:0").handshake_timeout(Duration::from_secs(3));
        let (hub, addr) = hub_with(builder);
        let frozen = join(programs, addr, &["-id", ""]);
        programs.freeze_last();
        let successor = join(programs, addr, &["-id", ""]);
        hub.close().expect("a close");
        // It may still be answering a ping when the session ends.
        successor.expect_success_despite(&["failed to send ping reply"]);
        drop(frozen);
    });
}
