//! Layer 1 against hashicorp/yamux: `go/src/interop/yamuxpeer`. Each test runs its
//! scenario twice: once we dial, once they do.

mod echoes;
mod endings;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use wirenet::yamux::{Config, Connection, Stream};

use crate::go_peer::GoPeer;
use crate::go_programs::{GoPrograms, with_go_programs};

#[derive(Clone, Copy, Debug)]
enum Dials {
    We,
    They,
}

/// The part of the Go program in a scenario.
#[derive(Clone, Copy, Debug)]
enum GoSide {
    Opens,
    Answers,
}

fn run_scenario(scenario: &'static str, go_side: GoSide, ours: fn(&Connection)) {
    run_scenario_expecting(&[], scenario, go_side, ours);
}

/// Runs a scenario in which the Go program may complain.
fn run_scenario_expecting(
    complaints: &'static [&'static str],
    scenario: &'static str,
    go_side: GoSide,
    ours: fn(&Connection),
) {
    for dials in [Dials::We, Dials::They] {
        with_go_programs(
            &format!("{scenario}, Go {go_side:?}, {dials:?} dial"),
            move |programs| {
                let (peer, connection) = connect(programs, scenario, go_side, dials);
                ours(&connection);
                peer.expect_success_despite(complaints);
            },
        );
    }
}

fn connect(
    programs: &GoPrograms,
    scenario: &str,
    go_side: GoSide,
    dials: Dials,
) -> (GoPeer, Connection) {
    let part = match go_side {
        GoSide::Opens => "open",
        GoSide::Answers => "answer",
    };
    let arguments = ["-part", part, "-scenario", scenario];
    let (peer, connection) = match dials {
        Dials::We => {
            let mut peer = programs.start(
                "yamuxpeer",
                &[&arguments[..], &["-side", "listen"]].concat(),
            );
            let socket = TcpStream::connect(peer.listen_address()).expect("dial loopback");
            (peer, Connection::client(socket, Config::default()))
        }
        Dials::They => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen on loopback");
            let address = listener
                .local_addr()
                .expect("the address listened on")
                .to_string();
            let dial = ["-side", "dial", "-addr", &address];
            let peer = programs.start("yamuxpeer", &[&arguments[..], &dial].concat());
            let (socket, _) = listener.accept().expect("accept on loopback");
            (peer, Connection::server(socket, Config::default()))
        }
    };
    (peer, connection.expect("a yamux connection over TCP"))
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

fn send_byte(mut stream: &Stream, byte: u8) {
    stream.write_all(&[byte]).expect("a write");
}

fn expect_byte(mut stream: &Stream, byte: u8) {
    let mut got = [0];
    stream.read_exact(&mut got).expect("a read");
    assert_eq!(char::from(got[0]), char::from(byte));
}

fn open_and_send(connection: &Connection, byte: u8) -> Stream {
    let stream = connection.open().expect("an open");
    send_byte(&stream, byte);
    stream
}

fn accept_and_expect(connection: &Connection, byte: u8) -> Stream {
    let stream = connection.accept().expect("a stream");
    expect_byte(&stream, byte);
    stream
}
