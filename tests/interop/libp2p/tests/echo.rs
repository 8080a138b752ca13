//! What goes over comes back, whoever dials and whoever opens.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::thread;

use futures::future::join_all;
use wirenet::yamux::{Connection, Stream};
use wirenet_interop_libp2p::pattern::{assert_pattern, pattern};
use wirenet_interop_libp2p::peer::{self, Peer};
use wirenet_interop_libp2p::play::in_both_roles;

const SIZES: [usize; 4] = [0, 1, 262_144, 8 << 20];

/// Writes a pattern, half-closes, and expects it back and then the end.
fn echo(stream: Stream, seed: u64, size: usize) {
    let data = pattern(seed, size);
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&data).expect("a write");
            stream.shutdown(Shutdown::Write).expect("a half-close");
        });
        let mut got = Vec::with_capacity(size);
        (&stream).read_to_end(&mut got).expect("a read");
        assert_pattern(&got, seed, size);
    });
}

/// libp2p does not wait for our answers when it closes, so an echo's end may
/// meet the connection's: what came back is checked on its side.
fn echo_until_closed(connection: Connection) {
    thread::scope(|scope| {
        while let Ok(stream) = connection.accept() {
            scope.spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
}

#[test]
fn every_size_comes_back_when_we_open() {
    in_both_roles(Peer::echo_until_closed, |connection| {
        for size in SIZES {
            echo(connection.open().expect("an open"), size as u64, size);
        }
        connection.close();
    });
}

#[test]
fn every_size_comes_back_when_they_open() {
    let theirs = async |peer: Peer| {
        for size in SIZES {
            peer::echo(peer.open().await, size as u64, size).await;
        }
        peer.close().await.expect("a close");
    };
    in_both_roles(theirs, echo_until_closed);
}

#[test]
fn sixty_four_streams_at_once_do_not_mix_when_we_open() {
    in_both_roles(Peer::echo_until_closed, |connection| {
        thread::scope(|scope| {
            for i in 0..64 {
                let connection = &connection;
                scope.spawn(move || {
                    echo(
                        connection.open().expect("an open"),
                        i,
                        5_000 * i as usize + 1,
                    )
                });
            }
        });
        connection.close();
    });
}

#[test]
fn sixty_four_streams_at_once_do_not_mix_when_they_open() {
    let theirs = async |peer: Peer| {
        let one = async |i| peer::echo(peer.open().await, i, 5_000 * i as usize + 1).await;
        join_all((0..64).map(one)).await;
        peer.close().await.expect("a close");
    };
    in_both_roles(theirs, echo_until_closed);
}

/// More than the 256 that may be open and unacknowledged.
#[test]
fn three_hundred_opens_one_after_another_succeed_when_we_open() {
    in_both_roles(Peer::echo_until_closed, |connection| {
        for i in 0..300 {
            echo(connection.open().expect("an open"), i, 64);
        }
        connection.close();
    });
}

#[test]
fn three_hundred_opens_one_after_another_succeed_when_they_open() {
    let theirs = async |peer: Peer| {
        for i in 0..300 {
            peer::echo(peer.open().await, i, 64).await;
        }
        peer.close().await.expect("a close");
    };
    in_both_roles(theirs, echo_until_closed);
}

#[test]
fn three_hundred_streams_at_once_wait_for_each_other_when_we_open() {
    in_both_roles(Peer::echo_until_closed, |connection| {
        thread::scope(|scope| {
            for i in 0..300 {
                let connection = &connection;
                scope.spawn(move || echo(connection.open().expect("an open"), i, 10));
            }
        });
        connection.close();
    });
}

#[test]
fn three_hundred_streams_at_once_wait_for_each_other_when_they_open() {
    let theirs = async |peer: Peer| {
        let one = async |i| peer::ask(peer.open().await, i, 10).await;
        join_all((0..300).map(one)).await;
        peer.close().await.expect("a close");
    };
    in_both_roles(theirs, echo_until_closed);
}
