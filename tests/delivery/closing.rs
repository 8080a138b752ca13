//! A close that says `Ok` has delivered what was finished before it.

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

/// What the link takes 1.5 seconds for.
const MUCH: usize = 3_000;

/// Less than that.
const SOON: Duration = Duration::from_millis(300);

/// What it takes a quarter of a second for.
const LITTLE: usize = 500;

/// Who sends, and closes then.
#[derive(Clone, Copy, Debug)]
enum Sender {
    Caller,
    /// Its handlers have returned before it closes.
    Owner,
}

/// What is closed.
#[derive(Clone, Copy, Debug)]
enum What {
    Wire,
    Session,
}

fn close(wire: &Wire, what: What) -> Result<(), ShutdownError> {
    match what {
        What::Wire => wire.close(),
        What::Session => wire.wait_session(PATIENCE).expect("its session").close(),
    }
}

/// How long what was delivered may take to be read. Only a failure takes it.
const READ: Duration = Duration::from_secs(5);

/// Sends [`MESSAGES`] of so many bytes over a slow link and closes, for which
/// there is so much time; how that ends, and how many arrive if it ends well.
fn send_and_close(
    way: Way,
    sender: Sender,
    what: What,
    len: usize,
    time: Duration,
) -> (Result<(), ShutdownError>, usize) {
    let (came, coming) = unbounded();
    let (returned, returning) = unbounded();
    let receive = move |stream: &Stream| {
        if message(stream).is_ok_and(|bytes| bytes == vec![7; len]) {
            // The test may have seen enough.
            let _ = came.send(());
        }
    };
    let arrived = receive.clone();
    let closing = move |wire: Builder| wire.session_close_timeout(time);
    let patient = |wire: Builder| wire.session_close_timeout(PATIENCE);
    let handler = move |stream: &mut Stream| match sender {
        Sender::Caller => {
            receive(stream);
            Ok(())
        }
        Sender::Owner => {
            stream.write_message(&vec![7; len])?;
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
                stream.write_message(&vec![7; len]).unwrap();
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
    let arrived = arrivals(&closed, &coming);
    (closed, arrived)
}

/// Waits for the messages that a close says to have delivered.
fn arrivals(closed: &Result<(), ShutdownError>, coming: &Receiver<()>) -> usize {
    if closed.is_err() {
        return 0;
    }
    let arrived = (0..MESSAGES).map_while(|_| coming.recv_timeout(READ).ok());
    arrived.count()
}

/// Each way, each sender and each close, at the same time.
fn on_each(test: impl Fn(Way, Sender, What) + Sync) {
    thread::scope(|scope| {
        for way in ways() {
            for sender in [Sender::Caller, Sender::Owner] {
                for what in [What::Wire, What::Session] {
                    let test = &test;
                    scope.spawn(move || test(way, sender, what));
                }
            }
        }
    });
}

#[test]
fn a_close_for_which_time_is_too_short_says_so_or_has_delivered_all() {
    in_time(|| {
        on_each(|way, sender, what| {
            let (closed, arrived) = send_and_close(way, sender, what, MUCH, SOON);
            assert!(
                closed.is_err() || arrived == MESSAGES,
                "{way:?}, the {sender:?} closes its {what:?}: Ok, and {arrived} of {MESSAGES}"
            );
        });
    });
}

#[test]
fn a_close_for_which_there_is_time_delivers_all() {
    in_time(|| {
        on_each(|way, sender, what| {
            let (closed, arrived) = send_and_close(way, sender, what, LITTLE, PATIENCE);
            assert!(
                closed.is_ok() && arrived == MESSAGES,
                "{way:?}, the {sender:?} closes its {what:?}: {closed:?}, {arrived} of {MESSAGES}"
            );
        });
    });
}

/// A hub's close, of what it has taken in for its clients.
#[test]
fn a_hub_that_closes_too_soon_says_so_or_has_delivered_all() {
    in_time(|| {
        thread::scope(|scope| {
            for way in ways().into_iter().filter(|way| way.slow == Slow::ToOwner) {
                scope.spawn(move || {
                    let (came, coming) = unbounded();
                    let handler = move |stream: &mut Stream| -> io::Result<()> {
                        if message(stream).is_ok_and(|bytes| bytes == [7; MUCH]) {
                            // The test may have seen enough.
                            let _ = came.send(());
                        }
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
                        stream.write_message(&[7; MUCH]).unwrap();
                        stream.close().unwrap();
                    }
                    let closed = path.hub.as_ref().expect("a hub").close();
                    let arrived = arrivals(&closed, &coming);
                    assert!(
                        closed.is_err() || arrived == MESSAGES,
                        "{way:?}: Ok, and {arrived} of {MESSAGES}"
                    );
                });
            }
        });
    });
}
