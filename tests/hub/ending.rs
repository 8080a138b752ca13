//! How the directions of a relayed stream end.

use crate::{
    stage::{Hub, client_of, echo, relay},
    support::{
        PATIENCE,
        encoding::{END, chunks},
        frames::{FIN, Frame, RST},
        in_time,
        pattern::Pattern,
        peer::Peer,
        process::{Other, role, wait_for_parent},
        wires::{means_broken, message},
    },
};
use crossbeam_channel::{Receiver, bounded};
use std::{
    io::{self, Read, Write},
    thread,
    time::Duration,
};
use wirenet::{Refusal, Stream};

/// A handler of an owner, and the values that `work` returns in it.
fn outcome<T: Send + 'static>(
    work: impl Fn(&mut Stream) -> T + Send + Sync + 'static,
) -> (
    impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    Receiver<T>,
) {
    let (sender, outcome) = bounded(16);
    let handler = move |stream: &mut Stream| {
        // A failed test no longer receives.
        let _ = sender.send(work(stream));
        Ok(())
    };
    (handler, outcome)
}

/// The number of bytes up to the end, and how they ended.
fn drain(stream: &mut Stream) -> (usize, Result<(), io::ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    (bytes.len(), end.map(drop).map_err(|error| error.kind()))
}

#[test]
fn a_half_close_of_the_caller_is_relayed_as_a_half_close() {
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.owner("count", |stream| {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            // The other direction is still open.
            stream.write_message(&bytes)
        });
        let caller = hub.caller();
        let mut stream = caller.open("count").unwrap();
        let sent = Pattern::new(2).to_vec(500_000);
        stream.write_all(&sent).unwrap();
        stream.finish().unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == sent);
    });
}

#[test]
fn a_half_close_of_the_owner_is_relayed_as_a_half_close() {
    in_time(|| {
        let hub = Hub::new();
        let (handler, got) = outcome(|stream| {
            stream.write_message(b"that is all").unwrap();
            stream.finish().unwrap();
            drain(stream)
        });
        let _owner = hub.owner("talk", handler);
        let caller = hub.caller();
        let mut stream = caller.open("talk").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "that is all");
        stream.write_all(&[1; 500_000]).unwrap();
        stream.finish().unwrap();
        assert_eq!(got.recv_timeout(PATIENCE).unwrap(), (500_000, Ok(())));
    });
}

