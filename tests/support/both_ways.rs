//! Both sides of a connection write on all streams as fast as they can. The peer
//! echoes what it reads.

use super::pattern::{PIECE, Pattern};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    thread,
};
use wirenet::yamux::Connection;

/// What each side sends.
#[derive(Clone, Copy)]
pub struct Load {
    /// Streams that each side opens.
    pub streams: u64,
    /// Bytes sent on each stream, and echoed.
    pub bytes: u64,
}

impl Load {
    /// Sends the pattern of this seed on one thread, and checks on another that it
    /// comes back.
    pub fn send_and_check<S>(self, stream: &S, seed: u64, finish: impl FnOnce(&S) + Send)
    where
        S: Sync,
        for<'a> &'a S: Read + Write,
    {
        let pattern = &Pattern::new(seed);
        thread::scope(|scope| {
            scope.spawn(move || {
                for position in (0..self.bytes).step_by(PIECE) {
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
            assert_eq!(
                position, self.bytes,
                "everything comes back, and nothing else"
            );
        });
    }

    /// Runs the load on the raw streams of two connections.
    pub fn carry(self, near: &Connection, far: &Connection) {
        thread::scope(|scope| {
            for (side, connection) in [near, far].into_iter().enumerate() {
                scope.spawn(move || self.echo(connection));
                for number in 0..self.streams {
                    scope.spawn(move || {
                        let stream = connection.open().unwrap();
                        let seed = side as u64 * self.streams + number;
                        self.send_and_check(&stream, seed, |stream| {
                            stream.shutdown(Shutdown::Write).unwrap();
                        });
                    });
                }
            }
        });
    }

    fn echo(self, connection: &Connection) {
        thread::scope(|scope| {
            for _ in 0..self.streams {
                let stream = connection.accept().unwrap();
                scope.spawn(move || {
                    io::copy(&mut &stream, &mut &stream).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                });
            }
        });
    }
}
