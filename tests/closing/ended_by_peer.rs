//! A stream that its handler has ended does not run, although its caller still holds it.

use super::{NEVER, SHORT, SOON};
use crate::support::{
    encoding::request,
    frames::{FIN, Frame, RST},
    in_time,
    peer::Peer,
    wires::{Link, addr_of, as_it_is, errors, joining, message, mounting, started},
    within,
};
use crossbeam_channel::bounded;
use std::{
    io::{Read, Write},
    thread,
};
use wirenet::{Builder, Session, ShutdownError, Stream, Wire};

/// Less than a window, so that it can be sent while it is not read.
static ANSWER: [u8; 100_000] = [7; 100_000];

/// Gives streams more time than a test has, so that a close that waits for one fails the test.
fn endless(builder: Builder) -> Builder {
    builder.session_close_timeout(NEVER)
}

/// A handler that answers at once.
fn answer(stream: &mut Stream) -> std::io::Result<()> {
    stream.write_message(ANSWER)
}

/// Waits until the peer has ended the stream.
fn await_end(stream: &Stream) {
    assert!(stream.wait_for_peer_end(None));
}

type Closed = Result<(), ShutdownError>;

/// The ways to close: either wire, or only its session.
const CLOSES: [fn(&Link) -> Closed; 4] = [
    |link| link.client.close(),
    |link| link.server.close(),
    |link| link.near.close(),
    |link| link.far.close(),
];

#[test]
fn a_stream_that_was_read_to_its_end_and_is_still_held_delays_no_close() {
    for close in CLOSES {
        within(SOON, move || {
            let (on_error, told) = errors();
            let link = Link::new(
                |server| endless(server).stream("answer", answer).on_error(on_error),
                |client| endless(client).retry_max(0),
            );
            let mut held = link.near.open_stream("answer").unwrap();
            assert_eq!(message(&held).unwrap(), ANSWER);
            assert!(!held.next_message().unwrap());
            close(&link).unwrap();
            // Both ends closed gracefully.
            assert!(link.near.is_closed());
            link.client.wait().unwrap();
            assert_eq!(told.try_iter().collect::<Vec<_>>(), []);
            assert_eq!(held.read(&mut [0]).unwrap(), 0, "the end stays the end");
            held.write(b"late").unwrap_err();
        });
    }
}

#[test]
fn what_the_peer_sent_before_it_ended_the_stream_is_read_after_the_close() {
    for close in CLOSES {
        within(SOON, move || {
            let link = Link::new(
                |server| endless(server).stream("answer", answer),
                |client| endless(client).retry_max(0),
            );
            let unread = link.near.open_stream("answer").unwrap();
            let mut begun = link.near.open_stream_nowait("answer").unwrap();
            begun.read_exact(&mut [0; 1000]).unwrap();
            await_end(&unread);
            await_end(&begun);
            close(&link).unwrap();
            assert_eq!(message(&unread).unwrap(), ANSWER);
            assert!(unread.was_finished() && !unread.next_message().unwrap());
            assert_eq!(message(&begun).unwrap(), &ANSWER[1000..]);
        });
    }
}

/// The handler returns while the close is waiting.
#[test]
fn a_close_ends_with_the_last_handler_although_its_caller_holds_the_stream() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                server.stream("late", move |stream| {
                    assert!(released.recv().is_err());
                    stream.write_message(b"late")
                })
            },
            |client| endless(client).retry_max(0),
        );
        let held = link.near.open_stream("late").unwrap();
        thread::scope(|scope| {
            let closing = scope.spawn(|| link.client.close());
            super::await_closing(&link.near);
            assert!(!closing.is_finished());
            drop(release);
            closing.join().unwrap().unwrap();
        });
        assert_eq!(message(&held).unwrap(), b"late");
    });
}

#[test]
fn a_message_that_has_begun_keeps_a_stream_running_until_it_ends() {
    in_time(|| {
        let link = Link::new(
            |server| server.stream("answer", answer),
            |client| endless(client).retry_max(0),
        );
        let sending = link.near.open_stream("answer").unwrap();
        (&sending).write_all(b"begun").unwrap();
        await_end(&sending);
        thread::scope(|scope| {
            let closing = scope.spawn(|| link.client.close());
            super::await_closing(&link.near);
            assert!(!closing.is_finished());
            sending.finish().unwrap();
            closing.join().unwrap().unwrap();
        });
        assert_eq!(message(&sending).unwrap(), ANSWER);
    });
}

