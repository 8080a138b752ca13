//! Echo clients for wirenet's yamux streams.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use wirenet::yamux::{Connection, Stream};

use crate::pattern::{assert_pattern, pattern};

/// Writes a pattern and half-closes the stream. Expects the same pattern back, and
/// then the end.
///
/// # Panics
///
/// If anything else comes back.
pub fn echo(stream: Stream, seed: u64, size: usize) {
    let data = pattern(seed, size);
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&data).expect("a write");
            stream.shutdown(Shutdown::Write).expect("a half-close");
        });
        expect_rest(&stream, seed, size);
    });
}

/// Opens streams concurrently, and calls [`echo`] on each. The size of a stream's
/// data depends on its index.
pub fn echo_concurrently(connection: &Connection, streams: u64, size: fn(u64) -> u64) {
    thread::scope(|scope| {
        for i in 0..streams {
            scope.spawn(move || echo(connection.open().expect("an open"), i, size(i) as usize));
        }
    });
}

/// Reads to the end of a stream, and expects a pattern.
///
/// # Panics
///
/// If the data differs.
pub fn expect_rest(mut stream: &Stream, seed: u64, size: usize) {
    let mut got = Vec::with_capacity(size);
    stream.read_to_end(&mut got).expect("a read");
    assert_pattern(&got, seed, size);
}
