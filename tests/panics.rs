//! Panics of the user's code that go further than others: what is thrown panics
//! again when it is dropped, and the logger panics, as one that prints to a closed
//! pipe. In a process of its own, because it has one logger.

mod support;

use crossbeam_channel::unbounded;
use log::{LevelFilter, Log, Metadata, Record};
use std::{
    io::{self, Read},
    panic::panic_any,
    time::Duration,
};
use support::{
    PATIENCE, in_time,
    wires::{assert_echoes, echo, joining, mounting, started},
};
use wirenet::{Builder, Error, RefusalCode, Wire};

const BRIEF: Duration = Duration::from_millis(5);

/// Panics when it is dropped, with another one.
struct Thrown;

impl Drop for Thrown {
    fn drop(&mut self) {
        panic_any(Self);
    }
}

#[test]
fn what_is_thrown_and_panics_again_leaves_no_session_behind_and_no_hook_out() {
    in_time(|| {
        let (tell, ended) = unbounded();
        let server = started(
            mounting()
                .max_sessions(1)
                .token_validator(|name, id, _| match (name, id) {
                    ("confirmSession", b"thrown") | ("refused", _) => panic_any(Thrown),
                    _ => Ok(()),
                })
                .on_session_open(|_| panic_any(Thrown))
                .on_session_close(move |_| {
                    let _ = tell.send(());
                    panic_any(Thrown);
                })
                .on_error(|_| panic_any(Thrown))
                .stream("echo", echo)
                .stream("thrown", |_| panic_any(Thrown)),
        );
        for _ in 0..2 {
            let thrown = joining(&server).identification("thrown", "").retry_max(0);
            thrown.build().unwrap().start().unwrap_err();
            let client = started(joining(&server).retry_wait(BRIEF, BRIEF));
            let session = client.wait_session(PATIENCE).unwrap();
            session.open_stream("refused").unwrap_err();
            let mut thrown = session.open_stream("thrown").unwrap();
            thrown.read(&mut [0]).unwrap_err();
            assert_echoes(&session);
            client.close().unwrap();
            ended.recv_timeout(PATIENCE).unwrap();
        }
        server.close().unwrap();
    });
}

#[test]
fn an_error_handler_that_throws_does_not_end_the_session_that_it_is_told_of() {
    in_time(|| {
        let server = mounting().handler_limit(1).on_error(|_| panic_any(Thrown));
        let server =
            started(server.stream("wait", |stream| io::copy(stream, &mut io::sink()).map(drop)));
        let client = started(joining(&server).retry_max(0));
        let session = client.wait_session(PATIENCE).unwrap();
        let running = session.open_stream("wait").unwrap();
        // Told of on the thread that reads the session.
        session.open_stream("wait").unwrap_err();
        running.write_message(b"still there").unwrap();
        assert!(!session.is_closed());
        drop(running);
        client.close().unwrap();
        assert!(server.sessions().iter().all(wirenet::Session::is_closed));
        server.close().unwrap();
    });
}

struct Panicking;

impl Log for Panicking {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &Record<'_>) {
        panic!("the pipe is closed");
    }

    fn flush(&self) {}
}

#[test]
fn a_logger_that_panics_takes_neither_sessions_nor_names_along() {
    in_time(|| {
        let _ = log::set_logger(&Panicking);
        log::set_max_level(LevelFilter::Trace);
        let (tell, ended) = unbounded();
        let hub = Wire::hub("127.0.0.1:0").on_session_close(move |session| {
            let _ = tell.send(session.identification().to_vec());
        });
        let hub = started(hub.max_sessions(2));
        let up = |client: Builder| {
            let client = client.retry_max(0).build().unwrap();
            // Until the hub has entered the session that it takes over from, or
            // has done with that.
            while let Err(error) = client.start() {
                use RefusalCode::{NameTaken, TooManySessions};
                let Error::SessionRefused { code, .. } = &error else {
                    panic!("{error}");
                };
                assert!(matches!(code, Some(NameTaken | TooManySessions)), "{error}");
            }
            client
        };
        let owner = || {
            let owner = joining(&hub).identification("box-1", "");
            up(owner.stream("echo", echo))
        };
        for _ in 0..2 {
            // The second one takes over, which is logged.
            let (first, second) = (owner(), owner());
            let caller = up(joining(&hub));
            assert_echoes(&caller.sessions()[0]);
            // Refused, which is logged where nobody else is told.
            caller.sessions()[0].open_stream("nobody").unwrap_err();
            for client in [first, second, caller] {
                let _ = client.close();
                ended.recv_timeout(PATIENCE).unwrap();
            }
        }
        hub.close().unwrap();
    });
}
