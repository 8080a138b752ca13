//! What a hub relays, frame by frame, where one of the peers is slow, lost, or
//! means no good.

use crate::{
    peer::{
        NAME, OPEN, Peer, accept, bytes, grant, join, next, open, read_until, relayed, send, sync,
    },
    support::{
        PATIENCE,
        frames::{ACK, DATA, FIN, Frame, GO_AWAY, PING, SYN},
        hand::layer_2,
        in_time,
        link::{Told, errors},
    },
    transport,
};
use crossbeam_channel::{Receiver, bounded};
use std::{io::Write, net::SocketAddr, thread, time::Duration};
use wirenet::{Builder, Operation, Wire};

const REFUSED: u8 = 0x04;
/// What is left of the first window behind the hub's open frame.
const OPENED: u32 = 12 + NAME.len() as u32;
const REST: u32 = 262_144 - OPENED;
/// What the hub keeps of a window, to be able to break a stream off.
const KEPT: u32 = 4;

fn hub(options: impl FnOnce(Builder) -> Builder) -> (Wire, SocketAddr) {
    // Some peers read nothing while others send all they have, which takes a busy
    // machine long: that is no reason to cut them.
    let hub = transport::hub(Wire::hub("127.0.0.1:0")).read_write_timeouts(None, PATIENCE);
    let hub = options(hub).build().unwrap();
    hub.start().unwrap();
    let addr = hub.local_addr().unwrap();
    (hub, addr)
}

fn client(addr: SocketAddr) -> Builder {
    transport::client(Wire::join(addr.to_string()))
}

/// The caller has said all (FIN) and reads slowly; then its connection breaks.
/// The owner waits for credit.
#[test]
fn an_owner_that_waits_for_credit_hears_that_its_caller_is_lost() {
    in_time(|| {
        let (hub, addr) = hub(|hub| hub);
        let (sender, ended) = bounded(1);
        let owner = client(addr)
            .stream(NAME, move |stream| {
                let outcome = loop {
                    if let Err(error) = stream.write_all(&[7; 10_000]) {
                        break error;
                    }
                };
                let _ = sender.send(outcome.to_string());
                Err(outcome)
            })
            .build()
            .unwrap();
        owner.start().unwrap();
        hub.wait_session(PATIENCE).unwrap();
        let caller = join(addr, 1, &[], false);
        open(&caller, 3);
        send(&caller, &[Frame::flags(3, FIN)]);
        // All that it has room for; less than a chunk may be left.
        let mut received = 0;
        while received <= 262_144 - 1028 {
            received += read_until(&caller, |frame| frame.kind == DATA).length;
        }
        sync(&caller);
        drop(caller);
        ended
            .recv_timeout(Duration::from_secs(20))
            .expect("the owner's write fails");
    });
}

/// The other way round: the owner has ended its direction, and is lost.
#[test]
fn a_caller_that_waits_for_credit_hears_that_its_owner_is_lost() {
    in_time(|| {
        let (_hub, addr) = hub(|hub| hub);
        let owner = join(addr, 1, &[NAME], false);
        let caller = client(addr).build().unwrap();
        caller.start().unwrap();
        let session = caller.wait_session(PATIENCE).unwrap();
        let opening = thread::spawn(move || session.open_stream(NAME).unwrap());
        let number = accept(&owner);
        send(&owner, &[Frame::flags(number, FIN)]);
        let mut stream = opening.join().unwrap();
        let (sender, ended) = bounded(1);
        thread::spawn(move || {
            let outcome = loop {
                if let Err(error) = stream.write_all(&[7; 10_000]) {
                    break error;
                }
            };
            let _ = sender.send(outcome.to_string());
        });
        let mut received = OPENED;
        while received <= 262_144 - 1028 {
            received += read_until(&owner, |frame| frame.kind == DATA).length;
        }
        sync(&owner);
        drop(owner);
        ended
            .recv_timeout(Duration::from_secs(20))
            .expect("the caller's write fails");
    });
}

/// What waited for room goes out when there is some; the caller's window is
/// used up, the owner's is not.
#[test]
fn a_caller_gets_credit_for_what_waited_for_room() {
    in_time(|| {
        let (_hub, addr) = hub(|hub| hub.window_budget(0).send_buffer(4096));
        let owner = join(addr, 1, &[NAME], true);
        let caller = join(addr, 2, &[], false);
        let numbers = [3, 5, 7].map(|stream| relayed(&caller, stream, &owner));
        // As a peer does whose windows have grown.
        send(&owner, &numbers.map(|number| grant(number, 0, 1 << 20)));
        sync(&owner);
        sync(&caller);
        let mut granted = [REST; 3];
        for stream in [3, 5, 7] {
            let frame = bytes(stream, 32_000);
            let mut left = REST;
            while left > 0 {
                let count = left.min(32_000);
                send(
                    &caller,
                    &[Frame::data(stream, frame.body[..count as usize].into())],
                );
                left -= count;
            }
        }
        let mut count = |value: u32| {
            let mut ping = Frame::flags(0, SYN);
            (ping.kind, ping.length) = (PING, value);
            send(&caller, &[ping]);
            read_until(&caller, |frame| {
                if frame.is_mere_credit() {
                    granted[(frame.stream as usize - 3) / 2] += frame.length;
                }
                frame.kind == PING && frame.has(ACK) && frame.length == value
            });
        };
        count(8);
        // The owner takes it all.
        let mut received = 0;
        while received < 3 * REST {
            received += read_until(&owner, |frame| frame.kind == DATA).length;
        }
        sync(&owner);
        count(9);
        assert!(
            granted.iter().all(|granted| *granted > REST),
            "the caller may send no more than this: {granted:?}"
        );
    });
}

