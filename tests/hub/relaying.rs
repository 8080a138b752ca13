//! What a hub relays, frame by frame, when a peer is slow, lost, or hostile.

use crate::{
    stage::{Hub, connect, relay},
    support::{
        PATIENCE,
        encoding::{ERROR, request},
        frames::{ACK, DATA, FIN, Frame, GO_AWAY, PING},
        in_time,
        peer::Peer,
        wires::{Told, errors},
    },
};
use crossbeam_channel::{Receiver, bounded};
use std::{
    io::{self, Write},
    thread,
    time::Duration,
};
use wirenet::{Builder, Operation, Stream};

/// The name of the streams.
const NAME: &str = "name";
/// What the hub's open frame takes of the first window, and what it leaves.
const OPENED: u32 = 12 + NAME.len() as u32;
const REST: u32 = 262_144 - OPENED;
/// The credit of a window that the hub keeps to abort the stream.
const KEPT: u32 = 4;

fn hub(options: impl FnOnce(Builder) -> Builder) -> Hub {
    // Some peers read nothing while others send everything, which may take long on a
    // busy machine. They must not be disconnected for that.
    Hub::with(|hub| options(hub.read_write_timeouts(None, PATIENCE)))
}

fn owner(hub: &Hub) -> Peer {
    hub.old_peer("", &[NAME])
}

fn caller(hub: &Hub) -> Peer {
    hub.old_peer("", &[])
}

/// A peer with a small receive buffer, so that the kernel does not hold what it does
/// not read.
fn small(hub: &Hub, names: &[&str]) -> Peer {
    let socket = |socket: &socket2::Socket| socket.set_recv_buffer_size(4096);
    let mut peer = connect(&hub.addr, socket);
    peer.ask(&request("", names));
    peer
}

fn write_until_error(stream: &mut Stream) -> io::Error {
    loop {
        if let Err(error) = stream.write_all(&[7; 10_000]) {
            return error;
        }
    }
}

fn bytes(stream: u32, count: u32) -> Frame {
    Frame::data(stream, vec![7; count as usize])
}

/// The caller has sent its FIN and reads slowly. Then its connection is lost, while
/// the owner waits for credit.
#[test]
fn a_lost_caller_is_an_error_to_an_owner_that_waits_for_credit() {
    in_time(|| {
        let hub = hub(|hub| hub);
        let (sender, ended) = bounded(1);
        let _owner = hub.owner(NAME, move |stream| {
            let error = write_until_error(stream);
            let _ = sender.send(error.to_string());
            Err(error)
        });
        hub.wire.wait_session(PATIENCE).unwrap();
        let mut caller = caller(&hub);
        caller.call(NAME);
        caller.send(Frame::flags(3, FIN));
        // All that it has room for, but for less than a chunk.
        let mut received = 0;
        while received <= 262_144 - 1028 {
            received += caller.skip_to(|frame| frame.kind == DATA).length;
        }
        caller.settle();
        drop(caller);
        ended
            .recv_timeout(Duration::from_secs(20))
            .expect("the owner's write fails");
    });
}

/// The owner has ended its direction, and is lost while the caller waits for credit.
#[test]
fn a_lost_owner_is_an_error_to_a_caller_that_waits_for_credit() {
    in_time(|| {
        let hub = hub(|hub| hub);
        let mut owner = owner(&hub);
        let caller = hub.caller();
        let session = caller.session.clone();
        let opening = thread::spawn(move || session.open_stream(NAME).unwrap());
        let number = owner.accept_next();
        owner.send(Frame::flags(number, FIN));
        let mut stream = opening.join().unwrap();
        let (sender, ended) = bounded(1);
        thread::spawn(move || sender.send(write_until_error(&mut stream).to_string()));
        let mut received = OPENED;
        while received <= 262_144 - 1028 {
            received += owner.skip_to(|frame| frame.kind == DATA).length;
        }
        owner.settle();
        drop(owner);
        ended
            .recv_timeout(Duration::from_secs(20))
            .expect("the caller's write fails");
    });
}

/// Data that waited for room is sent when there is some. The caller's window is used
/// up, the owner's is not.
#[test]
fn a_caller_gets_credit_for_data_that_waited_for_room() {
    in_time(|| {
        let hub = hub(|hub| hub.window_budget(0).send_buffer(4096));
        let mut owner = small(&hub, &[NAME]);
        let mut caller = caller(&hub);
        let numbers = [3, 5, 7].map(|_| relay(&mut caller, &mut owner, NAME).1);
        // As a peer with grown windows does.
        owner.send(numbers.map(|number| Frame::grant(number, 1 << 20)));
        owner.settle();
        caller.settle();
        let mut granted = [REST; 3];
        for stream in [3, 5, 7] {
            let mut left = REST;
            while left > 0 {
                let count = left.min(32_000);
                caller.send(bytes(stream, count));
                left -= count;
            }
        }
        let mut count = |value: u32| {
            caller.send(Frame::ping(value));
            caller.skip_to(|frame| {
                if frame.is_mere_credit() {
                    granted[(frame.stream as usize - 3) / 2] += frame.length;
                }
                *frame == Frame::pong(value)
            });
        };
        count(8);
        // The owner reads everything.
        let mut received = 0;
        while received < 3 * REST {
            received += owner.skip_to(|frame| frame.kind == DATA).length;
        }
        owner.settle();
        count(9);
        assert!(
            granted.iter().all(|granted| *granted > REST),
            "the caller may send no more than this: {granted:?}"
        );
    });
}

