//! Limits of a connection at their edges, with a peer that is played frame by
//! frame.

mod support;

use std::{
    io::{self, IoSlice, Read},
    time::Duration,
};
use support::{
    PATIENCE,
    frames::{Frame, RST, SYN},
    in_time,
};
use wirenet::{
    transport::{Halves, Transport, Wait, memory},
    yamux::{Config, Connection},
};

/// A connection of which none of the timeouts passes during a test.
fn patient() -> Config {
    Config::default()
        .keep_alive(None)
        .write_timeout(Duration::from_secs(3600))
}

/// The played peer, over a pipe in memory; gone when it is dropped.
struct Peer {
    halves: Halves,
}

impl Peer {
    fn send(&mut self, frames: &[Frame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let written = self.halves.writer.write(&[IoSlice::new(rest)], Wait::Block);
            rest = &rest[written.unwrap()..];
        }
    }
}

impl Read for Peer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.halves.reader.read(buf)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.halves.closer.shutdown();
    }
}

/// A connection of ours that accepted, and the peer that dialled it.
fn accepted(config: Config) -> (Connection, Peer) {
    let (ours, theirs) = memory::pair(1 << 20);
    let connection = Connection::server(ours, config).unwrap();
    let mut halves = theirs.split().unwrap();
    halves.reader.set_timeout(Some(PATIENCE)).unwrap();
    (connection, Peer { halves })
}

/// Other implementations send so.
#[test]
fn one_frame_may_fill_the_window_whatever_the_limit_on_frames() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().max_window(1).max_frame(1000));
        peer.send(&[Frame::flags(1, SYN), Frame::data(1, vec![7; 262_144])]);
        let mut stream = connection.accept().unwrap();
        stream.read_exact(&mut vec![0; 262_144]).unwrap();
    });
}

#[test]
fn any_backlog_may_be_asked_for() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().backlog(usize::MAX));
        peer.send(&[Frame::flags(1, SYN)]);
        assert_eq!(connection.accept().unwrap().id().0, 1);
    });
}

#[test]
fn a_stream_beyond_the_backlog_is_reset() {
    in_time(|| {
        let (connection, mut peer) = accepted(patient().backlog(2));
        peer.send(&[1, 3, 5].map(|id| Frame::flags(id, SYN)));
        assert_eq!(Frame::read(&mut peer).unwrap(), Some(Frame::flags(5, RST)));
        for id in [1, 3] {
            assert_eq!(connection.accept().unwrap().id().0, id);
        }
        peer.send(&[Frame::flags(7, SYN)]);
        assert_eq!(connection.accept().unwrap().id().0, 7);
    });
}
