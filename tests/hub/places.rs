//! A request for a session must not make another client lose its session or its
//! handshake place.

use crate::{
    stage::{Hub, client_of, echo, eventually, start},
    support::{
        PATIENCE,
        fault_proxy::{FaultProxy, Profile},
        frames::Frame,
        in_time,
        wires::message,
    },
    waiting::await_ping,
};
use crossbeam_channel::unbounded;
use std::{
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

/// Its answer to the hub's ping takes as long as the data that is already on its way
/// to it.
#[test]
fn an_owner_behind_a_full_slow_link_does_not_count_as_silent() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.handshake_timeout(Duration::from_millis(600)));
        let link = FaultProxy::to(hub.addr.parse().unwrap(), Profile::slow(100_000, 8192)).unwrap();
        let owner = client_of(&link.addr.to_string())
            .stream("a", |stream| io::copy(stream, &mut io::sink()).map(drop));
        let owner = start(owner).unwrap();
        let far = hub.end_of(&owner);
        let caller = hub.caller();
        // It is dropped last: its reset would overtake what the hub still has to send.
        let stream = caller.open("a").unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = (&stream).write_all(&[7; 200_000]);
            });
            // The data on its way takes a second, and the new client gets no answer for
            // less time than that.
            assert!(eventually(|| far.stats().bytes_sent > 150_000));
            assert_eq!(hub.asking_peer("", &["a"]).answer(), None);
            assert!(!far.is_closed());
        });
    });
}

/// The hub does not read from a waiting client. When the wait is over, it reads all
/// that the client has sent meanwhile, and more may keep coming. If the client pauses
/// for a moment, as it does on a busy machine, it gets its session within its time.
#[test]
fn a_client_that_keeps_sending_after_its_wait_has_no_more_time_than_others() {
    in_time(|| {
        let (opened, sessions) = unbounded();
        let hub = Hub::with(|hub| {
            let hub = hub.handshake_timeout(Duration::from_millis(400));
            hub.on_session_open(move |_| opened.send(Instant::now()).unwrap())
        });
        let owner = hub.peer("", &["a"]);
        sessions.recv().unwrap();
        let mut newcomer = hub.asking_peer("", &["a"]);
        // Data on the stream of the request, within its window. One byte at a time,
        // it takes two seconds.
        let data = Frame::data(1, vec![0; 200_000]).encode();
        let began = Instant::now();
        let mut owner = Some(owner);
        let mut last = began;
        let mut longest_pause = Duration::ZERO;
        let is_disconnected = data.iter().zip(0..).any(|(byte, number)| {
            while began.elapsed() < number * Duration::from_micros(10) {
                thread::yield_now();
            }
            if began.elapsed() > Duration::from_millis(200) {
                owner = None;
                longest_pause = longest_pause.max(last.elapsed());
            }
            last = Instant::now();
            newcomer.write_all(&[*byte]).is_err()
        });
        // A pause lets the hub find nothing more to read. The sender never means to
        // pause for more than the 10 µs.
        let has_paused = longest_pause > Duration::from_micros(500);
        let in_its_time = began + Duration::from_millis(1500);
        let is_accepted = || sessions.try_recv().is_ok_and(|at| at < in_its_time);
        assert!(
            is_disconnected || (has_paused && is_accepted()),
            "it keeps its place"
        );
    });
}

#[test]
fn clients_that_wait_for_a_name_do_not_keep_out_others_of_their_address() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.handshake_timeout(PATIENCE).max_handshakes(2));
        let mut owner = hub.peer("", &["a"]);
        let waiting = hub.asking_peer("", &["a"]);
        // The owner is pinged: the first client waits.
        await_ping(&mut owner);
        let _other = hub.asking_peer("", &["a"]);
        let _newcomer = hub.peer("", &["b"]);
        drop(waiting);
    });
}

/// As when a program is restarted while the old process still closes.
#[test]
fn taking_over_from_a_closing_session_lets_its_streams_end() {
    in_time(|| {
        let hub = Hub::new();
        let owner = || {
            let owner = client_of(&hub.addr).session_close_timeout(PATIENCE);
            start(owner.identification("box-1", "").stream("a", echo)).unwrap()
        };
        let old = owner();
        let caller = hub.caller();
        let mut stream = caller.open("a").unwrap();
        stream.write_all(b"said ").unwrap();
        let far = hub.end_of(&old);
        thread::scope(|scope| {
            let closing = scope.spawn(|| old.wire.close());
            assert!(eventually(|| far.is_closing()));
            let _new = owner();
            assert_eq!(caller.ask("a", b"the new one").unwrap(), b"the new one");
            stream.write_all(b"before").unwrap();
            stream.finish().unwrap();
            assert_eq!(message(&stream).unwrap(), b"said before");
            drop(stream);
            closing.join().unwrap().unwrap();
        });
    });
}
