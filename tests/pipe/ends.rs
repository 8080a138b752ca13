//! Directions that end, one after the other.

use crate::{
    Rig, assert_end, assert_reads, flood,
    support::{
        PATIENCE, narrow,
        wires::{Link, means_broken},
    },
    tcp_pair,
};
use crossbeam_channel::unbounded;
use socket2::SockRef;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Barrier,
    thread,
};

#[test]
fn bytes_and_half_closes_pass_in_both_directions() {
    let mut rig = Rig::tcp();
    rig.stream.write_all(b"question").unwrap();
    assert_reads(&rig.socket, "question");
    rig.end_stream();
    rig.socket.write_all(b"answers").unwrap();
    assert_reads(&rig.stream, "answers");
    rig.end_socket();
    assert!(rig.stream.was_finished());
    let piped = rig.outcome().unwrap();
    assert_eq!((piped.sent, piped.received), (7, 8));

    let mut rig = Rig::tcp();
    rig.socket.write_all(b"question").unwrap();
    rig.socket.shutdown(Shutdown::Write).unwrap();
    assert_reads(&rig.stream, "question");
    assert_end(&rig.stream);
    rig.stream.write_message(b"answers").unwrap();
    assert_reads(&rig.socket, "answers");
    assert_end(&rig.socket);
    let piped = rig.outcome().unwrap();
    assert_eq!((piped.sent, piped.received), (8, 7));
}

#[test]
fn large_amounts_pass_in_both_directions_at_once() {
    const LEN: u64 = 8 << 20;
    let rig = Rig::tcp();
    let (stream, socket) = (&rig.stream, &rig.socket);
    thread::scope(|scope| {
        scope.spawn(|| {
            io::copy(&mut io::repeat(1).take(LEN), &mut { stream }).unwrap();
            stream.finish().unwrap();
        });
        scope.spawn(|| {
            io::copy(&mut io::repeat(2).take(LEN), &mut { socket }).unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(|| assert_eq!(io::copy(&mut { stream }, &mut io::sink()).unwrap(), LEN));
        assert_eq!(io::copy(&mut { socket }, &mut io::sink()).unwrap(), LEN);
    });
    let piped = rig.outcome().unwrap();
    assert_eq!((piped.sent, piped.received), (LEN, LEN));
}

#[test]
fn messages_that_have_begun_are_continued() {
    let mut rig = Rig::tcp();
    // Both ends have sent and received a part of a message before.
    rig.stream.write_all(b"head body").unwrap();
    assert_reads(&rig.socket, "head body");
    let (piped, mut socket) = tcp_pair();
    let Rig { stream, .. } = &rig;
    thread::scope(|scope| {
        let pipe = scope.spawn(|| stream.pipe_with(piped));
        socket.write_all(b" tail").unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        assert_reads(&rig.socket, " tail");
        assert_end(&rig.socket);
        rig.socket.shutdown(Shutdown::Write).unwrap();
        assert_end(&socket);
        let piped = pipe.join().unwrap().unwrap();
        assert_eq!((piped.sent, piped.received), (5, 0));
    });
    assert_eq!(rig.outcome().unwrap().received, 14);
}

#[test]
fn what_the_system_still_buffers_is_sent_after_the_pipe_has_ended() {
    const LEN: usize = 60_000;
    let (socket, piped) = narrow::sockets(|_| Ok(())).unwrap();
    // The peer's receive buffer stays small.
    SockRef::from(&piped).set_send_buffer_size(4 * LEN).unwrap();
    let rig = Rig::new(piped, socket);
    rig.end_socket();
    rig.stream.write_message(vec![7; LEN]).unwrap();
    assert_eq!(rig.outcome().unwrap().received, LEN as u64);
    let received = io::copy(&mut &rig.socket, &mut io::sink()).unwrap();
    assert_eq!(received, LEN as u64);
}

/// Like a service that answers without reading everything.
#[test]
fn a_caller_that_is_gone_closes_the_socket_after_all_it_sent() {
    let rig = Rig::tcp();
    rig.stream.write_message(b"all of it").unwrap();
    rig.stream.close().unwrap();
    let piped = rig.outcome().unwrap();
    assert_eq!((piped.sent, piped.received), (0, 9));
    assert_reads(&rig.socket, "all of it");
    assert_end(&rig.socket);
    // Now nobody reads any more.
    let error = io::copy(&mut io::repeat(7), &mut &rig.socket).unwrap_err();
    assert!(means_broken(error.kind()), "{error}");
}

#[test]
fn a_caller_that_leaves_while_the_service_sends_resets_the_socket() {
    let rig = Rig::tcp();
    rig.stream.write_message(b"go").unwrap();
    assert_reads(&rig.socket, "go");
    assert_end(&rig.socket);
    let service = flood(rig.socket.try_clone().unwrap());
    (&rig.stream).read_exact(&mut [0; 10_000]).unwrap();
    rig.stream.close().unwrap();
    let error = service.join().unwrap();
    assert!(means_broken(error.kind()), "{error}");
    // It is an error if the pipe has read bytes that it could no longer send.
    if let Err(error) = rig.outcome() {
        assert!(means_broken(error.kind()), "{error}");
        assert!(error.to_string().contains("stream"), "{error}");
    }
}

/// A client that is gone sends a reset if it has not read everything.
#[test]
fn a_reset_after_a_half_close_ends_the_stream_of_a_silent_service() {
    let rig = Rig::tcp();
    rig.end_socket();
    rig.assert_socket_reset_passes("the socket failed");
}

/// The end of one direction while the other ends looks like a reset to the system's calls.
#[test]
fn both_directions_may_end_at_once() {
    let (given, taken) = unbounded::<TcpStream>();
    let (told, outcome) = unbounded();
    let link = Link::serving("pipe", move |stream| {
        told.send(stream.pipe_with(taken.recv().unwrap())).unwrap();
        Ok(())
    });
    for _ in 0..300 {
        let (piped, socket) = tcp_pair();
        given.send(piped).unwrap();
        let stream = link.near.open_stream("pipe").unwrap();
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                socket.shutdown(Shutdown::Write).unwrap();
            });
            start.wait();
            stream.finish().unwrap();
        });
        outcome.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}
