//! What relayed streams cost the hub: no threads, and no memory beyond their windows.

use crate::{
    flow::fill,
    stage::{Hub, INITIAL_WINDOW, client_of, peer_at, start},
    support::{
        encoding::chunks,
        in_time,
        pattern::Pattern,
        process::{Other, role, tell, wait_for_parent},
        threads,
    },
};
use crossbeam_channel::bounded;
use std::{fs, thread};

#[test]
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

/// How many streams are filled at once. The hub holds no more than their windows, even if
/// the owner is slow because the machine is busy: the next ones wait until these are blocked.
const AT_ONCE: usize = 20;

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
    let fill_at_once = |streams: &[_]| -> u64 {
        thread::scope(|scope| {
            let filling: Vec<_> = streams
                .iter()
                .map(|stream| scope.spawn(|| fill(stream, &pattern)))
                .collect();
            filling.into_iter().map(|fill| fill.join().unwrap()).sum()
        })
    };
    let total: u64 = opened.chunks(AT_ONCE).map(fill_at_once).sum();
    let after = resident(pid);
    println!("{streams} blocked streams, {total} bytes written: hub {before} -> {after} bytes");
    assert!(total <= (streams * INITIAL_WINDOW) as u64, "{total}");
    drop(opened);
    drop(owner);
    after.saturating_sub(before)
}

#[test]
fn streams_that_an_owner_does_not_read_take_no_memory_in_the_hub() {
    if role().is_some() {
        return hub_process();
    }
    in_time(|| {
        let test = "costs::streams_that_an_owner_does_not_read_take_no_memory_in_the_hub";
        let (release, released) = bounded::<()>(0);
        let growth = growth_of_hub(test, 100, |addr| {
            let deaf = client_of(addr).stream("deaf", move |_| {
                let _ = released.recv();
                Ok(())
            });
            Box::new(start(deaf).unwrap())
        });
        drop(release);
        // 26 MB were written. The hub may have buffered what was written at once, and an
        // allocator does not return all memory.
        assert!(growth < 16 << 20, "{growth}");
    });
}

#[test]
fn an_owner_that_reads_nothing_costs_the_hub_at_most_its_windows() {
    if role().is_some() {
        return hub_process();
    }
    in_time(|| {
        let test = "costs::an_owner_that_reads_nothing_costs_the_hub_at_most_its_windows";
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
