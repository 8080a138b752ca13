//! Truncated is never taken for complete: whatever goes wrong in the middle of
//! a message, its reader gets an error. Only `finish`, `close` and a handler's
//! Ok say that a message is complete.

use crate::support::{
    fault_proxy::{Cut, Direction, FaultProxy, How, Profile},
    in_time,
    pattern::Pattern,
    wires::{Link, errors, means_broken, message, told_of_handler},
};
use crossbeam_channel::{Receiver, bounded};
use std::{
    io::{self, ErrorKind, Write},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};
use wirenet::{Session, Stream, Wire};

/// Less than a chunk, a few chunks, and more than a window.
const LENGTHS: [usize; 3] = [1, 3000, 300_000];

fn assert_reset<T: std::fmt::Debug>(outcome: io::Result<T>) {
    let error = outcome.expect_err("the message was not complete");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

/// Writes the beginning of a message.
fn begin(mut stream: &Stream, len: usize) -> io::Result<()> {
    stream.write_all(&Pattern::new(3).to_vec(len))
}

/// A handler that leaves a message with `?` resets the stream, and the error
/// handler is told why.
#[test]
fn a_handler_that_fails_in_a_message_resets_the_stream() {
    in_time(|| {
        for len in LENGTHS {
            let (on_error, told) = errors();
            let serve = move |stream: &mut Stream| {
                begin(stream, len)?;
                Err(io::Error::other("the disk is gone"))
            };
            let link = Link::new(|s| s.stream("half", serve).on_error(on_error), |c| c);
            assert_reset(message(&link.near.open_stream("half").unwrap()));
            let (name, cause) = told_of_handler(&told);
            assert_eq!((&*name, &*cause), ("half", "the disk is gone"));
        }
    });
}

/// So does one that panics.
#[test]
fn a_handler_that_panics_in_a_message_resets_the_stream() {
    in_time(|| {
        for len in LENGTHS {
            let (on_error, told) = errors();
            let serve = move |stream: &mut Stream| {
                begin(stream, len)?;
                panic!("on purpose")
            };
            let link = Link::new(|s| s.stream("half", serve).on_error(on_error), |c| c);
            assert_reset(message(&link.near.open_stream("half").unwrap()));
            let (name, cause) = told_of_handler(&told);
            assert_eq!((&*name, &*cause), ("half", "panicked: on purpose"));
        }
    });
}

/// A handler that fails between two messages resets the stream too: the other
/// side may wait for more of them.
#[test]
fn a_handler_that_fails_between_messages_resets_the_stream() {
    in_time(|| {
        let link = Link::serving("one", |stream| {
            stream.write_message(b"whole")?;
            Err(io::Error::other("no second one"))
        });
        let stream = link.near.open_stream("one").unwrap();
        // A reset may overtake what was finished before, but cannot cut it.
        match message(&stream) {
            Ok(bytes) => {
                assert_eq!(bytes, b"whole");
                assert_reset(stream.next_message());
            }
            error => assert_reset(error),
        }
    });
}

/// A server that hands on what reading a message gives.
fn reading_link() -> (Link, Receiver<io::Result<Vec<u8>>>) {
    let (sender, read) = bounded(1);
    let link = Link::serving("take", move |stream| {
        sender.send(message(stream)).expect("the test waits for it");
        Ok(())
    });
    (link, read)
}

/// A stream that is dropped in the middle of a message, because something
/// failed in between, is reset.
#[test]
fn a_stream_dropped_in_a_message_by_an_error_is_reset() {
    fn send_half(session: &Session, len: usize) -> io::Result<()> {
        let stream = session.open_stream("take")?;
        begin(&stream, len)?;
        Err(io::Error::other("the rest cannot be read"))?;
        stream.finish()
    }
    in_time(|| {
        let (link, read) = reading_link();
        for len in LENGTHS {
            send_half(&link.near, len).unwrap_err();
            assert_reset(read.recv().unwrap());
        }
    });
}

/// So is one that a panic drops.
#[test]
fn a_stream_dropped_in_a_message_by_a_panic_is_reset() {
    in_time(|| {
        let (link, read) = reading_link();
        let send_half = AssertUnwindSafe(|| {
            let stream = link.near.open_stream("take").unwrap();
            begin(&stream, 3000).unwrap();
            panic!("on purpose");
        });
        assert!(catch_unwind(send_half).is_err());
        assert_reset(read.recv().unwrap());
    });
}

/// It is the last handle that counts.
#[test]
fn a_stream_is_reset_with_its_last_handle() {
    in_time(|| {
        let (link, read) = reading_link();
        let stream = link.near.open_stream("take").unwrap();
        let other = stream.try_clone().unwrap();
        begin(&stream, 3000).unwrap();
        drop(stream);
        other.finish().unwrap();
        assert_eq!(read.recv().unwrap().unwrap().len(), 3000);
    });
}

/// A writer that is dropped before it has finished its message resets the
/// stream, whether it has written some of it or not.
#[test]
fn a_writer_dropped_unfinished_resets_the_stream() {
    in_time(|| {
        let (link, read) = reading_link();
        for len in [0, 1, 3000] {
            let stream = link.near.open_stream("take").unwrap();
            let mut writer = stream.writer();
            writer.write_all(&Pattern::new(3).to_vec(len)).unwrap();
            drop(writer);
            assert_reset(read.recv().unwrap());
            assert!(stream.write_message(b"more").is_err());
        }
    });
}

/// A session that is closed in the middle of a message, by its writer, ends it
/// with an error.
#[test]
fn a_session_closed_in_a_message_is_an_error_for_its_reader() {
    in_time(|| {
        for len in LENGTHS {
            let (link, read) = reading_link();
            let stream = link.near.open_stream("take").unwrap();
            begin(&stream, len).unwrap();
            link.near.abort();
            let error = read.recv().unwrap().expect_err("not complete");
            assert!(means_broken(error.kind()), "{error}");
        }
    });
}

/// `close` is one of the three that say "complete".
#[test]
fn closing_a_stream_completes_its_message() {
    in_time(|| {
        let (link, read) = reading_link();
        for len in LENGTHS {
            let stream = link.near.open_stream("take").unwrap();
            begin(&stream, len).unwrap();
            stream.close().unwrap();
            let expected = Pattern::new(3).to_vec(len);
            assert!(read.recv().unwrap().unwrap() == expected);
        }
    });
}

/// A handler's Ok is another.
#[test]
fn a_handlers_ok_completes_its_message() {
    in_time(|| {
        for len in LENGTHS {
            let link = Link::serving("whole", move |stream| begin(stream, len));
            let stream = link.near.open_stream("whole").unwrap();
            assert!(message(&stream).unwrap() == Pattern::new(3).to_vec(len));
            assert!(!stream.next_message().unwrap(), "nothing follows");
        }
    });
}

/// Wherever a connection breaks: what is read as a message is the whole
/// message.
#[test]
fn a_connection_cut_at_any_byte_never_yields_a_part() {
    const PIECES: [&[u8]; 3] = [b"one, ", b"two and ", b"three"];
    /// More than the server sends in all.
    const ENOUGH: u64 = 400;

    fn receive(server: SocketAddr, limit: u64) -> Result<Vec<u8>, io::Error> {
        let cut = Cut {
            direction: Direction::Down,
            after: limit,
            how: How::Fin,
        };
        let profile = Profile {
            cut: Some(cut),
            ..Profile::default()
        };
        let link = FaultProxy::to(server, profile)?;
        let client = Wire::join(link.addr.to_string()).retry_max(0).build()?;
        client.start()?;
        // It may be over already.
        let session = client.sessions().pop().ok_or(ErrorKind::NotConnected)?;
        message(&session.open_stream("pieces")?)
    }

    in_time(|| {
        let server = Wire::mount("127.0.0.1:0").stream("pieces", |stream| {
            PIECES.iter().try_for_each(|piece| stream.write_all(piece))
        });
        let server = server.build().unwrap();
        server.start().unwrap();
        let addr = server.local_addr().expect("it listens");
        let mut complete = 0;
        for limit in 0..ENOUGH {
            if let Ok(message) = receive(addr, limit) {
                assert_eq!(message, PIECES.concat(), "cut after {limit} bytes");
                complete += 1;
            }
        }
        // Both outcomes were seen.
        assert!((1..ENOUGH - 100).contains(&complete), "{complete}");
    });
}
