//! yamux against a scripted peer: what a peer may do, what it must not do, and
//! what it gets for either.

mod support;

#[path = "yamux/endless.rs"]
mod endless;
#[path = "yamux/ends.rs"]
mod ends;
#[path = "yamux/go_away.rs"]
mod go_away;
#[path = "yamux/limits.rs"]
mod limits;
#[path = "yamux/opening.rs"]
mod opening;
#[cfg(unix)]
#[path = "yamux/pipes.rs"]
mod pipes;
#[path = "yamux/protocol.rs"]
mod protocol;
#[path = "yamux/transports.rs"]
mod transports;
#[path = "yamux/violations.rs"]
mod violations;
#[path = "yamux/windows.rs"]
mod windows;

use std::{io::Read, time::Duration};
use support::{frames::Frame, peer::Peer};
use wirenet::{
    transport::memory,
    yamux::{Config, Connection},
};

/// A configuration none of whose timeouts elapses during a test.
fn patient() -> Config {
    Config::default()
        .keep_alive(None)
        .write_timeout(Duration::from_secs(3600))
}

/// More than most tests send without reading.
const ROOM: usize = 1 << 20;

/// A connection that was accepted, and the peer that dialled it.
fn accepted(config: Config) -> (Connection, Peer) {
    accepted_over(ROOM, config)
}

/// The same over a pipe that holds `capacity` bytes in each direction.
fn accepted_over(capacity: usize, config: Config) -> (Connection, Peer) {
    let (ours, theirs) = memory::pair(capacity);
    let connection = Connection::server(ours, config).unwrap();
    (connection, Peer::in_memory(theirs))
}

/// A connection that was dialled, and the peer that accepted it.
fn dialled(config: Config) -> (Connection, Peer) {
    dialled_over(ROOM, config)
}

/// The same over a pipe that holds `capacity` bytes in each direction.
fn dialled_over(capacity: usize, config: Config) -> (Connection, Peer) {
    let (ours, theirs) = memory::pair(capacity);
    let connection = Connection::client(ours, config).unwrap();
    (connection, Peer::in_memory(theirs))
}

/// A Data frame with flags.
fn data(flags: u16, stream: u32, body: &[u8]) -> Frame {
    Frame::data(stream, body.to_vec()).with_flags(flags)
}

/// A configuration without keepalives. Its write timeout ends what would hang.
fn quiet() -> Config {
    Config::default()
        .keep_alive(None)
        .write_timeout(Duration::from_secs(5))
}

/// Accepts a stream and reads it to its end.
fn read_next_stream(connection: &Connection) -> String {
    let mut text = String::new();
    let mut stream = connection.accept().unwrap();
    stream.read_to_string(&mut text).unwrap();
    text
}
