//! A thread that holds a `Reader` or `Writer` of a stream does not wait for itself.

use crate::support::{
    PATIENCE, in_time,
    wires::{Link, message},
};
use crossbeam_channel::{Receiver, bounded, unbounded};
use std::{
    io::{self, BufRead, ErrorKind, Read, Write},
    thread,
};
use wirenet::Stream;

/// The handler sends two messages, and sends those that it receives to the channel, once the
/// stream is closed.
fn opened() -> (Link, Stream, Receiver<Vec<Vec<u8>>>) {
    let (sender, received) = unbounded();
    let link = Link::new(
        |server| {
            server.on_error(|_| {}).stream("log", move |stream| {
                stream.write_message("line\nline\n")?;
                stream.write_message("second")?;
                let mut messages = Vec::new();
                while let Some(message) = stream.read_message(100)? {
                    messages.push(message);
                }
                sender.send(messages).map_err(io::Error::other)
            })
        },
        |client| client,
    );
    let stream = link.near.open_stream("log").unwrap();
    (link, stream, received)
}

#[track_caller]
fn assert_deadlock<T: std::fmt::Debug>(outcome: io::Result<T>, held: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
    let text = error.to_string();
    let expected = format!("this thread holds a {held} of stream \"log\"; ");
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.contains("drop it first"), "{text}");
}

#[test]
fn a_writer_makes_other_writes_of_its_thread_fail() {
    in_time(|| {
        let (_link, mut stream, received) = opened();
        let own = stream.clone();
        let mut writer = own.writer();
        writer.write_all(b"one").unwrap();
        assert_deadlock(stream.write(b"two"), "Writer");
        assert_deadlock(stream.write_message("two"), "Writer");
        assert_deadlock(stream.finish(), "Writer");
        stream.resume();
        let mut second = stream.writer();
        assert_deadlock(second.write(b"two"), "Writer");
        assert_deadlock(second.flush(), "Writer");
        second.resume();
        assert_deadlock(second.finish(), "Writer");
        drop(stream.writer());
        let bytes = stream.clone().into_byte_stream();
        assert_deadlock((&bytes).write(b"two"), "Writer");
        assert_deadlock(bytes.shutdown(std::net::Shutdown::Write), "Writer");
        // None of these has damaged the message, and reading still works.
        assert_eq!(message(&stream).unwrap(), b"line\nline\n");
        writer.finish().unwrap();
        stream.write_message("two").unwrap();
        stream.finish().unwrap();
        stream.close().unwrap();
        assert_eq!(received.recv().unwrap(), [&b"one"[..], b"two", b""]);
    });
}

#[test]
fn a_reader_makes_other_reads_of_its_thread_fail() {
    in_time(|| {
        let (_link, mut stream, received) = opened();
        let own = stream.clone();
        let mut reader = own.reader();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_deadlock(stream.read(&mut [0]), "Reader");
        assert_deadlock(stream.read_message(100), "Reader");
        assert_deadlock(stream.next_message(), "Reader");
        let mut second = stream.reader();
        assert_deadlock(second.read(&mut [0]), "Reader");
        assert_deadlock(second.read_line(&mut line), "Reader");
        second.consume(0);
        assert!(!second.was_finished());
        drop(second);
        let mut bytes = stream.clone().into_byte_stream();
        assert_deadlock(bytes.read(&mut [0]), "Reader");
        // None of these has taken any bytes, and writing still works.
        stream.write_message("two").unwrap();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "line\nline\n");
        drop(reader);
        assert_eq!(stream.read_message(100).unwrap().unwrap(), b"second");
        stream.close().unwrap();
        assert_eq!(received.recv().unwrap(), [b"two"]);
    });
}

#[cfg(unix)]
#[test]
fn a_pipe_beside_a_reader_or_writer_of_its_thread_fails() {
    use std::os::unix::net::UnixStream;

    in_time(|| {
        let (_link, stream, _) = opened();
        let reader = stream.reader();
        let (socket, _other) = UnixStream::pair().unwrap();
        let error = stream.pipe_with(socket).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
        assert!(error.to_string().contains("holds a Reader"), "{error}");
        drop(reader);
    });
    in_time(|| {
        let (_link, stream, _) = opened();
        let writer = stream.writer();
        let (socket, _other) = UnixStream::pair().unwrap();
        let error = stream.pipe_with(socket).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
        assert!(error.to_string().contains("holds a Writer"), "{error}");
        drop(writer);
    });
}

#[test]
fn a_close_beside_a_writer_of_its_thread_says_so() {
    in_time(|| {
        let (_link, stream, _) = opened();
        let mut writer = stream.writer();
        writer.write_all(b"one").unwrap();
        let error = stream.close().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        let text = error.to_string();
        assert!(text.contains("this thread holds a Writer"), "{text}");
        assert!(!text.contains("another thread"), "{text}");
    });
}

#[test]
fn other_threads_wait_for_a_writer_even_if_it_moves() {
    in_time(|| {
        let (_link, stream, received) = opened();
        thread::scope(|scope| {
            let mut writer = stream.writer();
            let (started, starts) = bounded(0);
            let (release, released) = bounded::<()>(0);
            scope.spawn(move || {
                writer.write_all(b"one").unwrap();
                started.send(()).unwrap();
                released.recv().unwrap();
                writer.finish().unwrap();
            });
            starts.recv_timeout(PATIENCE).unwrap();
            // The thread that made the writer no longer holds it.
            let other = scope.spawn(|| stream.write_message("three"));
            release.send(()).unwrap();
            stream.write_message("two").unwrap();
            other.join().unwrap().unwrap();
        });
        stream.close().unwrap();
        let mut messages = received.recv().unwrap();
        assert_eq!(messages[0], b"one");
        messages.sort_unstable();
        assert_eq!(messages, [&b"one"[..], b"three", b"two"]);
    });
}
