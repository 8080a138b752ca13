//! The streams of one connection do not block each other.

use crate::support::{in_time, pattern::Pattern, wires::Link, wires::message};
use crossbeam_channel::{TryRecvError, bounded, unbounded};
use std::{
    io::{self, Write},
    thread,
};

/// The length of messages to a handler that does not read: many windows.
const UNREAD: usize = 4 << 20;

/// The bytes that were sent to it are not lost either.
#[test]
fn a_handler_that_does_not_read_does_not_block_other_streams() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                server
                    .stream("unread", move |stream| {
                        // Until it is released.
                        let _ = released.recv();
                        let bytes = message(stream)?;
                        Pattern::new(1).check(0, &bytes);
                        stream.write_message(bytes.len().to_le_bytes())
                    })
                    .stream("echo", |stream| {
                        io::copy(&mut &*stream, &mut &*stream)?;
                        stream.finish()
                    })
            },
            |client| client,
        );
        let unread: Vec<_> = (0..4)
            .map(|_| link.near.open_stream("unread").unwrap())
            .collect();
        thread::scope(|scope| {
            let (sender, sent) = unbounded();
            for stream in &unread {
                let sender = sender.clone();
                scope.spawn(move || {
                    let outcome = stream.write_message(Pattern::new(1).to_vec(UNREAD));
                    sender.send(outcome).unwrap();
                });
            }
            for _ in 0..4 {
                echo(&link, 16 << 20);
            }
            let blocked = matches!(sent.try_recv(), Err(TryRecvError::Empty));
            assert!(blocked, "a handler has read although it was not released");
            drop(release);
            drop(sender);
            assert_eq!(sent.iter().map(Result::unwrap).count(), unread.len());
        });
        for stream in &unread {
            assert_eq!(message(stream).unwrap(), UNREAD.to_le_bytes());
        }
    });
}

/// Has `len` bytes echoed on a stream of their own.
fn echo(link: &Link, len: usize) {
    let stream = link.near.open_stream("echo").unwrap();
    let bytes = Pattern::new(2).to_vec(len);
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&bytes).unwrap();
            stream.finish().unwrap();
        });
        assert!(
            message(&stream).unwrap() == bytes,
            "the echo differs from what was sent"
        );
    });
}
