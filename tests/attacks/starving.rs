//! Peers that take what others need: they do not read, leave streams half open,
//! keep handlers, or own names and do not answer.

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

/// What a peer has to take something in.
const PATIENCE: Duration = Duration::from_millis(500);

/// A handler that writes for as long as it is let, and does not read.
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

/// Waits for so long on what does not happen.
pub fn pass(time: Duration) {
    let (_sender, nothing) = bounded::<()>(0);
    nothing.recv_timeout(time).unwrap_err();
}

/// 64 streams that pour, with more credit than will ever be used.
fn poured_at(member: &mut Peer) {
    for _ in 0..64 {
        let id = member.call("pour");
        member.send(Frame::grant(id, 1 << 31));
    }
}

#[test]
fn who_reads_nothing_is_gone_within_the_write_timeout() {
    let attack = Attack {
        name: "64 streams owed data without end, and nothing read",
        limit: "write timeout, here 500 ms; 256 KiB wait",
        setup: &POURING,
        memory: 2 << 20,
    };
    attack.run(TCP_AND_TLS, |stage| {
        let mut member = stage.server.member();
        let began = Instant::now();
        poured_at(&mut member);
        stage.server.report("pour");
        let took = began.elapsed();
        assert!(took < 20 * PATIENCE, "{took:?}");
        format!("cut after {took:.1?}")
    });
}

#[test]
fn who_reads_byte_by_byte_costs_its_own_session_only() {
    let attack = Attack {
        name: "the same, and a byte read every 100 ms",
        limit: "write timeout, here 500 ms; 256 KiB wait",
        setup: &POURING,
        memory: 2 << 20,
    };
    attack.run(TCP, |stage| {
        let mut member = stage.server.member();
        let began = Instant::now();
        poured_at(&mut member);
        let (reported, is_reported) = bounded::<()>(0);
        let (took, count) = thread::scope(|scope| {
            // It reads on until the server has cut it.
            let reading = scope.spawn(move || {
                let mut count = 0;
                while is_reported.recv_timeout(PATIENCE / 5) == Err(RecvTimeoutError::Timeout) {
                    // It may have ended.
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
        format!("cut after {took:.1?} and {count} bytes: a byte makes no room")
    });
}

#[test]
fn single_bytes_for_a_handler_that_does_not_read_take_twice_their_size() {
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
        "held as bytes; the session goes on".into()
    });
}

#[test]
fn streams_left_half_open_give_way() {
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
        assert_eq!(refused, 600, "the last have had to wait");
        // They have had their time, and as many again are let in.
        pass(PATIENCE);
        let again: Vec<u32> = (0..512).map(|_| member.call("nobody's")).collect();
        assert!(again.iter().all(|id| member.ends_gracefully(*id)));
        let reset = member.settle();
        let reset = reset.iter().filter(|frame| frame.has(RST)).count();
        assert_eq!(reset, 600, "of 1,112, of which 512 are left");
        "512 let in, 88 held; after 500 ms the next take their places".into()
    });
}

/// How many of the streams are accepted.
fn accepted(member: &mut Peer, ids: &[u32]) -> usize {
    let answers = ids.iter().map(|id| {
        member.wait(|frame| frame.stream == *id && (frame.kind == DATA || frame.has(RST)))
    });
    answers
        .filter(|frame| frame.body.first() == Some(&8))
        .count()
}

#[test]
fn sessions_that_keep_their_handlers_leave_some_to_others() {
    let attack = Attack {
        name: "4 sessions that open 512 streams each and keep them",
        limit: "handler_limit 1,024, half of what is free",
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
        format!("they have {counts:?}; others go on opening")
    });
}

#[test]
fn owners_that_do_not_answer_leave_handlers_to_others() {
    let attack = Attack {
        name: "40 owners that do not answer, and 4 callers with 400 calls each",
        limit: "handler_limit 1,024, 7/8 for calls not answered",
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
        format!("{refused} of 1,600 refused; the hub's own streams go on opening")
    });
}
