//! Flow control works end to end: a slow owner slows down only its caller, nothing
//! accumulates in the hub, and a relay has no threads.

use crate::{
    stage::{Client, Hub, client_of, echo, eventually, peer_at, relay, start},
    support::{
        PATIENCE,
        encoding::{END, chunks},
        fault_proxy::{FaultProxy, Profile},
        frames::{DATA, FIN, Frame},
        in_time,
        pattern::{PIECE, Pattern},
        process::{Other, role, tell, wait_for_parent},
        threads,
        wires::message,
    },
};
use crossbeam_channel::bounded;
use std::{
    fs,
    io::{Read, Write},
    thread,
    time::{Duration, Instant},
};
use wirenet::{Builder, Stream};

const INITIAL_WINDOW: usize = 262_144;

/// A writer that makes no progress for this time counts as blocked.
const STUCK: Duration = Duration::from_millis(300);

/// Writes until the writer blocks. Returns the number of bytes written.
fn fill(stream: &Stream, pattern: &Pattern) -> u64 {
    let mut stream = stream;
    stream.set_write_timeout(Some(STUCK)).unwrap();
    let mut written = 0;
    while let Ok(count) = stream.write(pattern.at(written, 10_000)) {
        written += count as u64;
    }
    stream.set_write_timeout(None).unwrap();
    stream.resume();
    written
}

/// The longest of `trips` round trips of a small message.
fn longest_trip(caller: &Client, name: &str, trips: usize) -> Duration {
    let stream = caller.open(name).unwrap();
    let trip = || {
        let began = Instant::now();
        stream.write_message(b"ping").unwrap();
        assert_eq!(message(&stream).unwrap(), b"ping");
        began.elapsed()
    };
    (0..trips).map(|_| trip()).max().unwrap()
}

#[test]
fn a_slow_owner_slows_down_only_its_caller() {
    in_time(|| {
        let hub = Hub::new();
        let (release, released) = bounded::<()>(0);
        let (sender, read) = bounded(1);
        let slow = hub.join(|owner| {
            owner.stream("echo", echo).stream("slow", move |stream| {
                let _ = released.recv();
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes)?;
                sender.send(bytes).unwrap();
                Ok(())
            })
        });
        let _other = hub.owner("other", echo);
        let (caller, another) = (hub.caller(), hub.caller());
        let stream = caller.open("slow").unwrap();
        let pattern = Pattern::new(21);
        let written = fill(&stream, &pattern);
        // The owner's window, and nothing beyond it.
        let window = INITIAL_WINDOW as u64;
        assert!(written > window / 2 && written <= window, "{written}");
        // Neither the same connections nor others are slow.
        let trips = [
            longest_trip(&caller, "echo", 50),
            longest_trip(&another, "echo", 50),
            longest_trip(&another, "other", 50),
        ];
        println!("longest trips beside a blocked stream: {trips:?}");
        for trip in trips {
            assert!(trip < Duration::from_secs(2), "{trips:?}");
        }
        drop(release);
        // A message whose last write failed cannot be ended.
        (&stream).write_all(pattern.at(written, 1)).unwrap();
        stream.finish().unwrap();
        pattern.check(0, &read.recv_timeout(PATIENCE).unwrap());
        drop(slow);
    });
}

#[test]
fn bulk_to_an_owner_does_not_delay_another_call_to_it() {
    in_time(|| {
        // Little is buffered in the socket, where streams do not take turns.
        let hub = Hub::with(|hub| hub.send_buffer(64 * 1024));
        // The link is the bottleneck, so that data to this owner waits in the hub.
        let profile = Profile {
            delay: Duration::from_millis(2),
            rate: Some(4_000_000),
            buffer: 64 * 1024,
            ..Profile::default()
        };
        let (sender, read) = bounded(1);
        let link = FaultProxy::to(hub.addr.parse().unwrap(), profile).unwrap();
        let owner = client_of(&link.addr.to_string())
            .recv_buffer(32 * 1024)
            .stream("echo", echo)
            .stream("sink", move |stream| {
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes)?;
                sender.send(bytes.len()).unwrap();
                Ok(())
            });
        let _owner = start(owner).unwrap();
        let (bulk, caller) = (hub.caller(), hub.caller());
        let stream = bulk.open("sink").unwrap();
        let size = 12_000_000;
        let sender = thread::spawn(move || {
            let mut stream = &stream;
            stream.write_all(&vec![1; size]).unwrap();
            stream.finish().unwrap();
        });
        let mut trips = Vec::new();
        while read.is_empty() {
            trips.push(longest_trip(&caller, "echo", 1));
        }
        sender.join().unwrap();
        assert_eq!(read.recv().unwrap(), size);
        trips.sort_unstable();
        let longest = *trips.last().expect("a trip beside the bulk");
        let middle = trips[trips.len() / 2];
        println!(
            "{} trips beside bulk: middle {middle:?}, longest {longest:?}",
            trips.len()
        );
        // Socket buffers, an outbox, and a frame of each other stream go first:
        // some 0.2 s at this rate. The whole bulk takes three seconds.
        assert!(middle < Duration::from_secs(1), "{middle:?}");
    });
}

