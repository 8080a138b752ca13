//! Go peers that read the way go-wirenet does, with its faults: what this
//! library sends, and what its hub passes on, must do no harm there.
//!
//! A `WriteTo` that meets an error which is not the end reads again, for ever;
//! the Go program gives up after 1,000 errors in a row and says so. A `Reader`
//! puts the pieces of a chunk over one another when it comes in several Data
//! frames.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc;

use wirenet::{Builder, Session, Stream, Wire};

use super::PATIENCE;
use super::handlers::ours;
use crate::peer::GoPeer;
use crate::stage::{Stage, on_stage};

/// How a message that is given up may look to the audit: it ends inside a chunk
/// or without its end mark, or with a reset.
const GIVEN_UP: [&str; 4] = [
    "a chunk's length in one Data frame",
    "a Data frame ends inside a chunk",
    "FIN without an end mark",
    "reset frame",
];

/// What Go peers send to each other, and their reads can take.
const THEIR_MANNERS: [&str; 2] = [
    "a chunk's length in one Data frame, its bytes in the next",
    "a chunk of more than 1,024 bytes",
];

fn started(builder: Builder) -> Wire {
    let wire = builder.identification("box-1", "secret").build();
    let wire = wire.expect("a wire");
    wire.start().expect("a wire that is up");
    wire
}

fn addr_of(wire: &Wire) -> SocketAddr {
    wire.local_addr().expect("the address listened on")
}

fn session_of(wire: &Wire) -> Session {
    wire.wait_session(PATIENCE).expect("a session")
}

/// A Go peer that reads as go-wirenet does, with a session at `addr`.
fn join(stage: &Stage, addr: SocketAddr, script: &str, names: &str) -> GoPeer {
    let addr = addr.to_string();
    let join = ["-role", "join", "-addr", &addr, "-id", names];
    let does = ["-script", script, "-names", names];
    let mut peer = stage.start("wirepeer", &[&join[..], &does[..]].concat());
    assert!(peer.note().starts_with("session "));
    peer
}

/// How much of a message is sent before it is given up: less than a chunk, and
/// some of them.
const PARTS: [usize; 2] = [10, 3000];

fn begin_message(mut stream: &Stream, len: usize) -> io::Result<()> {
    stream.write_all(&vec![7; len])
}

fn assert_returned(peer: &mut GoPeer) {
    let note = peer.note();
    assert!(note.starts_with("WriteTo returned"), "{note}");
}

/// Gives up two messages to the peer's `drain`.
fn give_up_uploads(session: &Session, peer: &mut GoPeer) {
    for len in PARTS {
        let stream = session.open_stream("drain").expect("a stream");
        begin_message(&stream, len).expect("the beginning of a message");
        drop(stream);
        assert_returned(peer);
    }
}

/// Serves `half`: begins a message, and then does what `then` does.
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
fn their_write_to_returns_from_an_upload_that_we_drop() {
    on_stage("dropped uploads", |stage| {
        let mut peer = stage.start("wirepeer", &["-role", "mount", "-names", "original"]);
        let client = started(Wire::join(peer.ready().to_string()));
        assert!(peer.note().starts_with("session "));
        assert_eq!(peer.note(), "done");
        give_up_uploads(&session_of(&client), &mut peer);
        client.close().expect("a close");
        peer.ends_well_but_for(&GIVEN_UP);
    });
}

#[test]
fn their_write_to_returns_from_an_upload_whose_session_we_end() {
    on_stage("an upload of an ended session", |stage| {
        let mut peer = stage.start("wirepeer", &["-role", "mount", "-names", "original"]);
        let client = started(Wire::join(peer.ready().to_string()));
        assert!(peer.note().starts_with("session "));
        assert_eq!(peer.note(), "done");
        let session = session_of(&client);
        let stream = session.open_stream("drain").expect("a stream");
        begin_message(&stream, PARTS[1]).expect("the beginning of a message");
        session.abort();
        assert_returned(&mut peer);
        client.close().expect("a close");
    });
}

#[test]
fn their_write_to_returns_from_our_handler_that_fails() {
    on_stage("a handler that fails", |stage| {
        for len in PARTS {
            let fail = |_: &Stream| Err(io::Error::other("the disk is gone"));
            let server = started(serving_half(Wire::mount("127.0.0.1:0"), len, fail));
            let mut peer = join(stage, addr_of(&server), "drain", "none");
            assert_returned(&mut peer);
            assert_eq!(peer.note(), "done");
            server.close().expect("a close");
            peer.ends_well_but_for(&GIVEN_UP);
        }
    });
}

