//! Unix sockets.

use crate::{
    Rig, assert_end, assert_reads,
    support::{
        PATIENCE,
        wires::{joining, started},
    },
};
use std::{
    io::{self, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    thread,
    time::Duration,
};
use wirenet::Wire;

#[test]
fn http_over_a_unix_socket_passes_through_a_hub() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("service");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        assert_reads(&socket, "GET / HTTP/1.1\r\n\r\n");
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    });

    let hub = started(Wire::hub("127.0.0.1:0"));
    let offer = joining(&hub).stream("http", move |stream| {
        stream.pipe_with(UnixStream::connect(&path)?).map(drop)
    });
    let owner = started(offer);
    owner.wait_session(PATIENCE).unwrap();
    let caller = started(joining(&hub));
    let session = caller.wait_session(PATIENCE).unwrap();
    let entrance = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = entrance.local_addr().unwrap();
    let forward = thread::spawn(move || {
        let (tcp, _) = entrance.accept()?;
        session.open_stream("http")?.pipe_with(tcp)
    });

    let mut client = TcpStream::connect(addr).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_reads(&client, "HTTP/1.1 200 OK\r\n\r\n");
    assert_end(&client);
    drop(client);
    forward.join().unwrap().unwrap();
}

#[test]
fn bytes_and_half_closes_pass_over_a_unix_socket() {
    let (piped, socket) = UnixStream::pair().unwrap();
    let rig = Rig::new(piped, socket);
    (&rig.socket).write_all(b"question").unwrap();
    rig.socket.shutdown(Shutdown::Write).unwrap();
    assert_reads(&rig.stream, "question");
    assert_end(&rig.stream);
    rig.stream.write_message(b"answer").unwrap();
    assert_reads(&rig.socket, "answer");
    assert_end(&rig.socket);
    rig.outcome().unwrap();
}

/// Unlike TCP, a Unix socket reports that its peer has closed both directions.
#[test]
fn a_socket_that_was_closed_closes_the_stream_after_all_it_sent() {
    let (piped, socket) = UnixStream::pair().unwrap();
    let rig = Rig::new(piped, socket);
    let Rig {
        link: _link,
        stream,
        mut socket,
        outcome,
    } = rig;
    socket.write_all(b"all of it").unwrap();
    drop(socket);
    let piped = outcome.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!((piped.sent, piped.received), (9, 0));
    assert_reads(&stream, "all of it");
    assert_end(&stream);
    assert!(stream.was_finished());
    assert_end(&stream);
    assert!(!stream.was_finished());
}

#[test]
fn a_reset_of_the_stream_ends_the_socket() {
    let (piped, socket) = UnixStream::pair().unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let rig = Rig::new(piped, socket);
    rig.stream.reset();
    rig.assert_fails(io::ErrorKind::ConnectionReset, "reset by the peer");
    // It cannot be reset.
    assert_end(&rig.socket);
}
