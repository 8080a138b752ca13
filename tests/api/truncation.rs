//! A truncated message is never taken for a complete one.

use crate::support::{
    in_time,
    pattern::Pattern,
    wires::{Link, as_it_is, assert_echoes, echo, message},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    io::{self, Read, Write},
    thread,
    time::Duration,
};
use wirenet::Stream;

fn short() -> Option<Duration> {
    Some(Duration::from_millis(30))
}

/// A handler that reads a message and sends its length, or the error, to a channel.
fn received(to: Sender<io::Result<usize>>) -> impl Fn(&mut Stream) -> io::Result<()> {
    move |stream| {
        let received = stream.reader().read_to_end(&mut Vec::new());
        to.send(received).unwrap();
        Ok(())
    }
}

/// A link with a handler for `up` that reads `count` messages once it is released.
fn late_reader(count: usize) -> (Link, Sender<()>, Receiver<io::Result<Vec<u8>>>) {
    let (release, released) = bounded(0);
    let (outcome, outcomes) = bounded(count);
    let link = Link::serving("up", move |stream| {
        released.recv().unwrap();
        for _ in 0..count {
            outcome.send(message(stream)).unwrap();
        }
        Ok(())
    });
    (link, release, outcomes)
}

#[test]
fn a_message_that_a_close_truncates_is_an_error() {
    in_time(|| {
        let (read, has_read) = bounded::<()>(0);
        let (sent, all_sent) = bounded(1);
        let link = Link::serving("big", move |stream| {
            stream.write_all(&[7; 1000])?;
            has_read.recv().unwrap();
            stream.write_message(vec![7; 200_000])?;
            stream.close()?;
            sent.send(()).unwrap();
            Ok(())
        });
        let mut stream = link.near.open_stream("big").unwrap();
        let closing = stream.try_clone().unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
        read.send(()).unwrap();
        all_sent.recv().unwrap();
        // The refusal arrives after all of that.
        link.near.open_stream("unknown").unwrap_err();
        closing.close().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap_err();
    });
}

#[test]
fn a_close_between_two_writes_of_another_thread_does_not_end_its_message() {
    in_time(|| {
        let (outcome, outcomes) = bounded(1);
        let link = Link::serving("up", received(outcome));
        let mut stream = link.near.open_stream("up").unwrap();
        let closing = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            stream.write_all(&[1; 1000]).unwrap();
            stream
        });
        let stream = writing.join().unwrap();
        let error = closing.close().unwrap_err();
        assert!(error.to_string().contains("another thread"), "{error}");
        outcomes.recv().unwrap().unwrap_err();
        (&stream).write_all(&[1; 1000]).unwrap_err();
    });
}

