//! What nobody is to bring about who only asks for a session: that another one
//! loses its own, or its place at the door.

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
use std::{
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

/// Its answer to the hub's question takes as long as what is under way to it.
#[test]
fn an_owner_whose_slow_link_is_full_is_not_taken_for_silent() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.handshake_timeout(Duration::from_millis(600)));
        let link = FaultProxy::to(hub.addr.parse().unwrap(), Profile::slow(100_000, 8192)).unwrap();
        let owner = client_of(&link.addr.to_string())
            .stream("a", |stream| io::copy(stream, &mut io::sink()).map(drop));
        let owner = start(owner).unwrap();
        let far = hub.end_of(&owner);
        let caller = hub.caller();
        let mut stream = caller.open("a").unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                let _ = stream.write_all(&[7; 200_000]);
            });
            // A second's worth of it is under way, and the newcomer is told
            // nothing after a part of one.
            assert!(eventually(|| far.stats().bytes_sent > 150_000));
            assert_eq!(hub.asking_peer("", &["a"]).answer(), None);
            assert!(!far.is_closed());
        });
    });
}

/// While it waits it is not read; when it need not wait any more, all that it has
/// sent meanwhile is, and may go on coming.
#[test]
fn who_goes_on_sending_when_its_wait_is_over_has_no_more_time_than_others() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.handshake_timeout(Duration::from_millis(400)));
        let owner = hub.peer("", &["a"]);
        let mut newcomer = hub.asking_peer("", &["a"]);
        // Data on the stream on which it asks, of which a window's worth may come:
        // a byte at a time it lasts for two seconds.
        let data = Frame::data(1, vec![0; 200_000]).encode();
        let began = Instant::now();
        let mut owner = Some(owner);
        let is_cut_off = data.iter().zip(0..).any(|(byte, number)| {
            while began.elapsed() < number * Duration::from_micros(10) {
                thread::yield_now();
            }
            if began.elapsed() > Duration::from_millis(200) {
                owner = None;
            }
            newcomer.write_all(&[*byte]).is_err()
        });
        assert!(is_cut_off, "it keeps its place");
    });
}

#[test]
fn those_who_wait_for_a_name_keep_nobody_of_their_address_out() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.handshake_timeout(PATIENCE).max_handshakes(2));
        let mut owner = hub.peer("", &["a"]);
        let waiting = hub.asking_peer("", &["a"]);
        // Asked for a sign of life: the first of them waits.
        await_ping(&mut owner);
        let _other = hub.asking_peer("", &["a"]);
        let _newcomer = hub.peer("", &["b"]);
        drop(waiting);
    });
}

/// As of a program that is started anew while the old one closes.
#[test]
fn who_takes_over_from_a_session_that_is_closing_lets_its_streams_end() {
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
