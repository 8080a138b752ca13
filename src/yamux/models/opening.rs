//! Threads that wait to open a stream: all of them are woken when there is room.

use super::stage::{ROOMY, STREAM, config, run, stage};
use crate::{
    sync::{Time, check, now, thread},
    transport::Wait,
    yamux::{
        Error, Role,
        frame::{Flags, Header},
        inbox::Inbox,
        outbox::Priority,
    },
};
use std::{sync::Arc, time::Duration};

/// With this many queued bytes, no stream is opened.
const FLOOD: usize = 600_000;

#[test]
fn a_stream_that_the_peer_ends_makes_room_for_all_waiting_threads() {
    check(Time::Fixed, || {
        let config = config().max_streams(2).backlog(2);
        let stage = stage(Role::Client, config, ROOMY);
        let left = [(); 2].map(|()| stage.connection.open().unwrap());
        let [first, second] = left.each_ref().map(crate::yamux::Stream::id);
        drop(left);
        let reading = run(stage.reader);
        let openers = [(); 2].map(|()| {
            let connection = stage.connection.clone();
            thread::spawn(move || connection.open().unwrap())
        });
        let mut sender = stage.peer.sender;
        let peer = thread::spawn(move || {
            sender.send(Header::window_update(second, Flags::ACK, 0), b"");
            sender.send(Header::window_update(first, Flags::ACK, 0), b"");
            sender.send(Header::window_update(first, Flags::FIN, 0), b"");
            sender
        });
        // The end of one stream makes room for both openers.
        let opened = openers.map(|opener| opener.join().unwrap());
        stage.connection.cut();
        drop((opened, peer.join().unwrap()));
        let _ = reading.join().unwrap();
    });
}

/// A thread that is woken may find that too much is queued, and time out.
#[test]
fn room_that_one_thread_does_not_use_goes_to_the_next() {
    check(Time::Advancing, || {
        let stage = stage(Role::Client, config().backlog(1), ROOMY);
        let first = stage.connection.open_queued(None).unwrap();
        let shared = Arc::clone(stage.connection.shared());
        // This thread holds the writing role, so nothing is written.
        let writer = shared.outbox.take_role(Wait::Never).expect("its SYN waits");
        let openers = [Some(Duration::from_secs(1)), None].map(|timeout| {
            let connection = stage.connection.clone();
            let deadline = timeout.map(|timeout| now() + timeout);
            thread::spawn(move || connection.open_queued(deadline).map(drop))
        });
        let mut flood = Inbox::default();
        flood.push(&vec![7; FLOOD]);
        let data = Header::data(STREAM, FLOOD as u32);
        let no_relay = || unreachable!("there is room");
        assert!(
            shared
                .outbox
                .try_relay(data, &mut flood, Priority::First, no_relay)
        );
        shared.acknowledge(first.core());
        let [hurried, patient] = openers;
        let outcome = hurried.join().unwrap();
        assert!(matches!(outcome, Err(Error::TimedOut(_))), "{outcome:?}");
        shared.drain(writer, Wait::Never);
        patient.join().unwrap().unwrap();
        stage.connection.cut();
    });
}
