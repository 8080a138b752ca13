//! The inbox: the reader hands over, the user reads, and something ends it.

use super::stage::{STREAM, Says, cause, client, run};
use crate::{
    sync::{Mutex, Time, check, thread},
    yamux::{
        Connection, Error, INITIAL_WINDOW, Stream,
        frame::{Flags, Header},
    },
};
use std::{io::Read, sync::Arc, time::Duration};

type Outcome = Result<(), Error>;

/// Reads to the end; timeouts on the way are tried again.
fn read_all(mut stream: &Stream) -> (Vec<u8>, Outcome) {
    let (mut got, mut buf) = (Vec::new(), [0; 4]);
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return (got, Ok(())),
            Ok(count) => got.extend_from_slice(&buf[..count]),
            Err(error) => match cause(error) {
                Error::TimedOut => {}
                error => return (got, Err(error)),
            },
        }
    }
}

/// The peer sends "abc" in two frames, and then `end` happens, on the peer's
/// thread or the connection's; two threads read.
fn reading(
    time: Time,
    end: impl Fn(&mut Says) + Send + Sync + 'static,
    here: impl Fn(&Connection, &Stream) + Send + Sync + 'static,
    judge: impl Fn(&[u8], &[Outcome; 2]) + Send + Sync + 'static,
) {
    let (end, here) = (Arc::new(end), Arc::new(here));
    check(time, move || {
        let (stage, stream) = client();
        if time == Time::Passes {
            stream
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
        }
        let reading = run(stage.reader);
        let (mut says, end) = (stage.peer.says, Arc::clone(&end));
        let peer = thread::spawn(move || {
            says.data(STREAM, b"ab");
            says.data(STREAM, b"c");
            end(&mut says);
            says
        });
        let users = [(); 2].map(|()| {
            let stream = stream.clone();
            thread::spawn(move || read_all(&stream))
        });
        here(&stage.connection, &stream);
        let got = users.map(|user| user.join().unwrap());
        let [(one, ended), (other, also)] = got;
        // Which of them read what is nobody's business, but each byte is read
        // once.
        let mut together = [one, other].concat();
        together.sort_unstable();
        judge(&together, &[ended, also]);
        stage.connection.cut();
        drop(peer.join().unwrap());
        let _ = reading.join().unwrap();
    });
}

fn nothing(_: &Connection, _: &Stream) {}

fn fin(says: &mut Says) {
    says.frame(Header::window_update(STREAM, Flags::FIN, 0), b"");
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
fn all_that_came_is_read_once_and_then_the_end() {
    reading(Time::Stands, fin, nothing, all_and_the_end);
}

#[test]
fn a_read_that_times_out_takes_nothing_away() {
    reading(Time::Passes, fin, nothing, all_and_the_end);
}

#[test]
fn what_came_before_a_reset_is_read_and_then_the_reset() {
    let reset = |says: &mut Says| {
        says.frame(Header::window_update(STREAM, Flags::RST, 0), b"");
    };
    reading(Time::Stands, reset, nothing, |bytes, ended| {
        assert_eq!(bytes, b"abc");
        both_failed(ended, |error| matches!(error, Error::ResetByPeer));
    });
}

#[test]
fn what_came_before_a_cut_is_read_and_then_an_error() {
    reading(Time::Stands, Says::finish, nothing, |bytes, ended| {
        assert_eq!(bytes, b"abc");
        both_failed(ended, |error| matches!(error, Error::EndedByPeer));
    });
}

#[test]
fn a_close_wakes_who_reads_and_is_no_end_of_the_stream() {
    let close = |connection: &Connection, _: &Stream| connection.start_close();
    reading(
        Time::Stands,
        |_| {},
        close,
        |bytes, ended| {
            assert!(b"abc".starts_with(bytes), "{bytes:?}");
            both_failed(ended, |error| matches!(error, Error::Closed));
        },
    );
}

#[test]
fn a_shutdown_wakes_who_reads_and_is_no_end_of_the_stream() {
    let shutdown = |_: &Connection, stream: &Stream| {
        stream.shutdown(std::net::Shutdown::Read).unwrap();
    };
    reading(Time::Stands, fin, shutdown, |bytes, ended| {
        // Who was told of the end before, was so rightly.
        if ended.iter().any(Result::is_ok) {
            assert_eq!(bytes, b"abc");
        }
    });
}

/// What a reader took out of the inbox is granted anew, once.
#[test]
fn what_is_read_is_granted_to_the_peer_once() {
    check(Time::Stands, || {
        let (stage, stream) = client();
        let reading = run(stage.reader);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (hears, hearing) = (stage.peer.hears, Arc::clone(&heard));
        let peer = thread::spawn(move || *hearing.lock() = hears.until_the_end());
        let mut says = stage.peer.says;
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
            says.data(STREAM, &body);
        }
        let stream = user.join().unwrap();
        stage.connection.start_close();
        peer.join().unwrap();
        let frames = std::mem::take(&mut *heard.lock());
        let grants = frames.iter().filter(|frame| frame.header.stream == STREAM);
        let granted: u32 = grants.map(|frame| frame.header.length).sum();
        // No round trip was measured: the window does not grow.
        assert!(granted <= 4 * 64 * 1024, "{granted}");
        assert!(granted > 4 * 64 * 1024 - INITIAL_WINDOW / 2, "{granted}");
        says.finish();
        reading.join().unwrap().unwrap();
        drop(stream);
    });
}
