//! Peers that hold resources which others need: they do not read, leave streams
//! half open, keep handlers busy, or own names and do not answer.

use crate::{
    attack::Attack,
    server::{HUBS, PLAIN, Setup, TCP, TCP_AND_TLS},
    support::{
        frames::{DATA, FIN, Frame, RST},
        peer::Peer,
    },
};
use crossbeam_channel::{RecvTimeoutError, bounded};
use std::{
    io::{Read, Write},
    thread,
    time::{Duration, Instant},
};

/// The time that a peer has to read something.
const PATIENCE: Duration = Duration::from_millis(500);

/// A handler that writes as long as it can, and does not read.
pub const POURING: Setup = Setup {
    name: "pouring",
    set: |builder| {
        let pour = |stream: &mut wirenet::Stream| {
            loop {
                stream.write_all(&[7; 4096])?;
            }
        };
        let builder = builder.read_write_timeouts(None, PATIENCE);
        builder.stream("pour", pour)
    },
};

/// Waits.
pub fn pass(time: Duration) {
    let (_sender, nothing) = bounded::<()>(0);
    nothing.recv_timeout(time).unwrap_err();
}

/// Opens 64 streams of the pouring handler, with more credit than it ever uses.
fn open_pouring(member: &mut Peer) {
    for _ in 0..64 {
        let id = member.call("pour");
        member.send(Frame::grant(id, 1 << 31));
    }
}

#[test]
fn a_peer_that_reads_nothing_is_disconnected_at_the_write_timeout() {
    let attack = Attack {
        name: "64 streams with endless data to send, of which the peer reads nothing",
        limit: "write timeout, here 500 ms; 256 KiB queued",
        setup: &POURING,
        memory: 2 << 20,
    };
    attack.run_at_once(TCP_AND_TLS, |stage| {
        let mut member = stage.server.member();
        let began = Instant::now();
        open_pouring(&mut member);
        stage.server.report("pour");
        let took = began.elapsed();
        assert!(took < 20 * PATIENCE, "{took:?}");
        format!("cut after {took:.1?}")
    });
}

#[test]
fn a_peer_that_reads_byte_by_byte_costs_only_its_own_session() {
    let attack = Attack {
        name: "the same, with one byte read every 100 ms",
        limit: "write timeout, here 500 ms; 256 KiB queued",
        setup: &POURING,
        memory: 2 << 20,
    };
    attack.run(TCP, |stage| {
        let mut member = stage.server.member();
        let began = Instant::now();
        open_pouring(&mut member);
        let (reported, is_reported) = bounded::<()>(0);
        let (took, count) = thread::scope(|scope| {
            // It reads until the server has disconnected it.
            let reading = scope.spawn(move || {
                let mut count = 0;
                while is_reported.recv_timeout(PATIENCE / 5) == Err(RecvTimeoutError::Timeout) {
                    // The connection may have ended.
                    count += member.read(&mut [0]).unwrap_or(0);
                }
                count
            });
            stage.server.report("pour");
            let took = began.elapsed();
            drop(reported);
            (took, reading.join().unwrap())
        });
        assert!(took < 10 * PATIENCE, "{took:?}, {count} bytes");
        assert!(count > 0, "it has read none");
        format!("cut after {took:.1?} and {count} bytes: one byte frees no room")
    });
}

#[test]
fn unread_single_bytes_take_at_most_twice_their_size() {
    let attack = Attack {
        name: "256,000 frames of one byte to a handler that does not read",
        limit: "a window of 262,144 bytes",
        setup: &POURING,
        memory: 1 << 20,
    };
    attack.run(TCP, |stage| {
        let mut member = stage.server.member();
        let id = member.open("pour");
        let bytes = Frame::data(id, vec![7]).encode().repeat(1024);
        for _ in 0..250 {
            member.send_bytes(&bytes);
        }
        member.settle();
        member.send(Frame::flags(id, RST));
        "stored as bytes; the session goes on".into()
    });
}

#[test]
fn half_open_streams_are_evicted() {
    let attack = Attack {
        name: "600 streams whose handlers have ended and that the peer leaves half open",
        limit: "max_streams 512, write timeout, here 500 ms",
        setup: &POURING,
        memory: 1 << 20,
    };
    attack.run(TCP, |stage| {
        let mut member = stage.server.member();
        let ids: Vec<u32> = (0..600).map(|_| member.call("nobody's")).collect();
        let refused = ids.iter().filter(|id| member.ends_gracefully(**id)).count();
        assert_eq!(refused, 600, "the last ones had to wait");
        // When their time has passed, new streams are accepted.
        pass(PATIENCE);
        let again: Vec<u32> = (0..512).map(|_| member.call("nobody's")).collect();
        assert!(again.iter().all(|id| member.ends_gracefully(*id)));
        let reset = member.settle();
        let reset = reset.iter().filter(|frame| frame.has(RST)).count();
        assert_eq!(reset, 600, "of 1,112, of which 512 are left");
        "512 accepted, 88 held; after 500 ms the held ones take their places".into()
    });
}

/// The number of these streams that are accepted.
fn accepted(member: &mut Peer, ids: &[u32]) -> usize {
    let answers = ids.iter().map(|id| {
        member.wait(|frame| frame.stream == *id && (frame.kind == DATA || frame.has(RST)))
    });
    answers
        .filter(|frame| frame.body.first() == Some(&8))
        .count()
}

#[test]
fn sessions_that_keep_their_handlers_busy_leave_some_to_others() {
    let attack = Attack {
        name: "4 sessions that open 512 streams each and keep them",
        limit: "handler_limit 1,024, half of the free ones per session",
        setup: &PLAIN,
        memory: 16 << 20,
    };
    attack.run(TCP, |stage| {
        let mut members: Vec<_> = (0..4).map(|_| stage.server.member()).collect();
        let mut counts = Vec::new();
        for member in &mut members {
            let ids: Vec<u32> = (0..512).map(|_| member.call("echo")).collect();
            counts.push(accepted(member, &ids));
        }
        let taken: usize = counts.iter().sum();
        assert!(counts[1] >= 200 && taken < 1000, "{counts:?}");
        for _ in 0..20 {
            stage.honest.opens("echo").unwrap();
        }
        format!("they get {counts:?}; other sessions can still open streams")
    });
}

#[test]
fn owners_that_do_not_answer_leave_handlers_to_others() {
    let attack = Attack {
        name: "40 owners that do not answer, and 4 callers with 400 calls each",
        limit: "handler_limit 1,024, 7/8 for unanswered calls",
        setup: &PLAIN,
        memory: 16 << 20,
    };
    attack.run(HUBS, |stage| {
        let names: Vec<String> = (0..40).map(|number| format!("mute-{number}")).collect();
        let own = |name: &String| stage.server.owner(&[name.as_str()]);
        let _owners: Vec<Peer> = names.iter().map(own).collect();
        let mut callers: Vec<_> = (0..4).map(|_| stage.server.member()).collect();
        for caller in &mut callers {
            for number in 0..400 {
                caller.call(&names[number % names.len()]);
            }
        }
        let refused = callers.iter_mut().map(|caller| {
            let frames = caller.settle();
            frames.iter().filter(|frame| frame.has(FIN)).count()
        });
        let refused: usize = refused.sum();
        assert!(refused >= 1600 - 1024, "{refused}");
        for _ in 0..20 {
            stage.honest.opens("echo").unwrap();
        }
        format!("{refused} of 1,600 refused; the hub's own streams can still be opened")
    });
}
