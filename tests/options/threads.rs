//! `thread_name`, `stack_size`, `handler_limit`.

use crate::support::{
    PATIENCE, in_time, threads,
    wires::{Link, as_it_is, assert_echoes, echo, joining, mounting, started},
};
use crossbeam_channel::bounded;
use std::{hint::black_box, thread};

#[test]
fn thread_names_have_the_given_prefix() {
    in_time(|| {
        let (name, names) = bounded(1);
        let server = started(mounting().thread_name("tn-srv").stream("name", move |_| {
            let named = thread::current().name().unwrap_or("").to_owned();
            name.send(named).unwrap();
            Ok(())
        }));
        let client = started(joining(&server).thread_name("tn-cli"));
        let session = client.wait_session(PATIENCE).unwrap();
        session.open_stream("name").unwrap();
        assert_eq!(names.recv().unwrap(), "tn-srv-handler");
        for name in ["tn-srv-accept", "tn-srv-session", "tn-cli-session"] {
            threads::await_one(name);
        }
    });
}

/// One thread on each side.
#[test]
fn an_idle_session_has_one_thread() {
    in_time(|| {
        let server = started(mounting().thread_name("one-srv"));
        let clients: Vec<_> = (0..3)
            .map(|_| started(joining(&server).thread_name("one-cli")))
            .collect();
        // The dial's thread may be about to end.
        threads::await_none("one-cli-dial");
        assert_eq!(threads::named("one-cli").len(), clients.len());
        server.wait_session(PATIENCE).unwrap();
        assert_eq!(threads::named("one-srv").len(), 1 + clients.len());
    });
}

#[test]
fn a_handler_has_the_given_stack_size() {
    /// More than a thread's default stack.
    const DEEP: usize = 4 << 20;

    fn deep() -> u8 {
        let stack = black_box([1_u8; DEEP]);
        stack[black_box(DEEP / 2)]
    }

    in_time(|| {
        let server = |server: wirenet::Builder| {
            let server = server.stack_size(8 * DEEP);
            server.stream("deep", |stream| stream.write_message([deep()]))
        };
        let link = Link::new(server, as_it_is);
        let stream = link.near.open_stream("deep").unwrap();
        assert_eq!(crate::support::wires::message(&stream).unwrap(), [1]);
    });
}

#[test]
fn idle_handler_threads_are_reused() {
    in_time(|| {
        let link = Link::new(
            |server| server.thread_name("again").stream("echo", echo),
            as_it_is,
        );
        for _ in 0..50 {
            assert_echoes(&link.near);
        }
        let handlers = threads::named("again-handler").len();
        assert!(
            handlers <= 3,
            "{handlers} threads for one handler at a time"
        );
    });
}