#[test]
fn a_message_that_is_never_ended_is_cut_and_reported() {
    in_time(|| {
        let link = Link::new(
            |server| server.stream("answer", answer),
            |client| client.session_close_timeout(SHORT).retry_max(0),
        );
        let sending = link.near.open_stream("answer").unwrap();
        (&sending).write_all(b"begun").unwrap();
        await_end(&sending);
        let error = link.client.close().unwrap_err();
        assert_eq!(error.sessions[0].streams, 1);
    });
}

#[test]
fn a_stream_that_its_handler_still_serves_keeps_running_after_its_caller_left() {
    in_time(|| {
        let (entered, enters) = bounded(1);
        let (release, released) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                endless(server).stream("work", move |stream| {
                    assert!(stream.wait_for_peer_end(None));
                    entered.send(message(stream)?).unwrap();
                    assert!(released.recv().is_err());
                    Ok(())
                })
            },
            as_it_is,
        );
        let stream = link.near.open_stream("work").unwrap();
        stream.write_message(b"do this").unwrap();
        drop(stream);
        assert_eq!(enters.recv().unwrap(), b"do this");
        thread::scope(|scope| {
            let closing = scope.spawn(|| link.far.close());
            super::await_closing(&link.near);
            assert!(!closing.is_finished());
            drop(release);
            closing.join().unwrap().unwrap();
        });
    });
}

fn hub() -> Wire {
    started(endless(Wire::hub("127.0.0.1:0")))
}

fn joined(hub: &Wire, set: impl FnOnce(Builder) -> Builder) -> (Wire, Session) {
    let wire = started(endless(set(joining(hub).retry_max(0))));
    let session = wire.sessions().remove(0);
    (wire, session)
}

#[test]
fn a_hub_does_not_wait_for_a_stream_that_its_owner_has_ended() {
    for closes_owner_only in [false, true] {
        within(SOON, move || {
            let hub = hub();
            let (owner, at_owner) = joined(&hub, |client| client.stream("answer", answer));
            let (caller, near) = joined(&hub, as_it_is);
            let held = near.open_stream("answer").unwrap();
            held.write_message(b"question").unwrap();
            assert_eq!(message(&held).unwrap(), ANSWER);
            await_end(&held);
            if closes_owner_only {
                hub.session(at_owner.id()).unwrap().close().unwrap();
                assert!(!near.is_closed());
            }
            hub.close().unwrap();
            caller.wait().unwrap();
            owner.wait().unwrap();
            assert!(!held.next_message().unwrap());
        });
    }
}

#[test]
fn a_hub_waits_for_the_rest_of_a_message() {
    in_time(|| {
        let hub = hub();
        let (_owner, _) = joined(&hub, |client| client.stream("answer", answer));
        let (_caller, near) = joined(&hub, as_it_is);
        let sending = near.open_stream("answer").unwrap();
        (&sending).write_all(b"begun").unwrap();
        await_end(&sending);
        // The hub has received the bytes before this opening, which it has answered.
        drop(near.open_stream("answer").unwrap());
        thread::scope(|scope| {
            let closing = scope.spawn(|| hub.close());
            while !near.is_closing() {
                thread::yield_now();
            }
            assert!(!closing.is_finished());
            sending.finish().unwrap();
            closing.join().unwrap().unwrap();
        });
    });
}

/// The peer is scripted, and announces no features, like go-wirenet. It calls, gets its
/// answer, and keeps its half of the stream open. Its stream must end with a FIN.
#[test]
fn an_old_peer_sees_the_end_of_a_stream_before_that_of_the_connection() {
    within(SOON, || {
        let server = started(endless(mounting()));
        let mut old = Peer::dial(addr_of(&server));
        old.ask(&request("old", &["answer"]));
        let session = server.wait_session(SOON).unwrap();
        let (held, id) = old.accept_from(&session, "answer");
        old.send(Frame::data(id, b"\x02\0\0\0ok\0\0\0\0".to_vec()));
        old.send(Frame::flags(id, FIN));
        assert_eq!(message(&held).unwrap(), b"ok");
        await_end(&held);
        let closing = thread::spawn(move || server.close());
        let end = old.wait(|frame| frame.stream == id && frame.has(FIN));
        assert!(!end.has(RST));
        assert!(old.receive_all().iter().all(|frame| !frame.has(RST)));
        drop(old);
        closing.join().unwrap().unwrap();
        assert!(!held.next_message().unwrap());
    });
}