/// The hub has nothing to report about the owner's session: it says the same
/// of the opening, which it refuses, as its first words.
fn sync_or_told(told: &Receiver<Told>) {
    let (operation, cause) = told.recv_timeout(PATIENCE).unwrap();
    assert_ne!(operation, Operation::Session, "{cause}");
}

/// Large frames for an owner that is slow to take them; the owner opens a
/// stream of its own, and is not to blame for what another client has sent.
#[test]
fn an_owner_is_not_cut_off_for_what_its_callers_send() {
    in_time(|| {
        let (handler, told) = errors();
        let (_hub, addr) = hub(|hub| hub.send_buffer(4096).on_error(handler));
        let owner = join(addr, 1, &[NAME], true);
        let caller = join(addr, 2, &[], false);
        for stream in [3, 5, 7, 9] {
            relayed(&caller, stream, &owner);
        }
        // As hashicorp's yamux sends them: as large as the window allows.
        for stream in [3, 5, 7, 9] {
            send(&caller, &[bytes(stream, 200_000)]);
        }
        sync(&caller);
        let frame = Frame::data(3, layer_2(OPEN, "nobody's", b""));
        send(&owner, &[Frame::flags(3, SYN), frame]);
        sync_or_told(&told);
        let (mut received, mut answered) = (0, false);
        while received < 800_000 || !answered {
            let frame = read_until(&owner, |_| true);
            assert_ne!(frame.kind, GO_AWAY, "code {}", frame.length);
            answered |= frame.stream == 3;
            if frame.kind == DATA && frame.stream != 3 {
                received += frame.length;
            }
        }
    });
}

/// Has a caller's stream 3 carry so much, for which its owner has room on its
/// stream of that number, and reads nothing: the hub has it all.
fn send_bulk(caller: &Peer, (owner, number): (&Peer, u32), count: u32) {
    send(owner, &[grant(number, 0, count)]);
    sync(owner);
    read_until(caller, |frame| frame.is_mere_credit() && frame.length > 0);
    let mut left = count;
    while left > 0 {
        send(caller, &[bytes(3, left.min(32_768))]);
        left -= left.min(32_768);
    }
    sync(caller);
}

/// How much an owner reads on other streams before something comes on one of
/// these.
fn bytes_ahead(owner: &Peer, these: impl Fn(u32) -> bool) -> u32 {
    let mut ahead = 0;
    read_until(owner, |frame| {
        let found = frame.kind == DATA && these(frame.stream);
        if frame.kind == DATA && !found {
            ahead += frame.length;
        }
        found
    });
    ahead
}

/// Two callers with much for one owner on a slow link: they take turns.
#[test]
fn a_callers_few_bytes_do_not_wait_behind_all_of_anothers_bulk() {
    in_time(|| {
        let (_hub, addr) = hub(|hub| hub.send_buffer(4096));
        let owner = join(addr, 1, &[NAME], true);
        let (bulk, few) = (join(addr, 2, &[], false), join(addr, 3, &[], false));
        let number = relayed(&bulk, 3, &owner);
        let other = relayed(&few, 3, &owner);
        const MUCH: u32 = 12 << 20;
        send_bulk(&bulk, (&owner, number), MUCH);
        send(&few, &[bytes(3, 100)]);
        sync(&few);
        let ahead = bytes_ahead(&owner, |stream| stream == other);
        assert!(ahead < 2 << 20, "{ahead} bytes of another's went first");
    });
}

/// A thread of the hub's that has something to send to an owner may take the
/// writing role; it is not to serve relays for as long as they have something.
#[test]
fn the_hubs_own_streams_do_not_wait_behind_all_of_a_relays_bulk() {
    in_time(|| {
        let (hub, addr) = hub(|hub| hub.send_buffer(4096));
        let owner = join(addr, 1, &[NAME], true);
        let session = hub.wait_session(PATIENCE).unwrap();
        let bulk = join(addr, 2, &[], false);
        let number = relayed(&bulk, 3, &owner);
        const MUCH: u32 = 15 << 20;
        send_bulk(&bulk, (&owner, number), MUCH);
        let (starts, started) = bounded(0);
        let opening = thread::spawn(move || {
            starts.send(()).unwrap();
            session.open_stream_nowait("other").map(drop)
        });
        started.recv().unwrap();
        let ahead = bytes_ahead(&owner, |stream| stream != number);
        let _ = opening.join();
        assert!(ahead < 8 << 20, "{ahead} bytes of a relay's went first");
    });
}

