//! Two peers that both stop reading because both wait to write is the classic
//! death of such systems. Here both sides write on every stream as fast as
//! they can, to handlers that echo as they read, over a connection that holds
//! next to nothing: all of it arrives, in time.

mod support;

use socket2::{Domain, Socket, Type};
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};
use support::{
    link::Link,
    pattern::{PIECE, Pattern},
    within,
};
use wirenet::{
    Session,
    transport::{Transport, memory},
    yamux::{Config, Connection},
};

/// Streams that each side opens.
const STREAMS: u64 = 16;

/// What is sent on each of them, and comes back.
const BYTES: u64 = 8 << 20;

/// What the connection holds: as little as the system lets it.
const BUFFER: usize = 4096;

/// Where this passes, nothing moves any more.
const LIMIT: Duration = Duration::from_secs(120);

/// Sends the pattern of this seed from one thread, and checks in another that
/// it comes back.
fn send_and_check<S>(stream: &S, seed: u64, finish: impl FnOnce(&S) + Send)
where
    S: Sync,
    for<'a> &'a S: Read + Write,
{
    let pattern = &Pattern::new(seed);
    thread::scope(|scope| {
        scope.spawn(move || {
            for position in (0..BYTES).step_by(PIECE) {
                (&mut &*stream)
                    .write_all(pattern.at(position, PIECE))
                    .unwrap();
            }
            finish(stream);
        });
        let mut buf = vec![0; PIECE];
        let mut position = 0;
        loop {
            let count = (&mut &*stream).read(&mut buf).unwrap();
            pattern.check(position, &buf[..count]);
            position += count as u64;
            if count == 0 {
                break;
            }
        }
        assert_eq!(position, BYTES, "all of it, and no more");
    });
}

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
                for number in 0..STREAMS {
                    scope.spawn(move || {
                        let stream = session.open_stream("echo").unwrap();
                        let seed = side * STREAMS + number;
                        send_and_check(&stream, seed, |stream| stream.finish().unwrap());
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
    thread::scope(|scope| {
        for (side, connection) in [&near, &far].into_iter().enumerate() {
            scope.spawn(move || serve_echoes(connection));
            for number in 0..STREAMS {
                scope.spawn(move || {
                    let stream = connection.open().unwrap();
                    let seed = side as u64 * STREAMS + number;
                    send_and_check(&stream, seed, |stream| {
                        stream.shutdown(Shutdown::Write).unwrap();
                    });
                });
            }
        }
    });
    near.close();
}

fn serve_echoes(connection: &Connection) {
    thread::scope(|scope| {
        for _ in 0..STREAMS {
            let stream = connection.accept().unwrap();
            scope.spawn(move || {
                io::copy(&mut &stream, &mut &stream).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            });
        }
    });
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
        let listener = narrow_socket();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        listener.bind(&any.into()).unwrap();
        listener.listen(1).unwrap();
        let near = narrow_socket();
        near.connect(&listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        both_sides_write(TcpStream::from(near), TcpStream::from(far));
    });
}

/// A socket with small buffers. The kernel wants to know of them before it
/// connects or listens: told later, it goes on with a window that it cannot
/// fill, and stalls.
fn narrow_socket() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_send_buffer_size(BUFFER).unwrap();
    socket.set_recv_buffer_size(BUFFER).unwrap();
    socket
}
