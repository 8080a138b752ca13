//! Failures at one end of a pipe, which must not look like the end of the data at the other.

use crate::{
    Rig, assert_end, assert_reads, assert_reset, reset,
    support::{PATIENCE, wires::Link},
    tcp_pair,
};
use crossbeam_channel::unbounded;
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    fs::File,
    io::{self, Write},
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    sync::Barrier,
    thread,
    time::Duration,
};
use wirenet::Stream;

#[test]
fn a_reset_of_the_socket_resets_the_stream() {
    let mut rig = Rig::tcp();
    rig.socket.write_all(b"half of a ques").unwrap();
    assert_reads(&rig.stream, "half of a ques");
    rig.assert_socket_reset_passes("cannot read from the socket");
}

/// Only one thread of the pipe gets the error of the reset. To the other one, the socket is
/// not connected.
#[test]
fn a_reset_while_the_stream_ends_is_a_reset() {
    let (given, taken) = unbounded::<TcpStream>();
    let (told, outcome) = unbounded();
    let link = Link::serving("pipe", move |stream| {
        told.send(stream.pipe_with(taken.recv().unwrap())).unwrap();
        Ok(())
    });
    for round in 0..600 {
        let (piped, socket) = tcp_pair();
        given.send(piped).unwrap();
        let stream = link.near.open_stream("pipe").unwrap();
        if round % 2 == 0 {
            socket.shutdown(Shutdown::Write).unwrap();
        }
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                reset(socket);
            });
            start.wait();
            // Fails if the reset has already reached the stream.
            let _ = stream.finish();
        });
        // The socket's data may have ended before the reset.
        if let Err(error) = outcome.recv_timeout(PATIENCE).unwrap() {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        }
    }
}

#[test]
fn a_reset_of_the_stream_resets_the_socket() {
    for half_closed in [false, true] {
        let mut rig = Rig::tcp();
        rig.stream.write_all(b"half of a ques").unwrap();
        assert_reads(&rig.socket, "half of a ques");
        if half_closed {
            rig.end_socket();
        }
        rig.assert_stream_reset_passes();
    }
}

#[test]
fn a_reset_of_the_stream_after_its_end_resets_the_socket() {
    let rig = Rig::tcp();
    rig.stream.write_message(b"question").unwrap();
    assert_reads(&rig.socket, "question");
    assert_end(&rig.socket);
    rig.stream.reset();
    rig.assert_fails(io::ErrorKind::ConnectionReset, "reset by the peer");
    // The connection is half closed, and a reset ends the other half.
    let outcome = SockRef::from(&rig.socket).take_error();
    let late = (&rig.socket).write_all(b"late");
    assert!(late.is_err() || outcome.unwrap().is_some());
}

#[test]
fn a_lost_session_resets_the_socket() {
    let sides = [
        |link: &Link| link.near.abort(),
        |link: &Link| link.far.abort(),
    ];
    for abort in sides {
        for half_closed in [false, true] {
            let rig = Rig::tcp();
            if half_closed {
                rig.end_socket();
            }
            abort(&rig.link);
            assert!(rig.outcome().is_err());
            assert_reset(&rig.socket);
        }
        // After the end of the stream's data.
        let rig = Rig::tcp();
        rig.end_stream();
        abort(&rig.link);
        let error = rig.outcome().unwrap_err();
        assert!(error.to_string().contains("stream"), "{error}");
    }
}

#[test]
fn a_close_of_the_wire_resets_the_socket() {
    let (piped, socket) = tcp_pair();
    let rig = Rig::with(piped, socket, |server| {
        server.session_close_timeout(Duration::from_millis(50))
    });
    let cut = rig.link.server.close().unwrap_err();
    assert_eq!(cut.sessions[0].streams, 1, "{cut}");
    assert!(rig.outcome().is_err());
    assert_reset(&rig.socket);
}

