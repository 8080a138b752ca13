//! Receivers that do not read: a failure of the sender is noticed nevertheless.

use crate::{Rig, assert_end, assert_reset, flood, reset};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
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
            rig.stream.finish().unwrap();
            assert_end(&rig.socket);
        }
        stuck(&rig);
        let Rig {
            stream,
            socket,
            outcome,
            link: _link,
        } = rig;
        reset(socket);
        let error = outcome.recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        assert!(error.to_string().contains("socket"), "{error}");
        // The bytes that it has received before come first.
        assert_reset(&stream);
    }
}

#[test]
fn a_reset_of_the_stream_ends_a_socket_whose_peer_does_not_read() {
    for half_closed in [false, true] {
        let rig = Rig::tcp();
        if half_closed {
            rig.socket.shutdown(Shutdown::Write).unwrap();
            assert_end(&rig.stream);
        }
        let stream = rig.stream.clone();
        // Waits until the peer, which is the pipe, has stopped reading.
        stream.set_write_timeout(Some(MOMENT)).unwrap();
        let error = flood(stream.clone()).join().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        rig.stream.reset();
        rig.assert_fails(io::ErrorKind::ConnectionReset, "reset by the peer");
        assert_reset(&rig.socket);
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
    rig.socket.shutdown(Shutdown::Write).unwrap();
    assert_end(&rig.stream);
    let mut first = [0; 1];
    (&rig.socket).read_exact(&mut first).unwrap();
    let rest = io::copy(&mut &rig.socket, &mut io::sink()).unwrap();
    assert_eq!(rest + 1, LEN);
    writer.join().unwrap();
    rig.outcome().unwrap();
}
