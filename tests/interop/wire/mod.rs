//! Layers 2 and 3 against a Go peer that behaves like go-wirenet:
//! `go/src/interop/wirepeer`. Most tests run twice: once we mount, once they do.

mod go_wirenet_faults;
mod handlers;
mod hub;
mod sessions;
mod streams_they_open;
mod streams_we_open;

use std::io::{self, Cursor, Read};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use wirenet::{Builder, Session, Stream, Wire};

use crate::go_peer::GoPeer;
use crate::go_programs::{GoPrograms, with_go_programs};
use crate::pattern::{assert_pattern, pattern};
use handlers::Collected;

/// The names that the Go peer offers, in its order.
const THEIR_NAMES: &str = "alpha,bare,cut,echo,sink.reader,sink.writeto,source,source.writer";

/// The sizes of messages, around the size of a chunk and beyond a window.
const SIZES: [usize; 7] = [0, 1, 1_023, 1_024, 1_025, 262_144, 8 << 20];

/// The time limit of a single wait in a test, below the deadline of the test.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
enum Mounts {
    We,
    They,
}

/// A session with a running Go peer.
struct Connected {
    wire: Wire,
    session: Session,
    peer: GoPeer,
    /// The note with which the Go peer reports the session.
    greeting: String,
    /// Receives one message for each session that ended.
    closed: mpsc::Receiver<()>,
    collected: mpsc::Receiver<Collected>,
}

impl Connected {
    /// Ends the session, and asserts that the Go peer complained about nothing.
    fn finish(self) {
        self.wire.close().expect("a close");
        self.peer.expect_success();
    }
}

/// Runs a test with a Go peer that follows a script: once we mount, once they do.
fn with_peer(script: &'static str, test: fn(&mut Connected)) {
    for mounts in [Mounts::We, Mounts::They] {
        with_go_programs(&format!("{script}, {mounts:?} mount"), move |programs| {
            let mut connected = connect(programs, script, mounts);
            test(&mut connected);
            connected.finish();
        });
    }
}

fn connect(programs: &GoPrograms, script: &str, mounts: Mounts) -> Connected {
    let (opened, on_open) = mpsc::channel();
    let (ended, closed) = mpsc::channel();
    let (collect, collected) = mpsc::channel();
    let configure = |builder: Builder| {
        let wire = handlers::ours(builder, collect)
            .identification("box-1", "secret")
            .on_session_open(move |session: &Session| _ = opened.send(session.clone()))
            .on_session_close(move |_: &Session| _ = ended.send(()));
        wire.build().expect("a wire")
    };
    let (wire, mut peer) = match mounts {
        Mounts::We => {
            let wire = configure(Wire::mount("127.0.0.1:0"));
            wire.start().expect("a wire that listens");
            let peer = start_joining(programs, addr_of(&wire), &["-script", script]);
            (wire, peer)
        }
        Mounts::They => {
            let mut peer = programs.start("wirepeer", &["-role", "mount", "-script", script]);
            let wire = configure(Wire::join(peer.listen_address().to_string()));
            wire.start().expect("a session with the Go peer");
            (wire, peer)
        }
    };
    let session = on_open.recv_timeout(TIMEOUT).expect("a session");
    let greeting = peer.note();
    Connected {
        wire,
        session,
        peer,
        greeting,
        closed,
        collected,
    }
}

/// Starts a Go peer that joins the server or hub at `addr`.
fn start_joining(programs: &GoPrograms, addr: SocketAddr, options: &[&str]) -> GoPeer {
    let addr = addr.to_string();
    let join = ["-role", "join", "-addr", &addr];
    programs.start("wirepeer", &[&join[..], options].concat())
}

/// Starts a Go peer that joins the server or hub at `addr`, and waits until its
/// session is open.
fn join(programs: &GoPrograms, addr: SocketAddr, options: &[&str]) -> GoPeer {
    let mut peer = start_joining(programs, addr, options);
    expect_session(&mut peer);
    peer
}

/// Waits until the Go peer reports that its session is open.
fn expect_session(peer: &mut GoPeer) {
    let note = peer.note();
    assert!(note.starts_with("session "), "{note}");
}

/// Builds and starts a wire with the Go peers' token.
fn started(builder: Builder, identification: &str) -> Wire {
    let wire = builder.identification(identification, "secret").build();
    let wire = wire.expect("a wire");
    wire.start().expect("a wire that starts");
    wire
}

fn addr_of(wire: &Wire) -> SocketAddr {
    wire.local_addr().expect("the address listened on")
}

fn session_of(wire: &Wire) -> Session {
    wire.wait_session(TIMEOUT).expect("a session")
}

fn open(session: &Session, name: &str) -> Stream {
    session
        .open_stream(name)
        .expect("a stream that the Go peer handles")
}

/// Sends a message to an echo handler, and expects it back.
fn echo(stream: &Stream, seed: u64, size: usize) {
    send_by_copy(stream, &pattern(seed, size));
    assert_pattern(&read_message(stream), seed, size);
}

/// Expects that our handler `collect` met the end of its stream inside a message.
/// Returns the bytes before that end.
fn expect_truncated(collected: &mpsc::Receiver<Collected>) -> Vec<u8> {
    let collected = collected.recv_timeout(TIMEOUT).expect("a handler that ran");
    assert_eq!(collected.end, Err(io::ErrorKind::UnexpectedEof));
    collected.bytes
}

fn read_message(mut stream: &Stream) -> Vec<u8> {
    assert!(
        stream.next_message().expect("another message"),
        "the stream ended"
    );
    let mut message = Vec::new();
    stream.read_to_end(&mut message).expect("a whole message");
    message
}

/// Sends a message with `io::copy`, as a program would send a file.
fn send_by_copy(mut stream: &Stream, message: &[u8]) {
    io::copy(&mut Cursor::new(message), &mut stream).expect("a copy into the stream");
    stream.finish().expect("an end mark");
}