/// Asserts that the first report is about the opening that the hub refuses, and not
/// about the owner's session.
fn assert_reports_no_session(told: &Receiver<Told>) {
    let (operation, cause) = told.recv_timeout(PATIENCE).unwrap();
    assert_ne!(operation, Operation::Session, "{cause}");
}

/// Large frames wait for a slow owner, which opens a stream of its own. It is not to
/// blame for what other clients have sent.
#[test]
fn an_owner_is_not_disconnected_for_what_its_callers_send() {
    in_time(|| {
        let (handler, told) = errors();
        let hub = hub(|hub| hub.send_buffer(4096).on_error(handler));
        let mut owner = small(&hub, &[NAME]);
        let mut caller = caller(&hub);
        for _ in 0..4 {
            relay(&mut caller, &mut owner, NAME);
        }
        // As hashicorp's yamux sends them: as large as the window allows.
        for stream in [3, 5, 7, 9] {
            caller.send(bytes(stream, 200_000));
        }
        caller.settle();
        owner.call("nobody's");
        assert_reports_no_session(&told);
        let (mut received, mut answered) = (0, false);
        while received < 800_000 || !answered {
            let frame = owner.skip_to(|_| true);
            assert_ne!(frame.kind, GO_AWAY, "code {}", frame.length);
            answered |= frame.stream == 3;
            if frame.kind == DATA && frame.stream != 3 {
                received += frame.length;
            }
        }
    });
}

/// Sends `count` bytes on a caller's stream 3. Its owner grants room for them on its
/// stream `number`, and reads nothing, so the hub buffers them.
fn send_bulk(caller: &mut Peer, (owner, number): (&mut Peer, u32), count: u32) {
    owner.send(Frame::grant(number, count));
    owner.settle();
    caller.skip_to(|frame| frame.is_mere_credit() && frame.length > 0);
    let mut left = count;
    while left > 0 {
        caller.send(bytes(3, left.min(32_768)));
        left -= left.min(32_768);
    }
    caller.settle();
}

/// The bytes that an owner reads on other streams before data comes on one of these.
fn bytes_ahead(owner: &mut Peer, these: impl Fn(u32) -> bool) -> u32 {
    let mut ahead = 0;
    owner.skip_to(|frame| {
        let found = frame.kind == DATA && these(frame.stream);
        if frame.kind == DATA && !found {
            ahead += frame.length;
        }
        found
    });
    ahead
}

/// Two callers that send to one owner on a slow link take turns.
#[test]
fn a_few_bytes_do_not_wait_for_all_of_another_callers_bulk() {
    in_time(|| {
        let hub = hub(|hub| hub.send_buffer(4096));
        let mut owner = small(&hub, &[NAME]);
        let (mut bulk, mut few) = (caller(&hub), caller(&hub));
        let (_, number) = relay(&mut bulk, &mut owner, NAME);
        let (_, other) = relay(&mut few, &mut owner, NAME);
        const MUCH: u32 = 12 << 20;
        send_bulk(&mut bulk, (&mut owner, number), MUCH);
        few.send(bytes(3, 100));
        few.settle();
        let ahead = bytes_ahead(&mut owner, |stream| stream == other);
        assert!(ahead < 2 << 20, "{ahead} bytes of another's went first");
    });
}

/// A thread of the hub that sends to an owner may take the writing role. It must not
/// serve relays as long as they have data.
#[test]
fn the_hubs_own_streams_do_not_wait_for_all_of_a_relays_bulk() {
    in_time(|| {
        let hub = hub(|hub| hub.send_buffer(4096));
        let mut owner = small(&hub, &[NAME]);
        let session = hub.wire.wait_session(PATIENCE).unwrap();
        let mut bulk = caller(&hub);
        let (_, number) = relay(&mut bulk, &mut owner, NAME);
        const MUCH: u32 = 15 << 20;
        send_bulk(&mut bulk, (&mut owner, number), MUCH);
        let (starts, started) = bounded(0);
        let opening = thread::spawn(move || {
            starts.send(()).unwrap();
            session.open_stream_nowait("other").map(drop)
        });
        started.recv().unwrap();
        let ahead = bytes_ahead(&mut owner, |stream| stream != number);
        let _ = opening.join();
        assert!(ahead < 8 << 20, "{ahead} bytes of a relay's went first");
    });
}

