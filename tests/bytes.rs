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
        let bytes = link.near.open_stream("bytes").unwrap().into_byte_stream();
        Self {
            bytes,
            peer: streams.recv_timeout(PATIENCE).unwrap(),
            _running: running,
            link,
        }
    }
}
