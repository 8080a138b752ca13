//! How a hub closes, and what it counts.

use crate::{
    stage::{Hub, echo, eventually},
    support::{
        PATIENCE, in_time,
        wires::{closing, means_broken, message},
    },
};
use crossbeam_channel::{bounded, unbounded};
use std::{
    io::{Read, Write},
    thread,
    time::{Duration, Instant},
};
use wirenet::Operation;

#[test]
fn a_close_of_a_hub_waits_for_relayed_streams() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.session_close_timeout(PATIENCE));
        let _owner = hub.owner("echo", echo);
        let caller = hub.caller();
        let stream = caller.open("echo").unwrap();
        let close = closing(&hub.wire);
        // Both sides know of it, and continue.
        while !caller.session.is_closing() {
            thread::yield_now();
        }
        caller.session.open_stream("echo").unwrap_err();
        stream.write_message(vec![5; 100_000]).unwrap();
        assert_eq!(message(&stream).unwrap(), [5; 100_000]);
        assert!(!close.is_finished());
        drop(stream);
        close.join().unwrap().unwrap();
    });
}

#[test]
fn a_hub_that_cuts_relayed_streams_reports_their_sessions() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.session_close_timeout(Duration::from_millis(200)));
        let mut owner = hub.peer("owner", &["name"]);
        let caller = hub.join(|caller| caller.identification("caller", ""));
        let session = caller.session.clone();
        let call = thread::spawn(move || {
            let open = || session.open_stream("name").unwrap();
            [open(), open()]
        });
        for _ in 0..2 {
            owner.accept_next();
        }
        let mut streams = call.join().unwrap();
        let began = Instant::now();
        let error = hub.wire.close().unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(5));
        let mut cut: Vec<_> = error
            .sessions
            .iter()
            .map(|session| (&session.identification[..], session.streams))
            .collect();
        cut.sort_unstable();
        assert_eq!(cut, [(&b"caller"[..], 2), (b"owner", 2)]);
        assert_eq!(error.running, 0);
        for stream in &mut streams {
            let error = stream.read(&mut [0; 1]).unwrap_err().kind();
            assert!(means_broken(error), "{error:?}");
        }
    });
}

#[test]
fn a_close_of_a_client_waits_for_streams_that_the_hub_relays_to_it() {
    in_time(|| {
        let hub = Hub::new();
        let (release, released) = bounded::<()>(0);
        let owner = hub.join(|owner| {
            owner
                .session_close_timeout(PATIENCE)
                .stream("slow", move |stream| {
                    let _ = released.recv();
                    stream.write_message(b"done")
                })
        });
        let caller = hub.caller();
        let stream = caller.open("slow").unwrap();
        let close = closing(&owner.wire);
        // The hub opens no more streams there.
        while !hub.end_of(&owner).is_closing() {
            thread::yield_now();
        }
        let refused = caller.open("slow").unwrap_err();
        assert_eq!(refused, wirenet::Refusal::SessionNotFound);
        drop(release);
        assert_eq!(message(&stream).unwrap(), b"done");
        close.join().unwrap().unwrap();
    });
}

#[test]
fn a_hub_counts_what_it_relays_both_ways() {
    in_time(|| {
        let hub = Hub::new();
        let owner = hub.owner("echo", echo);
        let caller = hub.caller();
        let said = vec![3; 1_000_000];
        for _ in 0..3 {
            assert!(caller.ask("echo", &said).unwrap() == said);
        }
        caller.open("nothing").unwrap_err();
        let (to_caller, to_owner) = (hub.end_of(&caller), hub.end_of(&owner));
        for end in [&to_caller, &to_owner] {
            let stats = end.stats();
            for bytes in [stats.bytes_sent, stats.bytes_received] {
                assert!((3_000_000..3_100_000).contains(&bytes), "{stats:?}");
            }
            assert_eq!(stats.streams_reset, 0);
        }
        // The stream of the session handshake, and the calls.
        assert_eq!(to_caller.stats().streams_accepted, 1 + 4);
        // It is counted after the caller was answered.
        assert!(eventually(|| to_caller.stats().streams_refused == 1));
        assert_eq!(to_owner.stats().streams_opened, 3);
        let all = hub.wire.stats();
        assert_eq!(all.sessions, 2);
        assert!(all.bytes_sent >= 6_000_000 && all.bytes_received >= 6_000_000);
    });
}

#[test]
fn a_reset_is_counted_at_both_ends_of_a_relayed_stream() {
    in_time(|| {
        let hub = Hub::new();
        let owner = hub.owner("wait", |stream| {
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
        let caller = hub.caller();
        let mut stream = caller.open("wait").unwrap();
        stream.write_all(b"some").unwrap();
        stream.reset();
        let ends = [hub.end_of(&caller), hub.end_of(&owner)];
        assert!(eventually(|| {
            ends.iter().all(|end| end.stats().streams_reset == 1)
        }));
    });
}

/// The hub begins to close before it opens their streams at the owner.
#[test]
fn accepted_calls_reach_their_owner_although_the_hub_closes() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let hub = Hub::with(|hub| {
            hub.session_close_timeout(PATIENCE)
                .token_validator(move |name, _, _| {
                    if name == "sink" {
                        // Until the other end is dropped.
                        let _ = released.recv();
                    }
                    Ok(())
                })
        });
        let (sender, got) = unbounded();
        let owner = hub.owner("sink", move |stream| {
            sender.send(message(stream)?).unwrap();
            Ok(())
        });
        let caller = hub.caller();
        for number in 0..4 {
            let stream = caller.session.open_stream_nowait("sink").unwrap();
            stream.write_message([number; 1_000]).unwrap();
            stream.close().unwrap();
        }
        caller.wire.close().unwrap();
        let wire = hub.wire.clone();
        let closing = thread::spawn(move || wire.close());
        assert!(eventually(|| owner.session.is_closing()));
        drop(release);
        closing.join().unwrap().unwrap();
        let mut messages = [(); 4].map(|()| got.recv_timeout(PATIENCE).unwrap());
        messages.sort_unstable();
        assert_eq!(messages, [0, 1, 2, 3].map(|number| vec![number; 1_000]));
    });
}

/// The close itself only returns what may not have arrived.
#[test]
fn a_client_reports_a_session_that_is_lost_while_it_closes() {
    in_time(|| {
        let (sender, told) = bounded(16);
        let (release, released) = bounded::<()>(0);
        let hub = Hub::with(|hub| {
            hub.stream("wait", move |_| {
                // Until the end of the test.
                let _ = released.recv();
                Ok(())
            })
        });
        let client = hub.join(|client| {
            let client = client.session_close_timeout(PATIENCE);
            client.on_error(move |error| sender.send(error.operation.clone()).unwrap())
        });
        let stream = client.open("wait").unwrap();
        let far = hub.end_of(&client);
        let wire = client.wire.clone();
        let close = thread::spawn(move || wire.close());
        assert!(eventually(|| far.is_closing()));
        far.abort();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Operation::Session);
        drop((stream, release));
        // Its result depends on what had arrived.
        let _ = close.join().unwrap();
    });
}