/// An owner that grants one byte at a time could cause a frame for each to a caller
/// that does not read.
#[test]
fn window_updates_for_a_caller_that_does_not_read_are_bounded() {
    in_time(|| {
        let hub = hub(|hub| hub.send_buffer(65_536).on_error(|e| eprintln!("{e}")));
        let mut owner = owner(&hub);
        let mut caller = small(&hub, &[]);
        const STREAMS: u32 = 128;
        const ROUNDS: u32 = 600;
        let (streams, numbers): (Vec<u32>, Vec<u32>) = (0..STREAMS)
            .map(|_| relay(&mut caller, &mut owner, NAME))
            .unzip();
        for stream in &streams {
            caller.send(bytes(*stream, REST));
        }
        let wait_for = |owner: &mut Peer, count: u32| {
            let mut received = 0;
            while received < count {
                let frame = owner.skip_to(|frame| frame.kind == DATA || frame.has(FIN));
                // The call was aborted.
                if frame.has(FIN) {
                    return false;
                }
                received += frame.length;
            }
            true
        };
        assert!(wait_for(&mut owner, STREAMS * (REST - KEPT)));
        // From here on the caller sends, and reads nothing.
        for _ in 0..ROUNDS {
            let grants: Vec<Frame> = numbers
                .iter()
                .map(|number| Frame::grant(*number, 1))
                .collect();
            owner.send(&grants);
            // From what the hub has kept.
            if !wait_for(&mut owner, STREAMS) {
                return; // Disconnected: that is a bound.
            }
            // When the hub answers, it has granted the caller as much.
            owner.send(Frame::ping(0));
            let answer = |frame: &Frame| frame.kind == PING && frame.has(ACK);
            let frame = owner.skip_to(|frame| answer(frame) || frame.has(FIN));
            if frame.has(FIN) {
                return; // Disconnected.
            }
            let data: Vec<Frame> = streams.iter().map(|stream| bytes(*stream, 1)).collect();
            if caller.try_send(&data).is_err() {
                return; // Disconnected a little later.
            }
        }
        // All updates since the last read were buffered by the hub.
        let (mut updates, mut granted) = (0u64, 0);
        while granted < ROUNDS * STREAMS {
            let frame = caller.next().unwrap();
            if frame.is_mere_credit() {
                updates += 1;
                granted += frame.length;
            }
        }
        let kept = updates * 12;
        assert!(kept < 512 * 1024, "{kept} bytes of updates were kept");
    });
}

/// An owner that does not answer openings takes a thread of the hub for each, but not
/// all threads.
#[test]
fn an_owner_that_does_not_answer_leaves_handlers_to_others() {
    in_time(|| {
        let hub = hub(|hub| hub.handler_limit(8).stream("own", |_| Ok(())));
        let _owner = owner(&hub);
        let mut caller = caller(&hub);
        for _ in 0..8 {
            caller.call(NAME);
        }
        // Two may wait for the owner; the others are refused.
        for _ in 2..8 {
            caller.skip_to(|frame| frame.kind == DATA && u32::from(frame.body[0]) == ERROR);
        }
        let other = hub.caller();
        // A refusal is sent a little before its thread is free.
        let served = (0..1000).any(|_| other.open("own").is_ok());
        assert!(served);
    });
}

/// An owner reads late, and more relays have grants for it than there is room for:
/// 1,366 grants of 12 bytes.
#[test]
fn grants_without_room_do_not_make_the_writer_spin() {
    in_time(|| {
        let hub = hub(|hub| hub.send_buffer(4096));
        let mut owner = small(&hub, &[NAME]);
        owner.set_read_timeout(Duration::from_secs(8));
        let mut callers = [(); 3].map(|()| caller(&hub));
        let streams: Vec<u32> = (0..500).map(|i| 3 + 2 * i).collect();
        for caller in &mut callers {
            for stream in &streams {
                assert_eq!(relay(caller, &mut owner, NAME).0, *stream);
            }
        }
        // Fills the way to the owner.
        callers[0].send(bytes(3, 60_000));
        callers[0].settle();
        // The smallest grant, twice on each stream.
        for _ in 0..2 {
            for caller in &mut callers {
                let grants: Vec<Frame> = streams.iter().map(|s| Frame::grant(*s, 16_384)).collect();
                caller.send(&grants);
                caller.settle();
            }
        }
        // It reads again, and pings the hub.
        owner.send(Frame::ping(9));
        let mut grants = 0;
        loop {
            match owner.try_receive() {
                Ok(Some(frame)) => {
                    grants += u32::from(frame.is_mere_credit());
                    if frame == Frame::pong(9) {
                        break;
                    }
                }
                other => panic!("{other:?} after {grants} grants"),
            }
        }
    });
}
