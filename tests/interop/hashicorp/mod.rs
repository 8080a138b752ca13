//! Layer 1 against hashicorp/yamux: `go/src/interop/yamuxpeer`. Each test plays
//! one story with each of the sides dialling.

mod data;
mod endings;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

use wirenet::yamux::{Config, Connection, Stream};

use crate::pattern::{assert_pattern, pattern};
use crate::peer::GoPeer;
use crate::stage::{Stage, on_stage};

#[derive(Clone, Copy, Debug)]
enum Dials {
    We,
    They,
}

/// What the Go side does in the story.
#[derive(Clone, Copy, Debug)]
enum They {
    Open,
    Answer,
}

fn play(story: &'static str, they: They, ours: fn(&Connection)) {
    play_expecting(&[], story, they, ours);
}

fn play_expecting(
    complaints: &'static [&'static str],
    story: &'static str,
    they: They,
    ours: fn(&Connection),
) {
    for dials in [Dials::We, Dials::They] {
        on_stage(
            &format!("{story}, they {they:?}, {dials:?} dial"),
            move |stage| {
                let (peer, connection) = connect(stage, story, they, dials);
                ours(&connection);
                peer.ends_well_but_for(complaints);
            },
        );
    }
}

fn connect(stage: &Stage, story: &str, they: They, dials: Dials) -> (GoPeer, Connection) {
    let part = match they {
        They::Open => "open",
        They::Answer => "answer",
    };
    let arguments = ["-part", part, "-scenario", story];
    let (peer, connection) = match dials {
        Dials::We => {
            let mut peer = stage.start(
                "yamuxpeer",
                &[&arguments[..], &["-side", "listen"]].concat(),
            );
            let socket = TcpStream::connect(peer.ready()).expect("dial loopback");
            (peer, Connection::client(socket, Config::default()))
        }
        Dials::They => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen on loopback");
            let address = listener
                .local_addr()
                .expect("the address listened on")
                .to_string();
            let dial = ["-side", "dial", "-addr", &address];
            let peer = stage.start("yamuxpeer", &[&arguments[..], &dial].concat());
            let (socket, _) = listener.accept().expect("accept on loopback");
            (peer, Connection::server(socket, Config::default()))
        }
    };
    (peer, connection.expect("a yamux connection over TCP"))
}

/// Writes a pattern, half-closes, and expects it back and then the end.
fn echo(stream: Stream, seed: u64, size: usize) {
    let data = pattern(seed, size);
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&data).expect("a write");
            stream.shutdown(Shutdown::Write).expect("a half-close");
        });
        expect_rest(&stream, seed, size);
    });
}

fn echo_until_closed(connection: &Connection) {
    thread::scope(|scope| {
        while let Ok(stream) = connection.accept() {
            scope.spawn(move || {
                io::copy(&mut &stream, &mut &stream).expect("an echo");
            });
        }
    });
}

fn say(mut stream: &Stream, byte: u8) {
    stream.write_all(&[byte]).expect("a write");
}

fn hear(mut stream: &Stream, byte: u8) {
    let mut got = [0];
    stream.read_exact(&mut got).expect("a read");
    assert_eq!(char::from(got[0]), char::from(byte));
}

fn expect_rest(mut stream: &Stream, seed: u64, size: usize) {
    let mut got = Vec::with_capacity(size);
    stream.read_to_end(&mut got).expect("a read");
    assert_pattern(&got, seed, size);
}

fn open_saying(connection: &Connection, byte: u8) -> Stream {
    let stream = connection.open().expect("an open");
    say(&stream, byte);
    stream
}

fn accept_hearing(connection: &Connection, byte: u8) -> Stream {
    let stream = connection.accept().expect("a stream");
    hear(&stream, byte);
    stream
}
