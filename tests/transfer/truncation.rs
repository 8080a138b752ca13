//! A truncated message is never considered complete: whatever goes wrong in the middle of
//! a message, its reader gets an error. Only `finish`, `close` and a handler's `Ok` make a
//! message complete.

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

/// Checks that a stream is reset if its handler ends with `fail` in the middle of a message,
/// and that `cause` is reported to the error handler.
fn assert_handler_failure_resets(fail: fn() -> io::Result<()>, cause: &str) {
    for len in LENGTHS {
        let (on_error, told) = errors();
        let serve = move |stream: &mut Stream| {
            begin(stream, len)?;
            fail()
        };
        let link = Link::new(|s| s.stream("half", serve).on_error(on_error), |c| c);
        assert_reset(message(&link.near.open_stream("half").unwrap()));
        let (name, reported) = told_of_handler(&told);
        assert_eq!((&*name, &*reported), ("half", cause));
    }
}

#[test]
fn a_handler_that_fails_in_a_message_resets_the_stream() {
    in_time(|| {
        assert_handler_failure_resets(
            || Err(io::Error::other("the disk is gone")),
            "the disk is gone",
        );
    });
}

#[test]
fn a_handler_that_panics_in_a_message_resets_the_stream() {
    in_time(|| assert_handler_failure_resets(|| panic!("on purpose"), "panicked: on purpose"));
}

/// The peer may be waiting for another message.
#[test]
fn a_handler_that_fails_between_messages_resets_the_stream() {
    in_time(|| {
        let link = Link::serving("one", |stream| {
            stream.write_message(b"whole")?;
            Err(io::Error::other("no second one"))
        });
        let stream = link.near.open_stream("one").unwrap();
        // A reset may overtake a message that was finished before, but cannot
        // truncate it.
        match message(&stream) {
            Ok(bytes) => {
                assert_eq!(bytes, b"whole");
                assert_reset(stream.next_message());
            }
            error => assert_reset(error),
        }
    });
}

/// Returns a link to a handler, and the receiver of the messages that it reads.
fn reading_link() -> (Link, Receiver<io::Result<Vec<u8>>>) {
    let (sender, read) = bounded(1);
    let link = Link::serving("take", move |stream| {
        sender.send(message(stream)).expect("the test waits for it");
        Ok(())
    });
    (link, read)
}

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

#[test]
fn a_stream_is_not_reset_before_its_last_handle_is_dropped() {
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

/// Whether it has written some bytes or not.
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

#[test]
fn aborting_a_session_during_a_message_is_an_error_for_the_reader() {
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

#[test]
fn a_message_over_a_connection_cut_at_any_byte_is_complete_or_an_error() {
    const PIECES: [&[u8]; 3] = [b"one, ", b"two and ", b"three"];
    /// More bytes than the server sends in total.
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
        // The session may have ended already.
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
        // Both outcomes have occurred.
        assert!((1..ENOUGH - 100).contains(&complete), "{complete}");
    });
}
