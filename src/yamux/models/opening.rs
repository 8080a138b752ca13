//! Opening: the room that the peer makes is for all who wait for some.

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

/// So much waiting to be sent that nothing is opened.
const FLOOD: usize = 600_000;

#[test]
fn a_stream_that_the_peer_ends_makes_room_for_all_who_wait() {
    check(Time::Stands, || {
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
        let mut says = stage.peer.says;
        let peer = thread::spawn(move || {
            says.frame(Header::window_update(second, Flags::ACK, 0), b"");
            says.frame(Header::window_update(first, Flags::ACK, 0), b"");
            says.frame(Header::window_update(first, Flags::FIN, 0), b"");
            says
        });
        // Of those that are left, one is enough to wait no longer.
        let opened = openers.map(|opener| opener.join().unwrap());
        stage.connection.cut();
        drop((opened, peer.join().unwrap()));
        let _ = reading.join().unwrap();
    });
}

/// Who is told of it may find that too much is to be sent, and give up.
#[test]
fn a_place_that_one_opener_gives_up_is_for_the_next() {
    check(Time::Passes, || {
        let stage = stage(Role::Client, config().backlog(1), ROOMY);
        let first = stage.connection.open_queued(None).unwrap();
        let shared = Arc::clone(stage.connection.shared());
        // Nothing is written meanwhile.
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
        assert!(matches!(outcome, Err(Error::TimedOut)), "{outcome:?}");
        shared.drain(writer, Wait::Never);
        patient.join().unwrap().unwrap();
        stage.connection.cut();
    });
}
