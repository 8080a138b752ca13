//! The inbox: the reader appends, users read, and something ends the stream.

use super::stage::{PeerSender, STREAM, cause, client, run};
use crate::{
    sync::{Mutex, Time, check, thread},
    yamux::{
        Connection, Error, INITIAL_WINDOW, Stream,
        frame::{Flags, Header},
    },
};
use std::{io::Read, sync::Arc, time::Duration};

type Outcome = Result<(), Error>;

/// Reads to the end, and again after each timeout.
fn read_all(mut stream: &Stream) -> (Vec<u8>, Outcome) {
    let (mut got, mut buf) = (Vec::new(), [0; 4]);
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return (got, Ok(())),
            Ok(count) => got.extend_from_slice(&buf[..count]),
            Err(error) => match cause(error) {
                Error::TimedOut(_) => {}
                error => return (got, Err(error)),
            },
        }
    }
}

/// The peer sends "abc" in two frames and then runs `end`, while this side runs
/// `here`; two threads read.
fn reading(
    time: Time,
    end: impl Fn(&mut PeerSender) + Send + Sync + 'static,
    here: impl Fn(&Connection, &Stream) + Send + Sync + 'static,
    judge: impl Fn(&[u8], &[Outcome; 2]) + Send + Sync + 'static,
) {
    let (end, here) = (Arc::new(end), Arc::new(here));
    check(time, move || {
        let (stage, stream) = client();
        if time == Time::Advancing {
            stream
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
        }
        let reading = run(stage.reader);
        let (mut sender, end) = (stage.peer.sender, Arc::clone(&end));
        let peer = thread::spawn(move || {
            sender.data(STREAM, b"ab");
            sender.data(STREAM, b"c");
            end(&mut sender);
            sender
        });
        let users = [(); 2].map(|()| {
            let stream = stream.clone();
            thread::spawn(move || read_all(&stream))
        });
        here(&stage.connection, &stream);
        let got = users.map(|user| user.join().unwrap());
        let [(one, ended), (other, also)] = got;
        // Either thread may read a byte, but each byte is read once.
        let mut together = [one, other].concat();
        together.sort_unstable();
        judge(&together, &[ended, also]);
        stage.connection.cut();
        drop(peer.join().unwrap());
        let _ = reading.join().unwrap();
    });
}

fn nothing(_: &Connection, _: &Stream) {}

fn fin(sender: &mut PeerSender) {
    sender.send(Header::window_update(STREAM, Flags::FIN, 0), b"");
}

fn all_and_the_end(bytes: &[u8], ended: &[Outcome; 2]) {
    assert_eq!(bytes, b"abc");
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
}

fn both_failed(ended: &[Outcome; 2], with: fn(&Error) -> bool) {
    let failed = |ended: &Outcome| ended.as_ref().is_err_and(with);
    assert!(ended.iter().all(failed), "{ended:?}");
}

#[test]
fn received_bytes_are_read_once_and_then_the_end() {
    reading(Time::Fixed, fin, nothing, all_and_the_end);
}

#[test]
fn a_read_that_times_out_loses_no_bytes() {
    reading(Time::Advancing, fin, nothing, all_and_the_end);
}

#[test]
fn bytes_before_a_reset_are_read_and_then_the_reset() {
    let reset = |sender: &mut PeerSender| {
        sender.send(Header::window_update(STREAM, Flags::RST, 0), b"");
    };
    reading(Time::Fixed, reset, nothing, |bytes, ended| {
        assert_eq!(bytes, b"abc");
        both_failed(ended, |error| matches!(error, Error::ResetByPeer(_)));
    });
}

#[test]
fn bytes_before_a_cut_are_read_and_then_an_error() {
    reading(Time::Fixed, PeerSender::finish, nothing, |bytes, ended| {
        assert_eq!(bytes, b"abc");
        both_failed(ended, |error| matches!(error, Error::EndedByPeer));
    });
}

#[test]
fn a_close_wakes_readers_and_is_not_taken_for_the_end_of_the_stream() {
    let close = |connection: &Connection, _: &Stream| connection.start_close();
    reading(
        Time::Fixed,
        |_| {},
        close,
        |bytes, ended| {
            assert!(b"abc".starts_with(bytes), "{bytes:?}");
            both_failed(ended, |error| matches!(error, Error::Closed));
        },
    );
}

#[test]
fn a_shutdown_wakes_readers_and_is_not_taken_for_the_end_of_the_stream() {
    let shutdown = |_: &Connection, stream: &Stream| {
        stream.shutdown(std::net::Shutdown::Read).unwrap();
    };
    reading(Time::Fixed, fin, shutdown, |bytes, ended| {
        // A thread that saw the end saw it after all bytes.
        if ended.iter().any(Result::is_ok) {
            assert_eq!(bytes, b"abc");
        }
    });
}

/// Bytes that are read are granted again, once.
#[test]
fn bytes_that_are_read_are_granted_once() {
    check(Time::Fixed, || {
        let (stage, stream) = client();
        let reading = run(stage.reader);
        let received = Arc::new(Mutex::new(Vec::new()));
        let (receiver, receiving) = (stage.peer.receiver, Arc::clone(&received));
        let peer = thread::spawn(move || *receiving.lock() = receiver.read_to_end());
        let mut sender = stage.peer.sender;
        let body = vec![7; 64 * 1024];
        let user = thread::spawn(move || {
            let mut stream = stream;
            let mut left = 4 * 64 * 1024;
            let mut buf = vec![0; 64 * 1024];
            while left > 0 {
                left -= stream.read(&mut buf).unwrap();
            }
            stream
        });
        for _ in 0..4 {
            sender.data(STREAM, &body);
        }
        let stream = user.join().unwrap();
        stage.connection.start_close();
        peer.join().unwrap();
        let frames = std::mem::take(&mut *received.lock());
        let grants = frames.iter().filter(|frame| frame.header.stream == STREAM);
        let granted: u32 = grants.map(|frame| frame.header.length).sum();
        // No round trip was measured, so the window does not grow.
        assert!(granted <= 4 * 64 * 1024, "{granted}");
        assert!(granted > 4 * 64 * 1024 - INITIAL_WINDOW / 2, "{granted}");
        sender.finish();
        reading.join().unwrap().unwrap();
        drop(stream);
    });
}
