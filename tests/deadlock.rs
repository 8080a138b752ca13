//! Two peers that both stop reading because both wait to write is the classic
//! death of such systems. Here both sides write on every stream as fast as
//! they can, to handlers that echo as they read, over a connection that holds
//! next to nothing: all of it arrives, in time.

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

/// What the connection holds: as little as the system lets it.
const BUFFER: usize = 4096;

/// Where this passes, nothing moves any more.
const LIMIT: Duration = Duration::from_secs(120);

/// Named streams over TCP.
#[test]
fn both_sides_write_on_named_streams() {
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

/// Raw streams over any transport.
fn both_sides_write(near: impl Transport, far: impl Transport) {
    let near = Connection::client(near, Config::default()).unwrap();
    let far = Connection::server(far, Config::default()).unwrap();
    LOAD.carry(&near, &far);
    near.close();
}

/// Over a transport whose capacity is exact.
#[test]
fn both_sides_write_on_raw_streams_in_memory() {
    within(LIMIT, || {
        let (near, far) = memory::pair(BUFFER);
        both_sides_write(near, far);
    });
}

/// Over TCP.
#[test]
fn both_sides_write_on_raw_streams_over_tcp() {
    within(LIMIT, || {
        let (near, far) = narrow::sockets(|_| Ok(())).unwrap();
        both_sides_write(near, far);
    });
}
