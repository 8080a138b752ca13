//! Windows limit what is sent, and grow as data is read.

use super::{accepted, data, dialled, quiet};
use crate::support::{
    frames::{FIN, Frame, RST, SYN},
    in_time,
};
use std::{
    io::{Read, Write},
    thread,
};
use wirenet::yamux::INITIAL_WINDOW;

#[test]
fn no_more_is_sent_than_the_window_allows() {
    in_time(|| {
        let (connection, mut peer) = dialled(quiet());
        let mut stream = connection.open().unwrap();
        let total = INITIAL_WINDOW as usize + 1000;
        thread::scope(|scope| {
            scope.spawn(|| stream.write_all(&vec![7; total]).unwrap());
            assert_eq!(peer.receive(), Some(Frame::flags(1, SYN)));
            let mut received = 0;
            while received < INITIAL_WINDOW as usize {
                let frame = peer.receive().unwrap();
                assert!(frame.body.len() <= 64 * 1024);
                received += frame.body.len();
            }
            assert_eq!(received, INITIAL_WINDOW as usize);
            assert_eq!(peer.settle(), []);
            peer.send(Frame::grant(1, 600));
            peer.send(Frame::grant(1, 600));
            while received < total {
                received += peer.receive().unwrap().body.len();
            }
            assert_eq!(received, total);
        });
    });
}

#[test]
fn credit_is_granted_when_data_is_read_and_not_before() {
    in_time(|| {
        let (connection, mut peer) = accepted(quiet());
        let half = INITIAL_WINDOW / 2;
        peer.send(data(SYN, 1, &vec![1; INITIAL_WINDOW as usize]));
        assert_eq!(peer.settle(), []);
        let mut stream = connection.accept().unwrap();
        stream.read_exact(&mut vec![0; half as usize]).unwrap();
        let answers = peer.settle();
        assert!(answers.contains(&Frame::grant(1, half)), "{answers:?}");
    });
}

#[test]
fn data_for_a_closed_stream_is_discarded_for_a_window_and_then_answered_with_a_reset() {
    in_time(|| {
        let (connection, mut peer) = accepted(quiet());
        peer.send(Frame::flags(1, SYN));
        drop(connection.accept().unwrap());
        let window = vec![0; INITIAL_WINDOW as usize];
        peer.send(data(0, 1, &window));
        let answers = peer.settle();
        let reset = Frame::flags(1, RST);
        assert!(answers.contains(&Frame::flags(1, FIN)) && !answers.contains(&reset));
        peer.send(data(0, 1, b"more"));
        assert_eq!(peer.settle(), [reset]);
        assert_eq!(connection.stream_count(), 0);
    });
}
