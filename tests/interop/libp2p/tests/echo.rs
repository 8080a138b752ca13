//! Data that the peer echoes, with each peer dialling and each peer opening.

use std::io;
use std::thread;

use futures::future::join_all;
use wirenet::yamux::Connection;
use wirenet_interop_libp2p::both_roles::in_both_roles;
use wirenet_interop_libp2p::echo::{echo, echo_concurrently};
use wirenet_interop_libp2p::peer::{self, Peer};

const SIZES: [usize; 4] = [0, 1, 262_144, 8 << 20];

/// Echoes the data of every stream. Ignores errors: libp2p closes the connection
/// without waiting for the end of our echoes, and checks the echoed data itself.
fn echo_until_closed(connection: Connection) {
    thread::scope(|scope| {
        while let Ok(stream) = connection.accept() {
            scope.spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
}

#[test]
fn every_size_is_echoed_when_we_open() {
    in_both_roles(Peer::echo_until_closed, |connection| {
        for size in SIZES {
            echo(connection.open().expect("an open"), size as u64, size);
        }
        connection.close();
    });
}

#[test]
fn every_size_is_echoed_when_they_open() {
    let theirs = async |peer: Peer| {
        for size in SIZES {
            peer::echo(peer.open().await, size as u64, size).await;
        }
        peer.close().await.expect("a close");
    };
    in_both_roles(theirs, echo_until_closed);
}

#[test]
fn sixty_four_concurrent_streams_do_not_mix_when_we_open() {
    in_both_roles(Peer::echo_until_closed, |connection| {
        echo_concurrently(&connection, 64, |i| 5_000 * i + 1);
        connection.close();
    });
}

#[test]
fn sixty_four_concurrent_streams_do_not_mix_when_they_open() {
    let theirs = async |peer: Peer| {
        let one = async |i| peer::echo(peer.open().await, i, 5_000 * i as usize + 1).await;
        join_all((0..64).map(one)).await;
        peer.close().await.expect("a close");
    };
    in_both_roles(theirs, echo_until_closed);
}

/// There are more opens than the 256 streams that may be unacknowledged.
#[test]
fn three_hundred_sequential_opens_succeed_when_we_open() {
    in_both_roles(Peer::echo_until_closed, |connection| {
        for i in 0..300 {
            echo(connection.open().expect("an open"), i, 64);
        }
        connection.close();
    });
}

#[test]
fn three_hundred_sequential_opens_succeed_when_they_open() {
    let theirs = async |peer: Peer| {
        for i in 0..300 {
            peer::echo(peer.open().await, i, 64).await;
        }
        peer.close().await.expect("a close");
    };
    in_both_roles(theirs, echo_until_closed);
}

#[test]
fn three_hundred_concurrent_streams_wait_for_each_other_when_we_open() {
    in_both_roles(Peer::echo_until_closed, |connection| {
        echo_concurrently(&connection, 300, |_| 10);
        connection.close();
    });
}

#[test]
fn three_hundred_concurrent_streams_wait_for_each_other_when_they_open() {
    let theirs = async |peer: Peer| {
        let one = async |i| peer::echo_before_close(peer.open().await, i, 10).await;
        join_all((0..300).map(one)).await;
        peer.close().await.expect("a close");
    };
    in_both_roles(theirs, echo_until_closed);
}
