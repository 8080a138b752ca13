//! Go peers that read the way go-wirenet does, with its faults. What this library
//! sends, and what its hub relays, must not trigger them.
//!
//! A `WriteTo` that gets an error other than the end reads again, forever. The Go
//! program gives up after 1,000 consecutive errors and reports that. A `Reader`
//! writes the pieces of a chunk over one another if the chunk arrives in several
//! Data frames.

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wirenet::{Builder, Session, Stream, Wire};

use super::handlers::ours;
use super::{TIMEOUT, addr_of, expect_session, join, session_of};
use crate::go_peer::GoPeer;
use crate::go_programs::{GoPrograms, with_go_programs};

/// The audit's complaints about an aborted message: it ends inside a chunk, or
/// without its end mark, or with a reset.
const ABORTED: [&str; 4] = [
    "a chunk's length in one Data frame",
    "a Data frame ends inside a chunk",
    "FIN without an end mark",
    "reset frame",
];

/// The audit's complaints about frames that Go peers send themselves, and that
/// their reads can handle.
const SENT_BY_GO_PEERS: [&str; 2] = [
    "a chunk's length in one Data frame, its bytes in the next",
    "a chunk of more than 1,024 bytes",
];

/// A Go owner that reads the way go-wirenet does.
const OWNER: &[&str] = &["-script", "serve", "-names", "original", "-id", "original"];

fn started(builder: Builder) -> Wire {
    super::started(builder, "box-1")
}

/// Starts a Go peer that follows a script and offers no names.
fn join_as_caller(programs: &GoPrograms, wire: &Wire, script: &str) -> GoPeer {
    let options = ["-script", script, "-names", "none", "-id", "none"];
    join(programs, addr_of(wire), &options)
}

/// Starts a Go owner, and waits until the hub has its session.
fn join_as_owner(programs: &GoPrograms, hub: &Wire) -> GoPeer {
    let mut owner = join(programs, addr_of(hub), OWNER);
    assert_eq!(owner.note(), "done");
    owner
}

/// Starts a Go server that reads the way go-wirenet does, and connects to it.
fn connect_to_server(programs: &GoPrograms) -> (GoPeer, Wire) {
    let mut peer = programs.start("wirepeer", &["-role", "mount", "-names", "original"]);
    let client = started(Wire::join(peer.listen_address().to_string()));
    expect_session(&mut peer);
    assert_eq!(peer.note(), "done");
    (peer, client)
}

/// How many bytes of a message are sent before it is aborted: less than a chunk,
/// and several chunks.
const PARTS: [usize; 2] = [10, 3000];

fn begin_message(mut stream: &Stream, len: usize) -> io::Result<()> {
    stream.write_all(&vec![7; len])
}

fn assert_returned(peer: &mut GoPeer) {
    let note = peer.note();
    assert!(note.starts_with("WriteTo returned"), "{note}");
}

/// Waits until the hub has this many sessions. A close would report a session that
/// was killed but that the hub has not removed yet.
fn expect_sessions(hub: &Wire, count: usize) {
    let start = Instant::now();
    while hub.sessions().len() != count {
        assert!(start.elapsed() < TIMEOUT, "{:?}", hub.sessions());
        thread::sleep(Duration::from_millis(1));
    }
}

/// Aborts two messages to the peer's handler `drain`.
fn abort_uploads(session: &Session, peer: &mut GoPeer) {
    for len in PARTS {
        let stream = session.open_stream("drain").expect("a stream");
        begin_message(&stream, len).expect("the beginning of a message");
        drop(stream);
        assert_returned(peer);
    }
}

/// Registers the handler `half`, which begins a message and then calls `then`.
fn serving_half(
    builder: Builder,
    len: usize,
    then: impl Fn(&Stream) -> io::Result<()> + Send + Sync + 'static,
) -> Builder {
    builder.stream("half", move |stream: &mut Stream| {
        begin_message(stream, len)?;
        then(stream)
    })
}

#[test]
fn their_write_to_returns_when_we_drop_an_upload() {
    with_go_programs("dropped uploads", |programs| {
        let (mut peer, client) = connect_to_server(programs);
        abort_uploads(&session_of(&client), &mut peer);
        client.close().expect("a close");
        peer.expect_success_despite(&ABORTED);
    });
}

#[test]
fn their_write_to_returns_when_we_abort_the_session_of_an_upload() {
    with_go_programs("an upload of an ended session", |programs| {
        let (mut peer, client) = connect_to_server(programs);
        let session = session_of(&client);
        let stream = session.open_stream("drain").expect("a stream");
        begin_message(&stream, PARTS[1]).expect("the beginning of a message");
        session.abort();
        assert_returned(&mut peer);
        client.close().expect("a close");
    });
}

