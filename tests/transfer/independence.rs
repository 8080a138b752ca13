//! Streams of one connection do not wait for each other.

use crate::support::{in_time, pattern::Pattern, wires::Link, wires::message};
use crossbeam_channel::{TryRecvError, bounded, unbounded};
use std::{
    io::{self, Write},
    thread,
};

/// What is sent to a handler that does not read: many windows of it.
const UNREAD: usize = 4 << 20;

/// A handler that never reads does not hold up another stream of its
/// connection; nor is what was sent to it lost.
#[test]
fn a_handler_that_never_reads_does_not_hold_up_another_stream() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                server
                    .stream("deaf", move |stream| {
                        // Until it is released.
                        let _ = released.recv();
                        let bytes = message(stream)?;
                        Pattern::new(1).check(0, &bytes);
                        stream.write_message(&bytes.len().to_le_bytes())
                    })
                    .stream("echo", |stream| {
                        io::copy(&mut &*stream, &mut &*stream)?;
                        stream.finish()
                    })
            },
            |client| client,
        );
        let deaf: Vec<_> = (0..4)
            .map(|_| link.near.open_stream("deaf").unwrap())
            .collect();
        thread::scope(|scope| {
            let (sender, sent) = unbounded();
            for stream in &deaf {
                let sender = sender.clone();
                scope.spawn(move || {
                    let outcome = stream.write_message(&Pattern::new(1).to_vec(UNREAD));
                    sender.send(outcome).unwrap();
                });
            }
            for _ in 0..4 {
                echo(&link, 16 << 20);
            }
            let blocked = matches!(sent.try_recv(), Err(TryRecvError::Empty));
            assert!(blocked, "nobody has read what was sent to the deaf");
            drop(release);
            drop(sender);
            assert_eq!(sent.iter().map(Result::unwrap).count(), deaf.len());
        });
        for stream in &deaf {
            assert_eq!(message(stream).unwrap(), UNREAD.to_le_bytes());
        }
    });
}

/// Sends `len` bytes there and back on a stream of its own.
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
            "what comes back is what was sent"
        );
    });
}
