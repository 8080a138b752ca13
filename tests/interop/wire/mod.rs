//! Layers 2 and 3 against a Go peer with go-wirenet's manners:
//! `go/src/interop/wirepeer`. Each test runs with each of the sides mounting.

mod handlers;
mod hub;
mod original;
mod sessions;
mod they_open;
mod we_open;

use std::io::{self, Cursor, Read};
use std::sync::mpsc;
use std::time::Duration;

use wirenet::{Builder, Session, Stream, Wire};

use crate::peer::GoPeer;
use crate::stage::{Stage, on_stage};
use handlers::Collected;

/// The names that the Go side announces, in its order.
const THEIR_NAMES: &str = "alpha,bare,cut,echo,sink.reader,sink.writeto,source,source.writer";

/// How long a single wait in a test may take; the stage has a deadline of its
/// own behind it.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
enum Mounts {
    We,
    They,
}

/// A session with a running Go peer, and what the hooks said about it.
struct Connected {
    wire: Wire,
    session: Session,
    peer: GoPeer,
    /// The note with which the Go side tells of the session.
    greeting: String,
    /// One line for each session that ended.
    closed: mpsc::Receiver<()>,
    collected: mpsc::Receiver<Collected>,
}

impl Connected {
    /// Ends the session and expects the Go side to be content.
    fn finish(self) {
        self.wire.close().expect("a close");
        self.peer.ends_well();
    }
}

/// Plays with a Go peer that follows a script, with each side mounting.
fn with_peer(script: &'static str, play: fn(&mut Connected)) {
    for mounts in [Mounts::We, Mounts::They] {
        on_stage(&format!("{script}, {mounts:?} mount"), move |stage| {
            let mut connected = connect(stage, script, mounts);
            play(&mut connected);
            connected.finish();
        });
    }
}

fn connect(stage: &Stage, script: &str, mounts: Mounts) -> Connected {
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
            let address = wire
                .local_addr()
                .expect("the address listened on")
                .to_string();
            let peer = stage.start(
                "wirepeer",
                &["-role", "join", "-addr", &address, "-script", script],
            );
            (wire, peer)
        }
        Mounts::They => {
            let mut peer = stage.start("wirepeer", &["-role", "mount", "-script", script]);
            let wire = configure(Wire::join(peer.ready().to_string()));
            wire.start().expect("a session with the Go side");
            (wire, peer)
        }
    };
    let session = on_open.recv_timeout(PATIENCE).expect("a session");
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

fn read_message(mut stream: &Stream) -> Vec<u8> {
    assert!(
        stream.next_message().expect("another message"),
        "the stream ended"
    );
    let mut message = Vec::new();
    stream.read_to_end(&mut message).expect("a whole message");
    message
}

/// Sends a message the way a file is sent.
fn send_by_copy(mut stream: &Stream, message: &[u8]) {
    io::copy(&mut Cursor::new(message), &mut stream).expect("a copy into the stream");
    stream.finish().expect("an end mark");
}