fn hub() -> Wire {
    started(Wire::hub("127.0.0.1:0"))
}

#[test]
fn a_go_owners_write_to_returns_from_an_upload_that_our_caller_drops() {
    on_stage("dropped uploads through a hub", |stage| {
        let hub = hub();
        let mut owner = join(stage, addr_of(&hub), "serve", "original");
        assert_eq!(owner.note(), "done");
        let caller = started(Wire::join(addr_of(&hub).to_string()));
        give_up_uploads(&session_of(&caller), &mut owner);
        caller.close().expect("a close");
        hub.close().expect("a close");
        owner.ends_well_but_for(&GIVEN_UP);
    });
}

#[test]
fn a_go_owners_write_to_returns_when_its_caller_is_killed() {
    on_stage("a killed caller", |stage| {
        let hub = hub();
        let mut owner = join(stage, addr_of(&hub), "serve", "original");
        assert_eq!(owner.note(), "done");
        for len in PARTS {
            let caller = started(Wire::join(addr_of(&hub).to_string()).retry_max(0));
            let session = session_of(&caller);
            let stream = session.open_stream("drain").expect("a stream");
            begin_message(&stream, len).expect("the beginning of a message");
            session.abort();
            assert_returned(&mut owner);
        }
        hub.close().expect("a close");
        owner.ends_well_but_for(&GIVEN_UP);
    });
}

#[test]
fn a_go_callers_write_to_returns_when_the_owner_fails_or_is_killed() {
    on_stage("a killed owner", |stage| {
        for len in PARTS {
            for is_killed in [false, true] {
                let hub = hub();
                let (begun, has_begun) = mpsc::channel();
                let end = move |stream: &Stream| {
                    begun.send(()).expect("the test waits for it");
                    if is_killed {
                        stream.session().abort();
                    }
                    Err(io::Error::other("the disk is gone"))
                };
                let owner = Wire::join(addr_of(&hub).to_string()).retry_max(0);
                let owner = started(serving_half(owner, len, end));
                let mut caller = join(stage, addr_of(&hub), "drain", "none");
                has_begun.recv_timeout(PATIENCE).expect("a handler");
                assert_returned(&mut caller);
                assert_eq!(caller.note(), "done");
                hub.close().expect("a close");
                caller.ends_well_but_for(&GIVEN_UP);
                drop(owner);
            }
        }
    });
}

/// One Go peer calls another through our hub, and they move 16 MiB at a time.
fn move_bulk(script: &'static str) {
    on_stage(script, move |stage| {
        let hub = hub();
        let mut owner = join(stage, addr_of(&hub), "serve", "original");
        assert_eq!(owner.note(), "done");
        for _ in 0..2 {
            let mut caller = join(stage, addr_of(&hub), script, "none");
            assert_eq!(caller.note(), "done");
            let is_caller = |session: &Session| session.identification() == b"none";
            for session in hub.sessions().iter().filter(|session| is_caller(session)) {
                session.close().expect("a close");
            }
            caller.ends_well_but_for(&THEIR_MANNERS);
        }
        hub.close().expect("a close");
        owner.ends_well_but_for(&THEIR_MANNERS);
    });
}

#[test]
fn sixteen_mib_of_a_go_caller_reach_a_go_owners_reader_whole() {
    move_bulk("bulk-up");
}

#[test]
fn sixteen_mib_of_a_go_owner_reach_a_go_callers_reader_whole() {
    move_bulk("bulk-down");
}

#[test]
fn a_thousand_streams_of_a_go_client_at_once_are_served() {
    on_stage("a thousand streams", |stage| {
        let (collect, _) = mpsc::channel();
        let server = started(ours(Wire::mount("127.0.0.1:0"), collect));
        let mut peer = join(stage, addr_of(&server), "crowd", "none");
        assert_eq!(peer.note(), "done");
        server.close().expect("a close");
        peer.ends_well();
    });
}

#[test]
fn a_thousand_streams_of_a_go_client_through_our_hub_are_served() {
    on_stage("a thousand streams through a hub", |stage| {
        // A quarter of the places may wait for one owner's answers.
        let hub = started(Wire::hub("127.0.0.1:0").handler_limit(4_096));
        let (collect, _) = mpsc::channel();
        let owner = ours(Wire::join(addr_of(&hub).to_string()), collect);
        let owner = started(owner);
        let mut peer = join(stage, addr_of(&hub), "crowd", "none");
        assert_eq!(peer.note(), "done");
        owner.close().expect("a close");
        hub.close().expect("a close");
        peer.ends_well();
    });
}
