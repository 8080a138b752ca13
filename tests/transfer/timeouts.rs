//! Read and write timeouts, on named streams and on raw ones.

use crate::support::{
    in_time,
    pattern::Pattern,
    wires::{Link, errors, message, told_of_handler},
};
use crossbeam_channel::bounded;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    time::{Duration, Instant},
};
use wirenet::{
    Stream,
    transport::memory,
    yamux::{Config, Connection},
};

const TIMEOUT: Duration = Duration::from_millis(50);

fn assert_times_out<T: std::fmt::Debug>(call: impl FnOnce() -> io::Result<T>) {
    let begin = Instant::now();
    let error = call().expect_err("the call cannot succeed");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(begin.elapsed() >= TIMEOUT, "the call returned too early");
}

/// Writes until the peer's window is full, and returns the number of bytes written.
fn fill(mut stream: impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    loop {
        match stream.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                return written;
            }
        }
    }
}

#[test]
fn a_read_times_out_and_the_stream_remains_usable() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::serving("late", move |stream| {
            // Until it is released.
            let _ = released.recv();
            stream.write_message(b"at last")
        });
        let mut stream = link.near.open_stream("late").unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        assert_times_out(|| stream.read(&mut [0; 8]));
        assert_times_out(|| stream.next_message());
        let mut reader = stream.reader();
        assert_times_out(|| reader.read(&mut [0; 8]));
        stream.set_read_timeout(None).unwrap();
        drop(release);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "at last");
    });
}

/// The bytes that were written arrive once.
#[test]
fn a_write_times_out_and_the_stream_remains_usable() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::serving("late", move |stream| {
            // Until it is released.
            let _ = released.recv();
            let bytes = message(stream)?;
            stream.write_message(&bytes)
        });
        let mut stream = link.near.open_stream("late").unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        let bytes = Pattern::new(8).to_vec(1 << 20);
        let written = fill(&stream, &bytes);
        // After `resume` a write waits again; before it, a write fails immediately.
        for _ in 0..2 {
            let error = stream.write(&bytes[written..]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            stream.resume();
            assert_times_out(|| stream.write(&bytes[written..]));
        }
        stream.set_write_timeout(None).unwrap();
        stream.resume();
        drop(release);
        stream.write_all(&bytes[written..]).unwrap();
        stream.finish().unwrap();
        assert!(message(&stream).unwrap() == bytes);
    });
}

/// Reads a stream to its end. Returns the number of complete messages, and how it ended.
fn complete_messages(stream: &Stream) -> (usize, io::Result<()>) {
    let mut count = 0;
    loop {
        match stream.next_message() {
            Ok(true) => {}
            end => return (count, end.map(drop)),
        }
        if let Err(error) = message(stream) {
            return (count, Err(error));
        }
        count += 1;
    }
}

/// How the message is ended after its last write has timed out.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Finish,
    WriteMessage,
    Close,
    Writer,
    Drop,
}

/// Bytes of the message are missing. However it is ended, the stream is reset, and the
/// caller gets an error, whether a part of the message was sent or nothing.
#[test]
fn a_message_whose_last_write_timed_out_is_never_complete() {
    use Ending::*;

    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let (sender, read) = bounded(1);
        let link = Link::serving("late", move |stream| {
            released.recv().unwrap();
            sender.send(complete_messages(stream)).unwrap();
            Ok(())
        });
        let bytes = Pattern::new(8).to_vec(1 << 20);
        // The length of a message that fills the window.
        let mut room = None;
        for ending in [Drop, Finish, WriteMessage, Close, Writer] {
            for finished in 0..2 {
                let stream = link.near.open_stream("late").unwrap();
                stream.set_write_timeout(Some(TIMEOUT)).unwrap();
                if finished == 1 {
                    // With its end mark, which takes four bytes, it fills the window.
                    let len = room.expect("it was measured") - 4;
                    stream.write_message(&bytes[..len]).unwrap();
                }
                let mut release = |written: usize| {
                    assert_eq!(written == 0, finished == 1, "{written}");
                    room.get_or_insert(written);
                    // From here on everything could be sent.
                    stream.set_write_timeout(None).unwrap();
                    release.send(()).unwrap();
                };
                let outcome = if matches!(ending, Writer) {
                    let mut writer = stream.writer();
                    release(fill(&mut writer, &bytes));
                    Some(writer.finish())
                } else {
                    release(fill(&stream, &bytes));
                    match ending {
                        Finish => Some(stream.finish()),
                        WriteMessage => Some(stream.write_message(b"")),
                        Close => Some(stream.close()),
                        Writer | Drop => None,
                    }
                };
                if let Some(outcome) = outcome {
                    let error = outcome.expect_err("it is not complete");
                    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                    assert!(error.to_string().contains("incomplete"), "{error}");
                    stream.finish().unwrap_err();
                }
                drop(stream);
                let (count, end) = read.recv().unwrap();
                // A reset may overtake a message that was finished before.
                assert!(count <= finished, "{ending:?}: {count} of {finished}");
                let error = end.expect_err("the stream is reset");
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            }
        }
    });
}

/// The error is also reported to the error handler.
#[test]
fn a_handler_that_ignores_a_write_that_timed_out_resets_the_stream() {
    in_time(|| {
        let (failed, has_failed) = bounded(1);
        let (on_error, told) = errors();
        let serve = move |stream: &mut Stream| {
            stream.set_write_timeout(Some(TIMEOUT))?;
            let copied = io::copy(&mut io::repeat(7).take(1 << 20), stream);
            stream.set_write_timeout(None)?;
            failed.send(copied).unwrap();
            Ok(())
        };
        let link = Link::new(|s| s.stream("late", serve).on_error(on_error), |c| c);
        let stream = link.near.open_stream("late").unwrap();
        let error = has_failed
            .recv()
            .unwrap()
            .expect_err("the caller does not read");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        let error = message(&stream).expect_err("some of it is missing");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        let (name, cause) = told_of_handler(&told);
        assert_eq!(name, "late");
        assert!(cause.contains("incomplete"), "{cause}");
    });
}

#[test]
fn raw_streams_time_out() {
    in_time(|| {
        let (here, there) = memory::pair(1 << 20);
        let client = Connection::client(here, Config::default()).unwrap();
        let server = Connection::server(there, Config::default()).unwrap();
        let mut stream = client.open().unwrap();
        let mut peer = server.accept().unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        assert_times_out(|| stream.read(&mut [0; 8]));
        let bytes = Pattern::new(9).to_vec(1 << 20);
        let written = fill(&stream, &bytes);
        assert_times_out(|| stream.write(&bytes));
        stream.shutdown(Shutdown::Write).unwrap();
        let mut read = Vec::new();
        peer.read_to_end(&mut read).unwrap();
        assert!(read == bytes[..written]);
    });
}

/// `None` is the timeout that waits forever.
#[test]
fn a_timeout_of_zero_is_an_error() {
    in_time(|| {
        let link = Link::serving("test", |_| Ok(()));
        let stream = link.near.open_stream("test").unwrap();
        let zero = Some(Duration::ZERO);
        for outcome in [
            stream.set_read_timeout(zero),
            stream.set_write_timeout(zero),
        ] {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    });
}