#[test]
fn streams_to_one_owner_take_turns() {
    const BULK: u32 = 8 << 20;
    in_time(|| {
        let hub = Hub::with(|hub| hub.send_buffer(16 * 1024));
        let mut owner = hub.peer_with("owner", &["bulk", "call"], |socket| {
            socket.set_recv_buffer_size(16 * 1024)
        });
        let mut bulk = hub.peer("bulk", &[]);
        let (large, large_id) = relay(&mut bulk, &mut owner, "bulk");
        let caller = hub.caller();
        let session = caller.session.clone();
        let call = thread::spawn(move || session.open_stream("call").unwrap());
        let small_id = owner.accept_next();
        let small = call.join().unwrap();
        // The owner grants room for all of it and reads nothing, so it is buffered
        // in the hub.
        let sessions = hub.wire.sessions();
        let mut to_owner = sessions.iter().filter(|s| s.identification() == b"owner");
        let to_owner = to_owner.next().expect("the owner's session");
        owner.grant(large_id, 12_000_000);
        let mut credit = 0;
        while credit < BULK {
            credit += bulk.next_of(large).length;
        }
        for _ in 0..BULK / PIECE as u32 {
            bulk.send(Frame::data(large, vec![1; PIECE]));
        }
        // The second of these calls is served when the bulk is buffered. The first
        // may arrive together with it.
        for _ in 0..2 {
            let stream = bulk.call("nobody's");
            bulk.wait(|frame| frame.kind == DATA && frame.stream == stream);
        }
        small.write_message(b"my turn").unwrap();
        for _ in 0..2 {
            caller.open("nobody's").unwrap_err();
        }
        let (mut before, mut turn) = (0, 0);
        while turn == 0 {
            let frame = owner.wait(|frame| frame.kind == DATA);
            if frame.stream == small_id {
                turn = frame.body.len();
            } else {
                before += frame.body.len();
            }
        }
        println!("{before} bytes of bulk before another stream's turn");
        // A new call gets its turn too. The owner reads on when the hub has sent it.
        let opened = || to_owner.stats().streams_opened;
        let opened_before = opened();
        let session = caller.session.clone();
        let call = thread::spawn(move || session.open_stream("call").unwrap());
        assert!(eventually(|| opened() > opened_before));
        let mut before_call = 0;
        loop {
            let frame = owner.wait(|frame| frame.kind == DATA);
            if ![large_id, small_id].contains(&frame.stream) {
                owner.accept_as(frame.stream, "call");
                break;
            }
            before_call += frame.body.len();
        }
        println!("{before_call} bytes of bulk before a new call");
        call.join().unwrap();
        assert!(before_call < 2_000_000, "{before_call}");
        // An outbox, what was taken out of it, and the socket buffers.
        assert!(before < 2_000_000, "{before}");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn idle_relayed_streams_have_no_threads() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.thread_name("idlehub"));
        let mut owner = hub.peer("owner", &["name"]);
        let caller = hub.caller();
        let session = caller.session.clone();
        let (opened, streams) = bounded(500);
        let opener = thread::spawn(move || {
            for _ in 0..500 {
                opened.send(session.open_stream("name").unwrap()).unwrap();
            }
        });
        let opens: Vec<_> = (0..500).map(|_| owner.accept_next()).collect();
        opener.join().unwrap();
        // One that accepts, one for each session, and a few handler threads that
        // have answered calls.
        let count = threads::named("idlehub").len();
        println!("{count} threads for 500 relayed streams");
        assert!((3..20).contains(&count), "{count}");
        // All streams work.
        for (stream, far) in streams.try_iter().zip(&opens) {
            stream.write_message(b"hello").unwrap();
            let frame = owner.next_of(*far);
            assert_eq!(frame.body, [&chunks(b"hello", 5)[..], &[0; 4]].concat());
        }
    });
}

