//! yamux against a scripted peer: what a peer may do, what it must not do, and
//! what it gets for either.

mod support;

#[path = "yamux/endless.rs"]
mod endless;
#[path = "yamux/ends.rs"]
mod ends;
#[path = "yamux/limits.rs"]
mod limits;
#[cfg(unix)]
#[path = "yamux/pipes.rs"]
mod pipes;
#[path = "yamux/protocol.rs"]
mod protocol;
#[path = "yamux/transports.rs"]
mod transports;

use std::time::Duration;
use support::peer::Peer;
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
