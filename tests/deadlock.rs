//! Two peers that wait to write, and therefore do not read, are the classic
//! deadlock of a multiplexer. In these tests both sides write on every stream as
//! fast as they can, to handlers that echo as they read, over a connection with
//! tiny buffers. Everything must arrive, and in time.

mod support;

use std::{io, thread, time::Duration};
use support::{both_ways::Load, narrow, wires::Link, within};
use wirenet::{
    Session,
    transport::{Transport, memory},
    yamux::{Config, Connection},
};

const LOAD: Load = Load {
    streams: 16,
    bytes: 8 << 20,
};

/// The connection's buffers: as small as the system allows.
const BUFFER: usize = 4096;

/// After this time the connection is taken to be deadlocked.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn writing_on_both_sides_of_named_streams_over_tcp_never_deadlocks() {
    within(LIMIT, || {
        let side = |builder: wirenet::Builder| {
            builder
                .send_buffer(BUFFER)
                .recv_buffer(BUFFER)
                .stream("echo", |stream| {
                    io::copy(&mut &*stream, &mut &*stream)?;
                    stream.finish()
                })
        };
        let link = Link::new(side, side);
        let use_all = |session: &Session, side: u64| {
            thread::scope(|scope| {
                for number in 0..LOAD.streams {
                    scope.spawn(move || {
                        let stream = session.open_stream("echo").unwrap();
                        let seed = side * LOAD.streams + number;
                        LOAD.send_and_check(&stream, seed, |stream| stream.finish().unwrap());
                    });
                }
            });
        };
        thread::scope(|scope| {
            scope.spawn(|| use_all(&link.near, 0));
            scope.spawn(|| use_all(&link.far, 1));
        });
    });
}

/// Both sides write on raw streams, over any transport.
fn both_sides_write(near: impl Transport, far: impl Transport) {
    let near = Connection::client(near, Config::default()).unwrap();
    let far = Connection::server(far, Config::default()).unwrap();
    LOAD.carry(&near, &far);
    near.close();
}

/// The capacity of this transport is exact.
#[test]
fn writing_on_both_sides_of_raw_streams_in_memory_never_deadlocks() {
    within(LIMIT, || {
        let (near, far) = memory::pair(BUFFER);
        both_sides_write(near, far);
    });
}

#[test]
fn writing_on_both_sides_of_raw_streams_over_tcp_never_deadlocks() {
    within(LIMIT, || {
        let (near, far) = narrow::sockets(|_| Ok(())).unwrap();
        both_sides_write(near, far);
    });
}
