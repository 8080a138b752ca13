//! Streams of bytes: their ends on the wire, and libraries that own one.

mod support;

#[path = "bytes/ends.rs"]
mod ends;
#[path = "bytes/handlers.rs"]
mod handlers;
#[path = "bytes/libraries.rs"]
mod libraries;
#[path = "bytes/stalls.rs"]
mod stalls;
#[path = "bytes/writes.rs"]
mod writes;

use crossbeam_channel::{Sender, unbounded};
use support::{
    PATIENCE,
    reads::{assert_end, assert_reads, assert_reset},
    wires::Link,
};
use wirenet::{ByteStream, Stream};

/// A stream of bytes, and the peer's end of it, whose handler runs as long as this exists.
struct Pair {
    bytes: ByteStream,
    peer: Stream,
    _running: Sender<()>,
    // Dropped last: its close waits for the streams.
    link: Link,
}

impl Pair {
    fn new() -> Self {
        let (running, ended) = unbounded::<()>();
        let (sender, streams) = unbounded();
        let link = Link::serving("bytes", move |stream| {
            sender.send(stream.clone()).unwrap();
            // Returns an error once the sender is dropped.
            let _ = ended.recv();
            Ok(())
        });
        let bytes = open(&link, "bytes").into_byte_stream();
        let peer = streams.recv_timeout(PATIENCE).unwrap();
        Self {
            bytes,
            peer: impatient(peer),
            _running: running,
            link,
        }
    }
}

/// Opens a stream that [`impatient`] has changed.
fn open(link: &Link, name: &str) -> Stream {
    impatient(link.near.open_stream(name).unwrap())
}

/// Lets reads and writes of a stream fail that take longer than any should.
fn impatient(stream: Stream) -> Stream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}