/// Credit that an owner gives a byte at a time could make a frame each for a
/// caller that does not read.
#[test]
fn updates_for_a_caller_that_does_not_read_have_a_bound() {
    in_time(|| {
        let (_hub, addr) = hub(|hub| hub.send_buffer(65_536).on_error(|e| eprintln!("{e}")));
        let owner = join(addr, 1, &[NAME], false);
        let caller = join(addr, 2, &[], true);
        const STREAMS: u32 = 128;
        const ROUNDS: u32 = 600;
        let streams: Vec<u32> = (0..STREAMS).map(|i| 3 + 2 * i).collect();
        let mut numbers = Vec::new();
        for stream in &streams {
            numbers.push(relayed(&caller, *stream, &owner));
        }
        for stream in &streams {
            send(&caller, &[bytes(*stream, REST)]);
        }
        let wait_for = |owner: &Peer, count: u32| {
            let mut received = 0;
            while received < count {
                let frame = read_until(owner, |frame| frame.kind == DATA || frame.has(FIN));
                // The call was broken off.
                if frame.has(FIN) {
                    return false;
                }
                received += frame.length;
            }
            true
        };
        assert!(wait_for(&owner, STREAMS * (REST - KEPT)));
        // From here on the caller sends, and reads nothing.
        for _ in 0..ROUNDS {
            let grants: Vec<Frame> = numbers.iter().map(|number| grant(*number, 0, 1)).collect();
            send(&owner, &grants);
            // Of what the hub has kept.
            if !wait_for(&owner, STREAMS) {
                return; // Cut off: that is a bound.
            }
            // The hub has granted the caller as much when it answers.
            let mut ping = Frame::flags(0, SYN);
            ping.kind = PING;
            send(&owner, &[ping]);
            let answer = |frame: &Frame| frame.kind == PING && frame.has(ACK);
            let frame = read_until(&owner, |frame| answer(frame) || frame.has(FIN));
            if frame.has(FIN) {
                return; // Cut off.
            }
            let data: Vec<u8> = streams.iter().flat_map(|s| bytes(*s, 1).encode()).collect();
            if caller.try_send(&data).is_err() {
                return; // The same, a little later.
            }
        }
        // What the hub has kept for it: it all came after the last read.
        let (mut updates, mut granted) = (0u64, 0);
        while granted < ROUNDS * STREAMS {
            let frame = next(&caller);
            if frame.is_mere_credit() {
                updates += 1;
                granted += frame.length;
            }
        }
        let kept = updates * 12;
        assert!(kept < 512 * 1024, "{kept} bytes of updates were kept");
    });
}

/// An owner that answers no openings takes a thread of the hub's for each, but
/// not all of them.
#[test]
fn an_owner_that_does_not_answer_does_not_keep_others_from_being_served() {
    in_time(|| {
        let (_hub, addr) = hub(|hub| hub.handler_limit(8).stream("own", |_| Ok(())));
        let _owner = join(addr, 1, &[NAME], false);
        let caller = join(addr, 2, &[], false);
        for stream in 0..8 {
            open(&caller, 3 + 2 * stream);
        }
        // Two may wait for the owner; the others hear that they may not.
        for _ in 2..8 {
            read_until(&caller, |frame| {
                frame.kind == DATA && frame.body[0] == REFUSED
            });
        }
        let other = client(addr).build().unwrap();
        other.start().unwrap();
        let session = other.wait_session(PATIENCE).unwrap();
        // A refusal leaves a little before its thread is free.
        let served = (0..1000).any(|_| session.open_stream("own").is_ok());
        assert!(served);
    });
}

/// An owner that reads late, with more relays that want to grant it something
/// than grants have room: 1,366 of 12 bytes.
#[test]
fn grants_that_find_no_room_do_not_make_the_writer_spin() {
    in_time(|| {
        let (_hub, addr) = hub(|hub| hub.send_buffer(4096));
        let owner = join(addr, 1, &[NAME], true);
        owner.set_read_timeout(Duration::from_secs(8));
        let callers = [2, 3, 4].map(|id| join(addr, id, &[], false));
        let streams: Vec<u32> = (0..500).map(|i| 3 + 2 * i).collect();
        for caller in &callers {
            for stream in &streams {
                relayed(caller, *stream, &owner);
            }
        }
        // The way to the owner is full.
        send(&callers[0], &[bytes(3, 60_000)]);
        sync(&callers[0]);
        // The least that is granted, twice on each stream.
        for _ in 0..2 {
            for caller in &callers {
                let grants: Vec<Frame> = streams.iter().map(|s| grant(*s, 0, 16_384)).collect();
                send(caller, &grants);
                sync(caller);
            }
        }
        // It reads again, and asks whether the hub is there.
        let mut ping = Frame::flags(0, SYN);
        (ping.kind, ping.length) = (PING, 9);
        send(&owner, &[ping]);
        let mut grants = 0;
        loop {
            match owner.try_next() {
                Ok(Some(frame)) => {
                    grants += u32::from(frame.is_mere_credit());
                    if frame.kind == PING && frame.has(ACK) && frame.length == 9 {
                        break;
                    }
                }
                other => panic!("{other:?} after {grants} grants"),
            }
        }
    });
}