/// The resident memory of a process in bytes.
fn resident(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.expect("a size").parse::<u64>().unwrap() << 10
}

/// Runs a hub in this process, for another one.
fn hub_process() {
    // Windows grow if round trips are long, as they seem to be on a busy machine.
    let hub = Hub::with(|hub| hub.max_window(INITIAL_WINDOW as u32));
    tell(format!("{} {}", std::process::id(), hub.addr)).unwrap();
    wait_for_parent().unwrap();
}

/// Callers fill streams of an owner that reads none of them. Returns the growth of
/// the hub's memory while the callers are blocked.
fn growth_of_hub(test: &str, streams: usize, owner: impl FnOnce(&str) -> Box<dyn Send>) -> u64 {
    let process = Other::start(test, "hub").unwrap();
    let told = process.told();
    let (pid, addr) = told.split_once(' ').unwrap();
    let owner = owner(addr);
    let caller = start(client_of(addr)).unwrap();
    let before = resident(pid);
    let opened: Vec<_> = (0..streams).map(|_| caller.open("deaf").unwrap()).collect();
    let pattern = Pattern::new(31);
    let total: u64 = thread::scope(|scope| {
        let filling: Vec<_> = opened
            .iter()
            .map(|stream| scope.spawn(|| fill(stream, &pattern)))
            .collect();
        filling.into_iter().map(|fill| fill.join().unwrap()).sum()
    });
    let after = resident(pid);
    println!("{streams} blocked streams, {total} bytes written: hub {before} -> {after} bytes");
    assert!(total <= (streams * INITIAL_WINDOW) as u64, "{total}");
    drop(opened);
    drop(owner);
    after.saturating_sub(before)
}

#[test]
#[cfg(target_os = "linux")]
fn streams_that_an_owner_does_not_read_take_no_memory_in_the_hub() {
    if role().is_some() {
        return hub_process();
    }
    in_time(|| {
        let test = "flow::streams_that_an_owner_does_not_read_take_no_memory_in_the_hub";
        let (release, released) = bounded::<()>(0);
        let growth = growth_of_hub(test, 100, |addr| {
            let deaf = client_of(addr).stream("deaf", move |_| {
                let _ = released.recv();
                Ok(())
            });
            Box::new(start(deaf).unwrap())
        });
        drop(release);
        // 26 MB were written. On a busy machine, the hub may have buffered some of
        // it for a moment, and an allocator does not return all memory.
        assert!(growth < 16 << 20, "{growth}");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn an_owner_that_reads_nothing_costs_the_hub_at_most_its_windows() {
    if role().is_some() {
        return hub_process();
    }
    in_time(|| {
        let test = "flow::an_owner_that_reads_nothing_costs_the_hub_at_most_its_windows";
        let streams = 100;
        let growth = growth_of_hub(test, streams, |addr| {
            let mut owner = peer_at(addr, "deaf", &["deaf"], |_| Ok(()));
            Box::new(thread::spawn(move || {
                for _ in 0..streams {
                    owner.accept_next();
                }
                // From here on it reads nothing. The hub disconnects it only after
                // the test.
                owner
            }))
        });
        let windows = (streams * INITIAL_WINDOW) as u64;
        assert!(growth < windows + windows / 4 + (4 << 20), "{growth}");
    });
}

#[test]
fn several_streams_carry_both_directions_through_small_buffers() {
    in_time(|| {
        let small = |builder: Builder| builder.send_buffer(4096).recv_buffer(4096);
        let hub = Hub::with(small);
        // Sends all bytes back as they arrive.
        let owner = hub.join(|owner| {
            small(owner).stream("mirror", |stream| {
                let mut buf = [0; 10_000];
                loop {
                    match stream.read(&mut buf)? {
                        0 => return Ok(()),
                        count => stream.write_all(&buf[..count])?,
                    }
                }
            })
        });
        let callers = [hub.join(small), hub.join(small)];
        thread::scope(|scope| {
            for (number, caller) in callers.iter().cycle().take(4).enumerate() {
                scope.spawn(move || {
                    let stream = caller.open("mirror").unwrap();
                    let pattern = Pattern::new(number as u64);
                    let size = 1_000_000;
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            let mut stream = &stream;
                            stream.write_all(&pattern.to_vec(size)).unwrap();
                            stream.finish().unwrap();
                        });
                        let mut back = Vec::new();
                        (&stream).read_to_end(&mut back).unwrap();
                        assert_eq!(back.len(), size);
                        pattern.check(0, &back);
                    });
                });
            }
        });
        drop(owner);
    });
}