#[test]
fn a_second_message_is_an_error() {
    let rig = Rig::tcp();
    rig.stream.write_message(b"first").unwrap();
    // An empty one is not.
    rig.stream.finish().unwrap();
    rig.stream.write_message(b"second").unwrap();
    rig.assert_fails(io::ErrorKind::InvalidData, "another message");
    assert_reads(&rig.socket, "first");
}

#[test]
fn a_refusal_is_the_error_of_the_pipe() {
    let rig = Rig::tcp();
    let (piped, socket) = tcp_pair();
    let stream = rig.link.near.open_stream_nowait("nobody's").unwrap();
    let error = stream.pipe_with(piped).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
    let text = error.to_string();
    assert!(text.contains("stream \"nobody's\" refused"), "{text}");
    assert_reset(&socket);
    rig.stream.reset();
}

#[test]
fn what_is_no_connected_stream_socket_is_refused_and_the_stream_is_aborted() {
    use io::ErrorKind::{InvalidInput, NotConnected};
    let tcp = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let unix = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let [connected, other] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    connected.connect(other.local_addr().unwrap()).unwrap();
    let (shut_down, _peer) = tcp_pair();
    shut_down.shutdown(Shutdown::Write).unwrap();
    for (kind, socket) in [
        (InvalidInput, File::open("Cargo.toml").unwrap().into()),
        (InvalidInput, io::pipe().unwrap().0.into()),
        (InvalidInput, connected.into()),
        (InvalidInput, UnixDatagram::unbound().unwrap().into()),
        (InvalidInput, shut_down.into()),
        (
            NotConnected,
            TcpListener::bind("127.0.0.1:0").unwrap().into(),
        ),
        (NotConnected, tcp.into()),
        (NotConnected, unix.into()),
    ] {
        let socket: OwnedFd = socket;
        let rig = Rig::tcp();
        let error = rig.stream.pipe_with(socket).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().starts_with("cannot use the socket: "),
            "{error}"
        );
        rig.assert_fails(
            io::ErrorKind::ConnectionReset,
            "cannot read from the stream",
        );
        assert_reset(&rig.socket);
    }
}

#[test]
fn a_stream_can_be_piped_once() {
    let rig = Rig::tcp();
    let (piped, socket) = tcp_pair();
    for end in [&rig.socket, &socket] {
        end.shutdown(Shutdown::Write).unwrap();
    }
    rig.stream.pipe_with(piped).unwrap();
    rig.outcome().unwrap();
    assert_cannot_be_piped(&rig.stream);
}

#[test]
fn a_stream_that_was_closed_cannot_be_piped() {
    let rig = Rig::tcp();
    rig.stream.close().unwrap();
    assert_cannot_be_piped(&rig.stream);
    assert_cannot_be_piped(&rig.stream);
}

fn assert_cannot_be_piped(stream: &Stream) {
    let (piped, socket) = tcp_pair();
    let error = stream.pipe_with(piped).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
    assert_reset(&socket);
}

/// With keepalive, the system reports a peer that has vanished.
#[test]
fn keepalive_is_enabled_unless_the_program_has_chosen_its_own() {
    for own in [None, Some(Duration::from_secs(7))] {
        let (piped, socket) = tcp_pair();
        let watched = piped.try_clone().unwrap();
        let options = SockRef::from(&watched);
        if let Some(time) = own {
            let keepalive = socket2::TcpKeepalive::new().with_time(time);
            options.set_tcp_keepalive(&keepalive).unwrap();
        }
        let rig = Rig::new(piped, socket);
        // The pipe runs by now.
        (&rig.stream).write_all(b"x").unwrap();
        assert_reads(&rig.socket, "x");
        assert!(options.keepalive().unwrap());
        let time = options.tcp_keepalive_time().unwrap();
        assert_eq!(time, own.unwrap_or(Duration::from_secs(60)));
        rig.stream.reset();
    }
}
