//! Seeing that the peer has ended a stream: a handler learns that its caller has left.

use crate::support::{
    in_time,
    peer::Peer,
    wires::{Link, as_it_is, joining, message, mounting, started},
};
use crossbeam_channel::{Receiver, bounded, unbounded};
use std::{
    io::{self, Read},
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use wirenet::{Builder, Session, Stream, Wire};

const SHORT: Duration = Duration::from_millis(20);

/// Whether the caller has left, and what a read of its next message returned then.
type Found = (bool, io::Result<Vec<u8>>);

/// Ignores the errors that resets cause.
fn quiet(builder: Builder) -> Builder {
    builder.on_error(|_| {})
}

/// Makes `server` handle "wait": the handler says that it runs, waits for its caller to
/// leave, and sends what it then finds.
fn waiting(server: Builder) -> (Builder, Receiver<Found>) {
    let (found, finds) = unbounded();
    let server = server.stream("wait", move |stream| {
        assert!(!stream.peer_has_ended());
        stream.write_message(b"running")?;
        let has_left = stream.wait_for_peer_end(None);
        assert_eq!(stream.peer_has_ended(), has_left);
        found.send((has_left, message(stream))).unwrap();
        Ok(())
    });
    (quiet(server), finds)
}

/// Opens "wait", and waits until its handler runs.
fn call(session: &Session) -> Stream {
    let stream = session.open_stream("wait").unwrap();
    assert_eq!(message(&stream).unwrap(), b"running");
    stream
}

/// The ways in which a caller leaves, and whether what it sent before is lost.
const LEAVES: [(fn(Stream), bool); 4] = [
    (drop, false),
    (|stream| stream.close().unwrap(), false),
    (|stream| stream.reset(), true),
    (|stream| stream.session().abort(), true),
];

/// Calls "wait" through `caller`, leaves, and checks what the handler finds.
fn assert_leaving_is_seen(
    caller: &Wire,
    finds: &Receiver<Found>,
    (leave, loses): (fn(Stream), bool),
) {
    let stream = call(&caller.sessions()[0]);
    // It stays readable, unless it is lost on the way.
    stream.write_message([7; 1000]).unwrap();
    leave(stream);
    let (has_left, read) = finds.recv().unwrap();
    assert!(has_left);
    assert!(loses || read.unwrap() == [7; 1000]);
}

#[test]
fn a_handler_sees_that_its_caller_has_left_in_whatever_way() {
    for way in LEAVES {
        in_time(move || {
            let (serving, finds) = waiting(mounting());
            let server = started(serving);
            let caller = started(joining(&server).retry_max(0));
            assert_leaving_is_seen(&caller, &finds, way);
        });
    }
}

#[test]
fn an_owner_behind_a_hub_sees_that_its_caller_has_left_in_whatever_way() {
    for way in LEAVES {
        in_time(move || {
            let hub = started(quiet(Wire::hub("127.0.0.1:0")));
            let (owning, finds) = waiting(joining(&hub).retry_max(0));
            let _owner = started(owning);
            let caller = started(joining(&hub).retry_max(0));
            assert_leaving_is_seen(&caller, &finds, way);
        });
    }
}

/// The caller fills the window, and the handler reads nothing.
#[test]
fn the_end_needs_no_window() {
    in_time(|| {
        let (serving, finds) = waiting(mounting());
        let server = started(serving);
        let client = started(joining(&server).retry_max(0));
        let stream = call(&client.sessions()[0]);
        stream.set_write_timeout(Some(SHORT)).unwrap();
        stream.write_message(vec![7; 1_000_000]).unwrap_err();
        drop(stream);
        assert!(finds.recv().unwrap().0);
    });
}

/// The peer is scripted, and its socket is closed while its stream is open.
#[test]
fn a_handler_sees_that_the_process_of_its_caller_has_died() {
    in_time(|| {
        let (serving, finds) = waiting(mounting());
        let server = started(serving);
        let mut caller = Peer::join(&server, [1; 16]);
        let id = caller.open("wait");
        caller.wait(|frame| frame.stream == id && !frame.body.is_empty());
        drop(caller);
        assert!(finds.recv().unwrap().0);
    });
}

#[test]
fn the_end_of_a_message_is_not_the_end_of_the_stream() {
    in_time(|| {
        let link = Link::serving("ask", |stream| {
            assert_eq!(message(stream)?, b"question");
            assert!(!stream.wait_for_peer_end(Some(SHORT)));
            stream.write_message(b"still there")
        });
        let stream = link.near.open_stream("ask").unwrap();
        stream.write_message(b"question").unwrap();
        assert_eq!(message(&stream).unwrap(), b"still there");
        // The handler has returned, or is about to.
        assert!(stream.wait_for_peer_end(None));
        assert!(stream.peer_has_ended() && !stream.is_closed());
        assert!(!stream.next_message().unwrap());
    });
}

/// The waits use other handles of the stream than the one that ends it.
#[test]
fn a_wait_ends_with_the_stream_on_this_side() {
    for end in [|stream: &Stream| stream.close().unwrap(), Stream::reset] {
        in_time(move || {
            let link = Link::new(
                |server| {
                    quiet(server).stream("idle", |stream| {
                        stream.wait_for_peer_end(None);
                        Ok(())
                    })
                },
                as_it_is,
            );
            let stream = link.near.open_stream("idle").unwrap();
            let waits = [(); 3].map(|()| {
                let stream = stream.clone();
                thread::spawn(move || stream.wait_for_peer_end(None))
            });
            assert!(!stream.wait_for_peer_end(Some(SHORT)));
            end(&stream);
            for wait in waits {
                // The peer may already have answered with its own end.
                wait.join().unwrap();
            }
            stream.wait_for_peer_end(None);
        });
    }
}

#[test]
fn a_wait_ends_when_the_handler_returns() {
    in_time(|| {
        let (sender, waits) = bounded(2);
        let link = Link::new(
            |server| {
                quiet(server).stream("quick", move |stream| {
                    let watched = stream.clone();
                    let wait = thread::spawn(move || watched.wait_for_peer_end(None));
                    sender.send(wait).unwrap();
                    match stream.next_message()? {
                        true => Ok(()),
                        false => Err(io::Error::other("failed")),
                    }
                })
            },
            as_it_is,
        );
        let stream = link.near.open_stream("quick").unwrap();
        stream.write_message(b"return").unwrap();
        assert!(!waits.recv().unwrap().join().unwrap());
        // The handler fails.
        drop(link.near.open_stream("quick").unwrap());
        assert!(waits.recv().unwrap().join().unwrap());
    });
}

#[test]
fn a_wait_takes_nothing_away_from_a_reader() {
    in_time(|| {
        let (tell, told) = bounded(1);
        let link = Link::serving("count", move |mut stream| {
            let watched = stream.clone();
            let wait = thread::spawn(move || watched.wait_for_peer_end(None));
            let size = io::copy(&mut stream, &mut io::sink())?;
            stream.write_message(size.to_string().as_bytes())?;
            tell.send(wait.join().unwrap()).unwrap();
            Ok(())
        });
        let mut stream = link.near.open_stream("count").unwrap();
        stream.write_message(vec![7; 1_000_000]).unwrap();
        let mut size = String::new();
        stream.read_to_string(&mut size).unwrap();
        assert_eq!(size, "1000000");
        drop(stream);
        assert!(told.recv().unwrap());
    });
}

#[cfg(unix)]
#[test]
fn a_program_that_a_handler_runs_is_killed_when_its_caller_leaves() {
    in_time(|| {
        let (exited, exits) = bounded(1);
        let link = Link::new(
            |server| {
                quiet(server).stream("run", move |stream| {
                    let mut sleep = Command::new("sleep");
                    let mut child = sleep.arg("100").stdout(Stdio::piped()).spawn()?;
                    let mut output = child.stdout.take().expect("it is piped");
                    let (caller, exited) = (stream.clone(), exited.clone());
                    thread::spawn(move || {
                        caller.wait_for_peer_end(None);
                        let status = child.kill().and_then(|()| child.wait());
                        exited.send(status).unwrap();
                    });
                    io::copy(&mut output, stream)?;
                    stream.finish()
                })
            },
            as_it_is,
        );
        drop(link.near.open_stream("run").unwrap());
        let status = exits.recv().unwrap().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
    });
}