#[test]
fn a_reset_by_the_caller_is_relayed_as_a_reset() {
    in_time(|| {
        let hub = Hub::new();
        let (handler, got) = outcome(|stream| {
            stream.write_message(b"ready").unwrap();
            drain(stream).1
        });
        let _owner = hub.owner("drain", handler);
        let caller = hub.caller();
        let stream = caller.open("drain").unwrap();
        assert_eq!(message(&stream).unwrap(), b"ready");
        stream.reset();
        let end = got.recv_timeout(PATIENCE).unwrap();
        assert_eq!(end, Err(io::ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_failed_handler_of_the_owner_is_relayed_as_a_reset() {
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.owner("fail", |stream| {
            message(stream)?;
            Err(io::Error::other("it cannot go on"))
        });
        let caller = hub.caller();
        let mut stream = caller.open("fail").unwrap();
        stream.write_message(b"go").unwrap();
        assert_eq!(drain(&mut stream).1, Err(io::ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_stream_dropped_inside_a_message_is_relayed_as_a_reset() {
    in_time(|| {
        let hub = Hub::new();
        let (handler, got) = outcome(drain);
        let _owner = hub.owner("drain", handler);
        let caller = hub.caller();
        let mut stream = caller.open("drain").unwrap();
        stream.write_all(b"the beginning of").unwrap();
        drop(stream);
        let (_, end) = got.recv_timeout(PATIENCE).unwrap();
        assert_eq!(end, Err(io::ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_half_close_inside_a_chunk_is_truncation() {
    in_time(|| {
        let hub = Hub::new();
        let (handler, got) = outcome(drain);
        let _owner = hub.owner("drain", handler);
        let mut caller = hub.peer("caller", &[]);
        let stream = caller.open("drain");
        let chunk = chunks(&[1; 1000], 1000);
        caller.send(Frame::data(stream, chunk[..500].to_vec()));
        caller.send(Frame::flags(stream, FIN));
        let (_, end) = got.recv_timeout(PATIENCE).unwrap();
        assert_eq!(end, Err(io::ErrorKind::UnexpectedEof));
    });
}

#[test]
fn everything_before_a_half_close_arrives_although_the_caller_leaves_at_once() {
    in_time(|| {
        let hub = Hub::new();
        let (release, released) = bounded::<()>(0);
        let (handler, got) = outcome(move |stream| {
            // The caller has left by then.
            let _ = released.recv();
            let mut bytes = Vec::new();
            let end = stream.read_to_end(&mut bytes);
            end.map(|_| bytes).map_err(|error| error.kind())
        });
        let _owner = hub.owner("late", handler);
        let caller = hub.caller();
        let stream = caller.open("late").unwrap();
        let sent = Pattern::new(12).to_vec(200_000);
        stream.write_message(&sent).unwrap();
        stream.finish().unwrap();
        drop(stream);
        caller.wire.close().unwrap();
        assert!(hub.sessions_are(1));
        drop(release);
        assert!(got.recv_timeout(PATIENCE).unwrap() == Ok(sent));
    });
}

#[test]
fn everything_before_a_half_close_arrives_although_the_owner_leaves_at_once() {
    in_time(|| {
        let hub = Hub::new();
        let sent = Pattern::new(13).to_vec(200_000);
        let to_send = sent.clone();
        let owner = hub.owner("source", move |stream| stream.write_message(&to_send));
        let caller = hub.caller();
        let mut stream = caller.open("source").unwrap();
        owner.wire.close().unwrap();
        assert!(hub.sessions_are(1));
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got == sent);
    });
}

#[test]
fn a_lost_owner_is_an_error_to_its_callers() {
    in_time(|| {
        let hub = Hub::new();
        let (handler, begun) = outcome(|stream| {
            stream.write_message(b"begun").unwrap();
            // Waits for more until the stream is cut.
            drain(stream)
        });
        let owner = hub.owner("lost", handler);
        let caller = hub.caller();
        let mut reading = caller.open("lost").unwrap();
        let mut writing = caller.open("lost").unwrap();
        for stream in [&reading, &writing] {
            assert_eq!(message(stream).unwrap(), b"begun");
        }
        let writer = thread::spawn(move || {
            loop {
                if let Err(error) = writing.write_all(&[0; 10_000]) {
                    return error.kind();
                }
            }
        });
        owner.session.abort();
        let read = reading.read(&mut [0; 1]).unwrap_err().kind();
        assert!(means_broken(read), "{read:?}");
        let written = writer.join().unwrap();
        assert!(means_broken(written), "{written:?}");
        drop(begun);
        // Its name is free.
        assert!(hub.sessions_are(1));
        assert_eq!(caller.open("lost").unwrap_err(), Refusal::HandlerNotFound);
        // The caller's session stays open.
        let _owner = hub.owner("lost", echo);
        assert_eq!(caller.ask("lost", b"again").unwrap(), b"again");
    });
}

#[test]
fn a_killed_owner_is_an_error_to_its_callers() {
    if let Some(addr) = role() {
        let owner = client_of(&addr).stream("killed", |stream| {
            stream.write_message(b"begun")?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
        let owner = owner.build().unwrap();
        owner.start().unwrap();
        crate::support::process::tell("up").unwrap();
        wait_for_parent().unwrap();
        return;
    }
    in_time(|| {
        let hub = Hub::new();
        let test = "ending::a_killed_owner_is_an_error_to_its_callers";
        let mut owner = Other::start(test, &hub.addr).unwrap();
        assert_eq!(owner.told(), "up");
        let caller = hub.caller();
        let mut stream = caller.open("killed").unwrap();
        assert_eq!(message(&stream).unwrap(), b"begun");
        owner.kill().unwrap();
        let error = stream.read(&mut [0; 1]).unwrap_err().kind();
        assert!(means_broken(error), "{error:?}");
    });
}

#[test]
fn a_lost_caller_is_an_error_to_the_owner() {
    in_time(|| {
        let hub = Hub::new();
        let (handler, ended) = outcome(|stream| {
            stream.write_message(b"begun").unwrap();
            let read = stream.read(&mut [0; 1]).unwrap_err().kind();
            let written = loop {
                if let Err(error) = stream.write_all(&[0; 10_000]) {
                    break error.kind();
                }
            };
            [read, written]
        });
        let _owner = hub.owner("echo", handler);
        let caller = hub.caller();
        let stream = caller.open("echo").unwrap();
        assert_eq!(message(&stream).unwrap(), b"begun");
        caller.session.abort();
        for error in ended.recv_timeout(PATIENCE).unwrap() {
            assert!(means_broken(error), "{error:?}");
        }
    });
}

/// The owner has ended its direction, reads nothing, and is lost.
#[test]
fn a_lost_owner_that_had_finished_is_an_error_to_a_caller_that_waits_for_credit() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("owner", &["name"]);
        let caller = hub.caller();
        let (mut stream, far) = owner.accept_from(&caller.session, "name");
        let all = [&chunks(b"all", 3)[..], &END].concat();
        owner.send(Frame::data(far, all));
        owner.send(Frame::flags(far, FIN));
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        assert_eq!(said, b"all");
        // Until there is no room at the owner and on the way.
        stream
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        while stream.write_all(&[0; 10_000]).is_ok() {}
        stream.set_write_timeout(None).unwrap();
        stream.resume();
        let stream = stream.try_clone().unwrap();
        let writer = thread::spawn(move || {
            let mut written = 0;
            loop {
                match (&stream).write(&[0; 10_000]) {
                    Ok(count) => written += count,
                    Err(error) => return (written, error.kind()),
                }
            }
        });
        drop(owner);
        let (written, error) = writer.join().unwrap();
        assert!(means_broken(error), "{error:?}");
        assert!(written < 1 << 20, "{written}");
    });
}

#[test]
fn many_resets_leave_no_streams_behind() {
    in_time(|| {
        let hub = Hub::new();
        let owner = hub.owner("echo", echo);
        let caller = hub.caller();
        thread::scope(|scope| {
            for seed in 0..4 {
                let caller = &caller;
                scope.spawn(move || {
                    for round in 0..100 {
                        let session = &caller.session;
                        let stream = match (seed + round) % 2 {
                            0 => session.open_stream("echo").unwrap(),
                            _ => session.open_stream_nowait("echo").unwrap(),
                        };
                        // The answer to an earlier one may have come.
                        let _ = stream.write_message([3; 5_000]);
                        stream.reset();
                    }
                });
            }
        });
        assert_eq!(caller.ask("echo", b"well?").unwrap(), b"well?");
        // No stream is left that a close would wait for.
        caller.wire.close().unwrap();
        owner.wire.close().unwrap();
        hub.wire.close().unwrap();
    });
}

/// The bytes of a caller that the owner has no room for: the hub opens streams
/// with a token, the caller without one.
const LEFT: usize = 3 * 1024;
pub const TOKEN: [u8; 4_000] = [b't'; 4_000];

/// A caller sends more than the owner has room for, the owner ends its direction,
/// and the caller leaves. Returns the id of the owner's stream.
pub fn leave_some(hub: &Hub, owner: &mut Peer) -> u32 {
    let said = chunks(&Pattern::new(9).to_vec(255 * 1020), 1020);
    let mut caller = hub.peer("caller", &[]);
    let (stream, far) = relay(&mut caller, owner, "name");
    for part in said.chunks(15 * 1024) {
        caller.send(Frame::data(stream, part.to_vec()));
    }
    caller.send(Frame::flags(stream, FIN));
    let mut came = 0;
    while came < said.len() - LEFT {
        came += owner.next_of(far).body.len();
    }
    assert_eq!(came, said.len() - LEFT);
    owner.send(Frame::flags(far, FIN));
    // From here on, only the owner's connection has the stream.
    caller.wait(|frame| frame.stream == stream && frame.has(FIN));
    far
}

/// Asserts that the rest and the end arrive once there is room.
fn assert_gets_the_rest(owner: &mut Peer, stream: u32) {
    owner.grant(stream, 10_000);
    let rest = owner.next_of(stream);
    assert_eq!((rest.body.len(), rest.has(RST)), (LEFT, false));
    assert!(owner.next_of(stream).has(FIN));
}

#[test]
fn what_callers_that_have_left_sent_waits_for_the_owner_within_a_bound() {
    const BOUND: usize = 3;
    in_time(|| {
        let hub = Hub::with(|hub| hub.identification("hub", TOKEN).max_streams(BOUND));
        let mut owner = hub.peer("owner", &["name"]);
        let waiting = [(); BOUND].map(|()| leave_some(&hub, &mut owner));
        let one_too_many = leave_some(&hub, &mut owner);
        owner.expect_reset(one_too_many);
        assert_gets_the_rest(&mut owner, waiting[0]);
        // There is room for one more stream.
        let another = leave_some(&hub, &mut owner);
        let one_too_many = leave_some(&hub, &mut owner);
        owner.expect_reset(one_too_many);
        for stream in [waiting[1], waiting[2], another] {
            assert_gets_the_rest(&mut owner, stream);
        }
    });
}
