//! Receivers that do not read: a failure of the sender is noticed nevertheless.

use crate::{Rig, assert_reset, flood};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

const MOMENT: Duration = Duration::from_millis(200);

/// Writes to the socket until all buffers are full: then its peer, which is the pipe, has
/// stopped reading.
fn stuck(rig: &Rig<TcpStream>) {
    let mut socket = &rig.socket;
    socket.set_nonblocking(true).unwrap();
    let mut refused = 0;
    while refused < 50 {
        match socket.write(&[7; 65_536]) {
            Ok(count) => {
                assert!(count > 0);
                refused = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                refused += 1;
                thread::yield_now();
            }
        }
    }
    socket.set_nonblocking(false).unwrap();
}

#[test]
fn a_reset_of_the_socket_ends_a_stream_whose_peer_does_not_read() {
    for half_closed in [false, true] {
        let rig = Rig::tcp();
        if half_closed {
            rig.end_stream();
        }
        stuck(&rig);
        rig.assert_socket_reset_passes("the socket failed");
    }
}

#[test]
fn a_reset_of_the_stream_ends_a_socket_whose_peer_does_not_read() {
    for half_closed in [false, true] {
        let rig = Rig::tcp();
        if half_closed {
            rig.end_socket();
        }
        let stream = rig.stream.clone();
        // Waits until the peer, which is the pipe, has stopped reading.
        stream.set_write_timeout(Some(MOMENT)).unwrap();
        let error = flood(stream.clone()).join().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        rig.assert_stream_reset_passes();
    }
}

#[test]
fn a_lost_session_ends_a_socket_whose_peer_does_not_read() {
    let rig = Rig::tcp();
    let stream = rig.stream.clone();
    stream.set_write_timeout(Some(MOMENT)).unwrap();
    flood(stream).join().unwrap();
    rig.link.near.abort();
    assert!(rig.outcome().is_err());
    assert_reset(&rig.socket);
}

#[test]
fn a_slow_reader_gets_everything_after_the_caller_has_closed() {
    const LEN: u64 = 6 << 20;
    let rig = Rig::tcp();
    let caller = rig.stream.clone();
    let writer = thread::spawn(move || {
        io::copy(&mut io::repeat(7).take(LEN), &mut &caller).unwrap();
        caller.finish().unwrap();
    });
    rig.end_socket();
    let mut first = [0; 1];
    (&rig.socket).read_exact(&mut first).unwrap();
    let rest = io::copy(&mut &rig.socket, &mut io::sink()).unwrap();
    assert_eq!(rest + 1, LEN);
    writer.join().unwrap();
    rig.outcome().unwrap();
}