#[test]
fn a_close_after_a_failed_write_does_not_end_the_message() {
    in_time(|| {
        let (release, released) = bounded(0);
        let (outcome, outcomes) = bounded(1);
        let link = Link::serving("up", move |stream| {
            released.recv().unwrap();
            let mut reader = stream.reader();
            // From here on, there is room for an end mark.
            reader.read_exact(&mut vec![0; 200_000])?;
            outcome.send(Ok(0)).unwrap();
            outcome.send(reader.read_to_end(&mut Vec::new())).unwrap();
            Ok(())
        });
        let stream = link.near.open_stream("up").unwrap();
        stream.set_write_timeout(short()).unwrap();
        let error = stream.write_message(vec![1; 600_000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        release.send(()).unwrap();
        outcomes.recv().unwrap().unwrap();
        stream.close().unwrap_err();
        outcomes.recv().unwrap().unwrap_err();
    });
}

/// After `write_all` has failed, it is unknown how much was sent.
#[test]
fn a_write_after_a_failed_write_does_not_replace_missing_data() {
    in_time(|| {
        let (link, release, outcomes) = late_reader(1);
        let mut stream = link.near.open_stream("up").unwrap();
        stream.set_write_timeout(short()).unwrap();
        let error = stream.write_all(&[1; 600_000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        stream.set_write_timeout(None).unwrap();
        for _ in 0..2 {
            let error = stream.write_message(b"second").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert!(error.to_string().contains("incomplete"), "{error}");
        }
        release.send(()).unwrap();
        stream.close().unwrap_err();
        outcomes.recv().unwrap().unwrap_err();
    });
}

#[test]
fn resume_continues_a_message_after_a_failed_write() {
    in_time(|| {
        let (link, release, outcomes) = late_reader(1);
        let bytes = Pattern::new(3).to_vec(600_000);
        let mut stream = link.near.open_stream("up").unwrap();
        stream.set_write_timeout(short()).unwrap();
        let mut rest = &bytes[..];
        while let Ok(count) = stream.write(rest) {
            rest = &rest[count..];
        }
        stream.set_write_timeout(None).unwrap();
        release.send(()).unwrap();
        stream.resume();
        stream.write_all(rest).unwrap();
        stream.close().unwrap();
        assert!(outcomes.recv().unwrap().unwrap() == bytes);
    });
}

/// If nothing of a message was sent, nothing is missing.
#[test]
fn a_message_of_which_nothing_was_sent_can_be_sent_again() {
    in_time(|| {
        let (link, release, outcomes) = late_reader(2);
        let stream = link.near.open_stream("up").unwrap();
        stream.set_write_timeout(short()).unwrap();
        // Fills the window, so that there is no room for the second message.
        let first = vec![1; 261_000];
        stream.write_message(&first).unwrap();
        let second = vec![2; 2_000];
        stream.write_message(&second).unwrap_err();
        stream.set_write_timeout(None).unwrap();
        release.send(()).unwrap();
        stream.write_message(&second).unwrap();
        for message in [first, second] {
            assert!(outcomes.recv().unwrap().unwrap() == message);
        }
    });
}

#[test]
fn a_handlers_ok_after_a_failed_write_does_not_end_the_message() {
    in_time(|| {
        let (failed, has_failed) = bounded(1);
        let link = Link::serving("down", move |stream| {
            stream.set_write_timeout(short())?;
            stream.write_message(vec![1; 600_000]).unwrap_err();
            failed.send(()).unwrap();
            Ok(())
        });
        let stream = link.near.open_stream("down").unwrap();
        has_failed.recv().unwrap();
        message(&stream).unwrap_err();
    });
}

#[test]
fn a_close_ends_the_message_though_a_later_write_fails() {
    in_time(|| {
        let (go, going) = bounded(1);
        let (sender, outcome) = bounded(1);
        let receive = received(sender);
        let link = Link::new(
            |server| {
                server.stream("echo", echo).stream("late", move |stream| {
                    going.recv().unwrap();
                    receive(stream)
                })
            },
            as_it_is,
        );
        let stream = link.near.open_stream("late").unwrap();
        let late = stream.try_clone().unwrap();
        stream.write_message(b"all").unwrap();
        stream.close().unwrap();
        late.write_message(b"more").unwrap_err();
        (&late).write_all(b"more").unwrap_err();
        drop((stream, late));
        // By then the server has received everything.
        assert_echoes(&link.near);
        go.send(()).unwrap();
        assert_eq!(outcome.recv().unwrap().unwrap(), 3);
    });
}

#[test]
fn a_reader_that_timed_out_leaves_the_message_to_the_next_reader() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::serving("down", move |stream| {
            released.recv().unwrap();
            stream.write_message(b"one")?;
            stream.write_message(b"two")
        });
        let stream = link.near.open_stream("down").unwrap();
        let next = || {
            let mut message = String::new();
            stream.reader().read_to_string(&mut message)?;
            io::Result::Ok(message)
        };
        stream.set_read_timeout(short()).unwrap();
        assert_eq!(next().unwrap_err().kind(), io::ErrorKind::TimedOut);
        stream.set_read_timeout(None).unwrap();
        release.send(()).unwrap();
        assert_eq!(next().unwrap(), "one");
        assert_eq!(next().unwrap(), "two");
    });
}

/// An echo reads a message with a `Reader` and writes it back with a `Writer`, on one
/// thread. The peer resets the stream in between.
#[test]
fn a_write_fails_after_a_reset_though_a_reader_of_the_same_thread_is_open() {
    let (ready, is_ready) = bounded(1);
    let (go, may_go) = bounded(1);
    let (done, is_done) = bounded(1);
    let link = Link::new(
        |server| {
            server.stream("echo", echo).stream("back", move |stream| {
                let mut reader = stream.reader();
                let mut writer = stream.writer();
                io::Read::read_exact(&mut reader, &mut [0; 5])?;
                ready.send(()).unwrap();
                may_go.recv().unwrap();
                let outcome = io::Write::write_all(&mut writer, b"hello");
                let _ = done.send(outcome.map_err(|error| error.kind()));
                Ok(())
            })
        },
        |client| client,
    );
    let stream = link.near.open_stream("back").unwrap();
    io::Write::write_all(&mut &stream, b"hello").unwrap();
    is_ready.recv().unwrap();
    stream.reset();
    // The reset has arrived, as a later request is answered.
    assert_echoes(&link.near);
    go.send(()).unwrap();
    let outcome = is_done.recv_timeout(Duration::from_secs(5));
    // If the write still waits, not even a close wakes it.
    let closed = link.server.close();
    assert_eq!(
        outcome,
        Ok(Err(io::ErrorKind::ConnectionReset)),
        "{closed:?}"
    );
}