#[test]
fn their_write_to_returns_when_our_handler_fails() {
    with_go_programs("a handler that fails", |programs| {
        for len in PARTS {
            let fail = |_: &Stream| Err(io::Error::other("the disk is gone"));
            let server = started(serving_half(Wire::mount("127.0.0.1:0"), len, fail));
            let mut peer = join_as_caller(programs, &server, "drain");
            assert_returned(&mut peer);
            assert_eq!(peer.note(), "done");
            server.close().expect("a close");
            peer.expect_success_despite(&ABORTED);
        }
    });
}

fn hub() -> Wire {
    started(Wire::hub("127.0.0.1:0"))
}

#[test]
fn a_go_owners_write_to_returns_when_our_caller_drops_an_upload() {
    with_go_programs("dropped uploads through a hub", |programs| {
        let hub = hub();
        let mut owner = join_as_owner(programs, &hub);
        let caller = started(Wire::join(addr_of(&hub).to_string()));
        abort_uploads(&session_of(&caller), &mut owner);
        caller.close().expect("a close");
        hub.close().expect("a close");
        owner.expect_success_despite(&ABORTED);
    });
}

#[test]
fn a_go_owners_write_to_returns_when_its_caller_is_killed() {
    with_go_programs("a killed caller", |programs| {
        let hub = hub();
        let mut owner = join_as_owner(programs, &hub);
        for len in PARTS {
            let caller = started(Wire::join(addr_of(&hub).to_string()).retry_max(0));
            let session = session_of(&caller);
            let stream = session.open_stream("drain").expect("a stream");
            begin_message(&stream, len).expect("the beginning of a message");
            session.abort();
            assert_returned(&mut owner);
            expect_sessions(&hub, 1);
        }
        hub.close().expect("a close");
        owner.expect_success_despite(&ABORTED);
    });
}

#[test]
fn a_go_callers_write_to_returns_when_the_owner_fails_or_is_killed() {
    with_go_programs("a killed owner", |programs| {
        for len in PARTS {
            for is_killed in [false, true] {
                let hub = hub();
                let (begun, has_begun) = mpsc::channel();
                let end = move |stream: &Stream| {
                    begun.send(()).expect("the test waits");
                    if is_killed {
                        stream.session().abort();
                    }
                    Err(io::Error::other("the disk is gone"))
                };
                let owner = Wire::join(addr_of(&hub).to_string()).retry_max(0);
                let owner = started(serving_half(owner, len, end));
                let mut caller = join_as_caller(programs, &hub, "drain");
                has_begun.recv_timeout(TIMEOUT).expect("a handler");
                assert_returned(&mut caller);
                assert_eq!(caller.note(), "done");
                expect_sessions(&hub, if is_killed { 1 } else { 2 });
                hub.close().expect("a close");
                caller.expect_success_despite(&ABORTED);
                drop(owner);
            }
        }
    });
}

/// Runs a script of a Go peer that calls another through our hub. They exchange
/// 16 MiB at a time.
fn exchange_bulk(script: &'static str) {
    with_go_programs(script, move |programs| {
        let hub = hub();
        let owner = join_as_owner(programs, &hub);
        for _ in 0..2 {
            let mut caller = join_as_caller(programs, &hub, script);
            assert_eq!(caller.note(), "done");
            let is_caller = |session: &Session| session.identification() == b"none";
            for session in hub.sessions().iter().filter(|session| is_caller(session)) {
                session.close().expect("a close");
            }
            caller.expect_success_despite(&SENT_BY_GO_PEERS);
        }
        hub.close().expect("a close");
        owner.expect_success_despite(&SENT_BY_GO_PEERS);
    });
}

#[test]
fn sixteen_mib_of_a_go_caller_reach_a_go_owners_reader_intact() {
    exchange_bulk("bulk-up");
}

#[test]
fn sixteen_mib_of_a_go_owner_reach_a_go_callers_reader_intact() {
    exchange_bulk("bulk-down");
}

#[test]
fn a_thousand_concurrent_streams_of_a_go_client_are_served() {
    with_go_programs("a thousand streams", |programs| {
        let (collect, _) = mpsc::channel();
        let server = started(ours(Wire::mount("127.0.0.1:0"), collect));
        let mut peer = join_as_caller(programs, &server, "crowd");
        assert_eq!(peer.note(), "done");
        server.close().expect("a close");
        peer.expect_success();
    });
}

#[test]
fn a_thousand_concurrent_streams_of_a_go_client_through_our_hub_are_served() {
    with_go_programs("a thousand streams through a hub", |programs| {
        // A quarter of the handler limit may wait for the answers of one owner.
        let hub = started(Wire::hub("127.0.0.1:0").handler_limit(4_096));
        let (collect, _) = mpsc::channel();
        let owner = ours(Wire::join(addr_of(&hub).to_string()), collect);
        let owner = started(owner);
        let mut peer = join_as_caller(programs, &hub, "crowd");
        assert_eq!(peer.note(), "done");
        owner.close().expect("a close");
        hub.close().expect("a close");
        peer.expect_success();
    });
}
