//! `reconnect_now` ends a wait.

use super::{
    NEVER, SHORT, SOON,
    servers::{break_handshake, keep, stay},
    waiting,
};
use crate::support::{
    in_time,
    peer::{Peer, play},
    wires::starting,
    within,
};
use crossbeam_channel::bounded;
use socket2::SockRef;
use std::{net::Shutdown, time::Duration};
use wirenet::Wire;

#[test]
fn reconnect_now_ends_a_wait() {
    within(SOON, || {
        let (client, starter) = waiting(play(vec![Box::new(break_handshake), Box::new(stay)]));
        client.reconnect_now();
        starter.join().unwrap().unwrap();
        client.close().unwrap();
    });
}

#[test]
fn reconnect_now_during_an_attempt_ends_the_wait_after_it() {
    within(SOON, || {
        let (asked, asks) = bounded(1);
        let (release, released) = bounded::<()>(0);
        let first = move |mut client: Peer| {
            client.read_request()?;
            asked.send(()).unwrap();
            assert!(released.recv().is_err());
            SockRef::from(client.socket()).set_linger(Some(Duration::ZERO))
        };
        let addr = play(vec![Box::new(first), Box::new(stay)]);
        let client = Wire::join(addr.to_string())
            .retry_policy(|_| Some(NEVER))
            .session_close_timeout(Duration::ZERO)
            .build()
            .unwrap();
        let starter = starting(&client);
        asks.recv().unwrap();
        client.reconnect_now();
        drop(release);
        starter.join().unwrap().unwrap();
        client.close().unwrap();
    });
}

/// A request from before a session does not shorten a wait after it.
#[test]
fn reconnect_now_is_forgotten_when_a_session_is_open() {
    in_time(|| {
        let (hang_up_now, hangs_up) = bounded::<()>(0);
        let first = move |mut client: Peer| {
            client.confirm_session()?;
            assert!(hangs_up.recv().is_err());
            client.socket().shutdown(Shutdown::Write)?;
            keep(client)
        };
        let (came, comes) = bounded(1);
        let second = move |client: Peer| {
            came.send(()).unwrap();
            stay(client)
        };
        let addr = play(vec![Box::new(first), Box::new(second)]);
        let client = Wire::join(addr.to_string())
            .retry_policy(|_| Some(NEVER))
            .session_close_timeout(Duration::ZERO)
            .build()
            .unwrap();
        client.reconnect_now();
        client.start().unwrap();
        drop(hang_up_now);
        comes.recv_timeout(3 * SHORT).unwrap_err();
        client.reconnect_now();
        comes.recv().unwrap();
        client.close().unwrap();
    });
}
