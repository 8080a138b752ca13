//! A close that returns `Ok` has delivered every message that was finished before.

use crate::support::{
    PATIENCE,
    call_path::{NAME, Path, Sides, Slow, Way, ways},
    in_time,
    wires::message,
};
use crossbeam_channel::{Receiver, unbounded};
use std::{io, thread, time::Duration};
use wirenet::{Builder, ShutdownError, Stream, Wire};

/// 256 kbit/s.
const RATE: u32 = 32_000;

const MESSAGES: usize = 16;

/// The length of long messages. The link takes 1.5 seconds for all of them.
const LONG: usize = 3_000;

/// Less than the link takes for all long messages.
const SOON: Duration = Duration::from_millis(300);

/// The length of short messages. The link takes a quarter of a second for all of
/// them.
const SHORT: usize = 500;

/// The side that sends, and then closes.
#[derive(Clone, Copy, Debug)]
enum Sender {
    Caller,
    /// Its handlers have returned before it closes.
    Owner,
}

/// The object whose `close` is called.
#[derive(Clone, Copy, Debug)]
enum Closed {
    Wire,
    Session,
}

fn close(wire: &Wire, what: Closed) -> Result<(), ShutdownError> {
    match what {
        Closed::Wire => wire.close(),
        Closed::Session => wire.wait_session(PATIENCE).expect("its session").close(),
    }
}

/// How long delivered messages may take to be read. Only a failure takes this long.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Receives a message, and sends to `arrived` if it is complete and correct.
fn receive(stream: &Stream, len: usize, arrived: &crossbeam_channel::Sender<()>) {
    if message(stream).is_ok_and(|bytes| bytes == vec![7; len]) {
        // The test may have ended already.
        let _ = arrived.send(());
    }
}

/// Sends [`MESSAGES`] messages of `len` bytes over a slow link, and closes with a
/// timeout of `time`. Returns the close's result, and the number of messages that
/// have arrived if it is `Ok`.
fn send_and_close(
    way: Way,
    sender: Sender,
    what: Closed,
    len: usize,
    time: Duration,
) -> (Result<(), ShutdownError>, usize) {
    let (arrival, received) = unbounded();
    let (returned, returning) = unbounded();
    let receive = move |stream: &Stream| receive(stream, len, &arrival);
    let arrived = receive.clone();
    let closing = move |wire: Builder| wire.session_close_timeout(time);
    let patient = |wire: Builder| wire.session_close_timeout(PATIENCE);
    let handler = move |stream: &mut Stream| match sender {
        Sender::Caller => {
            receive(stream);
            Ok(())
        }
        Sender::Owner => {
            stream.write_message(vec![7; len])?;
            stream.close()?;
            returned.send(()).expect("the test waits for it");
            Ok(())
        }
    };
    let path = match sender {
        Sender::Caller => Path::new(
            way,
            4096,
            Sides {
                owner: |wire| patient(wire).stream(NAME, handler),
                caller: closing,
                hub: patient,
            },
        ),
        Sender::Owner => Path::new(
            way,
            4096,
            Sides {
                owner: |wire| closing(wire).stream(NAME, handler),
                caller: patient,
                hub: patient,
            },
        ),
    };
    let closed = match sender {
        Sender::Caller => {
            path.link.set_rate(Some(RATE));
            for _ in 0..MESSAGES {
                let stream = path.session.open_stream_nowait(NAME).unwrap();
                stream.write_message(vec![7; len]).unwrap();
                stream.close().unwrap();
            }
            close(&path.caller, what)
        }
        Sender::Owner => thread::scope(|scope| {
            let streams = (0..MESSAGES).map(|_| path.session.open_stream(NAME).unwrap());
            let streams: Vec<_> = streams.collect();
            path.link.set_rate(Some(RATE));
            for stream in streams {
                let arrived = arrived.clone();
                scope.spawn(move || arrived(&stream));
            }
            for _ in 0..MESSAGES {
                returning.recv_timeout(PATIENCE).expect("a handler");
            }
            close(&path.owner, what)
        }),
    };
    let arrived = arrivals(&closed, &received);
    (closed, arrived)
}

/// Waits for the messages that a close has reported as delivered.
fn arrivals(closed: &Result<(), ShutdownError>, received: &Receiver<()>) -> usize {
    if closed.is_err() {
        return 0;
    }
    let arrived = (0..MESSAGES).map_while(|_| received.recv_timeout(READ_LIMIT).ok());
    arrived.count()
}

/// Runs a test for each way, each sender and each close, at the same time.
fn for_each_case(test: impl Fn(Way, Sender, Closed) + Sync) {
    thread::scope(|scope| {
        for way in ways() {
            for sender in [Sender::Caller, Sender::Owner] {
                for what in [Closed::Wire, Closed::Session] {
                    let test = &test;
                    scope.spawn(move || test(way, sender, what));
                }
            }
        }
    });
}

#[test]
fn a_close_with_too_little_time_fails_or_has_delivered_everything() {
    in_time(|| {
        for_each_case(|way, sender, what| {
            let (closed, arrived) = send_and_close(way, sender, what, LONG, SOON);
            assert!(
                closed.is_err() || arrived == MESSAGES,
                "{way:?}, the {sender:?} closes its {what:?}: Ok, but {arrived} of {MESSAGES} arrived"
            );
        });
    });
}

#[test]
fn a_close_with_enough_time_delivers_everything() {
    in_time(|| {
        for_each_case(|way, sender, what| {
            let (closed, arrived) = send_and_close(way, sender, what, SHORT, PATIENCE);
            assert!(
                closed.is_ok() && arrived == MESSAGES,
                "{way:?}, the {sender:?} closes its {what:?}: {closed:?}, and {arrived} of {MESSAGES} arrived"
            );
        });
    });
}

/// The hub still holds bytes that it has accepted for the owner.
#[test]
fn a_hubs_close_with_too_little_time_fails_or_has_delivered_everything() {
    in_time(|| {
        thread::scope(|scope| {
            for way in ways().into_iter().filter(|way| way.slow == Slow::ToOwner) {
                scope.spawn(move || {
                    let (arrival, received) = unbounded();
                    let handler = move |stream: &mut Stream| -> io::Result<()> {
                        receive(stream, LONG, &arrival);
                        Ok(())
                    };
                    let path = Path::new(
                        way,
                        4096,
                        Sides {
                            owner: |wire: Builder| wire.stream(NAME, handler),
                            caller: |wire: Builder| wire,
                            hub: |wire: Builder| wire.session_close_timeout(SOON),
                        },
                    );
                    let open = |_| path.session.open_stream(NAME).unwrap();
                    let streams: Vec<_> = (0..MESSAGES).map(open).collect();
                    path.link.set_rate(Some(RATE));
                    for stream in streams {
                        stream.write_message(vec![7; LONG]).unwrap();
                        stream.close().unwrap();
                    }
                    let closed = path.hub.as_ref().expect("a hub").close();
                    let arrived = arrivals(&closed, &received);
                    assert!(
                        closed.is_err() || arrived == MESSAGES,
                        "{way:?}: Ok, but {arrived} of {MESSAGES} arrived"
                    );
                });
            }
        });
    });
}