#[test]
fn bulk_in_both_directions_at_once_arrives_whole() {
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.owner("mirror", |stream| {
            let mut reader = stream.try_clone()?;
            std::io::copy(&mut reader, stream)?;
            stream.finish()
        });
        let caller = hub.caller();
        let stream = caller.open("mirror").unwrap();
        let pattern = Pattern::new(77);
        let size: u64 = 32 << 20;
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = &stream;
                for at in (0..size).step_by(PIECE) {
                    stream.write_all(pattern.at(at, PIECE)).unwrap();
                }
                stream.finish().unwrap();
            });
            let (mut stream, mut at, mut buf) = (&stream, 0, vec![0; PIECE]);
            loop {
                let count = stream.read(&mut buf).unwrap();
                if count == 0 {
                    break;
                }
                pattern.check(at, &buf[..count]);
                at += count as u64;
            }
            assert_eq!(at, size);
        });
    });
}

/// A scripted caller sends `size` bytes, as the hub grants credit. Returns the most
/// credit that it had at once.
fn most_credit(hub: &Hub, name: &str, size: usize) -> usize {
    let mut caller = hub.peer("caller", &[]);
    let stream = caller.open(name);
    let mut credit = INITIAL_WINDOW - (12 + name.len());
    let (mut sent, mut most) = (0, credit);
    let chunk = chunks(&[5; 1024], 1024);
    while sent < size {
        while credit >= 16 * chunk.len() && sent < size {
            caller.send(Frame::data(stream, chunk.repeat(16)));
            credit -= 16 * chunk.len();
            sent += 16 * 1024;
        }
        if sent < size {
            let update = caller.next_of(stream);
            assert_ne!(update.kind, DATA);
            credit += update.length as usize;
            most = most.max(credit);
        }
    }
    caller.send(Frame::data(stream, END.to_vec()));
    caller.send(Frame::flags(stream, FIN));
    caller.wait(|frame| frame.stream == stream && frame.has(FIN));
    most
}

fn far_owner(hub: &Hub, delay: Duration) -> Client {
    let profile = Profile {
        delay,
        rate: Some(200_000_000),
        buffer: 64 << 20,
        ..Profile::default()
    };
    let link = FaultProxy::to(hub.addr.parse().unwrap(), profile).unwrap();
    let owner = client_of(&link.addr.to_string()).stream("sink", |stream| {
        std::io::copy(stream, &mut std::io::sink())?;
        while stream.next_message()? {}
        Ok(())
    });
    start(owner).unwrap()
}

#[test]
fn the_owners_grown_window_reaches_the_caller() {
    in_time(|| {
        let hub = Hub::new();
        let owner = far_owner(&hub, Duration::from_millis(15));
        let most = most_credit(&hub, "sink", 16 << 20);
        println!("most credit of a caller of an owner 30 ms away: {most}");
        assert!(most >= 2 * INITIAL_WINDOW, "{most}");
        drop(owner);
    });
}

#[test]
fn a_window_grows_no_further_than_max_window() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.max_window(400_000));
        let owner = far_owner(&hub, Duration::from_millis(15));
        let most = most_credit(&hub, "sink", 8 << 20);
        assert!(most > INITIAL_WINDOW && most <= 400_000, "{most}");
        drop(owner);
    });
}

#[test]
fn a_distant_caller_fills_its_link_through_the_hub() {
    in_time(|| {
        let hub = Hub::new();
        let sink = |stream: &mut Stream| {
            std::io::copy(stream, &mut std::io::sink())?;
            Ok(())
        };
        let _owner = hub.owner("sink", sink);
        let profile = Profile {
            delay: Duration::from_millis(50),
            rate: Some(50_000_000),
            buffer: 64 << 20,
            ..Profile::default()
        };
        let link = FaultProxy::to(hub.addr.parse().unwrap(), profile).unwrap();
        let caller = start(client_of(&link.addr.to_string())).unwrap();
        let stream = caller.open("sink").unwrap();
        let size = 24 << 20;
        let began = Instant::now();
        stream.write_message(vec![1; size]).unwrap();
        stream.finish().unwrap();
        (&stream).read_to_end(&mut Vec::new()).unwrap();
        let rate = size as f64 / began.elapsed().as_secs_f64() / 1e6;
        // One initial window in each round trip would be 2.6 MB/s.
        println!("a caller 100 ms away: {rate:.1} MB/s of 50");
        assert!(rate > 5.0, "{rate}");
    });
}
