//! A message that several threads write ends when a handler returns or the stream
//! is closed. It is complete only if all of these threads have finished writing.

use crate::support::{
    PATIENCE,
    call_path::{CLOSE, NAME, Path, Sides, Slow, Way, ways},
    in_time,
    pattern::Pattern,
    wires::message,
};
use crossbeam_channel::{Sender, bounded, unbounded};
use std::{
    io::{self, Write},
    thread,
};
use wirenet::{Builder, Stream};

/// Less than a chunk, and more than a window.
const LENGTHS: [usize; 2] = [100, 300_000];

fn served(
    way: Way,
    handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
) -> Path {
    let short = |wire: Builder| wire.session_close_timeout(CLOSE);
    Path::new(
        way,
        4096,
        Sides {
            owner: |wire| short(wire).stream(NAME, handler),
            caller: short,
            hub: short,
        },
    )
}

/// The link's rate does not matter here, so that one way through a hub suffices.
fn each_way(test: fn(Way)) {
    in_time(move || {
        for way in ways().into_iter().filter(|way| way.slow != Slow::ToCaller) {
            test(way);
        }
    });
}

/// How a second thread gets access to the stream.
#[derive(Clone, Copy, Debug)]
enum Second {
    /// The thread borrows the stream.
    Scoped,
    /// The thread has a handle of its own, and is joined.
    Joined,
}

/// A second thread writes a message; if `split`, this thread writes the first half.
fn write_in_second(stream: &Stream, second: Second, split: bool, len: usize) -> io::Result<()> {
    let bytes = Pattern::new(4).to_vec(len);
    let mine = if split { len / 2 } else { 0 };
    { stream }.write_all(&bytes[..mine])?;
    match second {
        Second::Scoped => thread::scope(|scope| {
            let writer = scope.spawn(|| { stream }.write_all(&bytes[mine..]));
            writer.join().expect("no panic")
        }),
        Second::Joined => {
            let mut handle = stream.try_clone()?;
            let writer = thread::spawn(move || handle.write_all(&bytes[mine..]));
            writer.join().expect("no panic")
        }
    }
}

fn cases() -> impl Iterator<Item = (Second, bool, usize)> {
    [Second::Scoped, Second::Joined]
        .into_iter()
        .flat_map(|second| [false, true].map(|split| (second, split)))
        .flat_map(|(second, split)| LENGTHS.map(|len| (second, split, len)))
}

#[test]
fn a_handlers_ok_completes_a_message_that_a_joined_thread_wrote() {
    each_way(|way| {
        for (second, split, len) in cases() {
            let path = served(way, move |stream| {
                write_in_second(stream, second, split, len)
            });
            let stream = path.session.open_stream(NAME).unwrap();
            let context = format!("{way:?}, {second:?}, split {split}, {len} bytes");
            let bytes = message(&stream).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(bytes.len(), len, "{context}");
            Pattern::new(4).check(0, &bytes);
            assert!(stream.was_finished(), "{context}");
            assert!(!stream.next_message().unwrap(), "{context}");
        }
    });
}

/// Returns a path to a handler, and the receiver of the messages that it reads.
fn reading(way: Way) -> (Path, crossbeam_channel::Receiver<io::Result<Vec<u8>>>) {
    let (sender, read) = unbounded();
    let path = served(way, move |stream| {
        let outcome = message(stream);
        let outcome = outcome.and_then(|bytes| match stream.was_finished() {
            true => Ok(bytes),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        });
        sender.send(outcome).expect("the test waits for it");
        Ok(())
    });
    (path, read)
}

#[test]
fn a_close_completes_a_message_that_a_joined_thread_wrote() {
    each_way(|way| {
        let (path, read) = reading(way);
        for (second, split, len) in cases() {
            let context = format!("{way:?}, {second:?}, split {split}, {len} bytes");
            let stream = path.session.open_stream(NAME).unwrap();
            write_in_second(&stream, second, split, len).unwrap();
            if matches!(second, Second::Scoped) {
                // A close cannot see that the thread that borrowed the stream is done.
                stream.finish().unwrap();
            }
            stream.close().unwrap();
            let bytes = read.recv_timeout(PATIENCE).expect("a handler");
            let bytes = bytes.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(bytes.len(), len, "{context}");
            Pattern::new(4).check(0, &bytes);
        }
    });
}

/// Writes until a write fails, and sends to `started` after the first one.
fn write_without_end(mut stream: Stream, started: &Sender<()>) {
    let piece = [7; 1000];
    let mut wrote = stream.write_all(&piece);
    let _ = started.send(());
    while wrote.is_ok() {
        wrote = stream.write_all(&piece);
    }
}

#[test]
fn a_handlers_ok_does_not_complete_a_message_that_another_thread_still_writes() {
    each_way(|way| {
        let path = served(way, |stream| {
            let handle = stream.try_clone()?;
            let (started, has_started) = bounded(1);
            thread::spawn(move || write_without_end(handle, &started));
            has_started.recv().expect("the thread writes");
            Ok(())
        });
        for _ in 0..20 {
            let stream = path.session.open_stream(NAME).unwrap();
            let read = message(&stream).map(|bytes| bytes.len());
            assert!(
                read.is_err() || !stream.was_finished(),
                "{way:?}: {read:?} of an endless message"
            );
        }
    });
}

#[test]
fn a_close_does_not_complete_a_message_that_another_thread_still_writes() {
    each_way(|way| {
        let (path, read) = reading(way);
        for _ in 0..20 {
            let stream = path.session.open_stream(NAME).unwrap();
            let handle = stream.try_clone().unwrap();
            let (started, has_started) = bounded(1);
            let writer = thread::spawn(move || write_without_end(handle, &started));
            has_started.recv().expect("the thread writes");
            // The close may fail or not. The message is not complete.
            let _ = stream.close();
            writer.join().unwrap();
            let read = read.recv_timeout(PATIENCE).expect("a handler");
            let read = read.map(|bytes| bytes.len());
            assert!(read.is_err(), "{way:?}: {read:?} of an endless message");
        }
    });
}
