//! Panics of the user's code that are worse than others: a panic payload that panics
//! again when it is dropped, and a logger that panics, like one that prints to a closed
//! pipe. These tests have a process of their own, as a process has one logger.

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

/// A panic payload that panics when it is dropped, with another such payload.
struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic_any(Self);
    }
}

#[test]
fn a_panic_payload_that_panics_again_leaks_no_session_and_skips_no_hook() {
    in_time(|| {
        let (tell, ended) = unbounded();
        let server = started(
            mounting()
                .max_sessions(1)
                .token_validator(|name, id, _| match (name, id) {
                    ("confirmSession", b"thrown") | ("refused", _) => panic_any(PanicsOnDrop),
                    _ => Ok(()),
                })
                .on_session_open(|_| panic_any(PanicsOnDrop))
                .on_session_close(move |_| {
                    let _ = tell.send(());
                    panic_any(PanicsOnDrop);
                })
                .on_error(|_| panic_any(PanicsOnDrop))
                .stream("echo", echo)
                .stream("thrown", |_| panic_any(PanicsOnDrop)),
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
fn an_error_handler_that_panics_on_drop_does_not_end_the_session() {
    in_time(|| {
        let server = mounting()
            .handler_limit(1)
            .on_error(|_| panic_any(PanicsOnDrop));
        let server =
            started(server.stream("wait", |stream| io::copy(stream, &mut io::sink()).map(drop)));
        let client = started(joining(&server).retry_max(0));
        let session = client.wait_session(PATIENCE).unwrap();
        let running = session.open_stream("wait").unwrap();
        // Reported on the thread that reads the session.
        session.open_stream("wait").unwrap_err();
        running.write_message(b"still open").unwrap();
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
fn a_logger_that_panics_leaks_neither_sessions_nor_names() {
    in_time(|| {
        let _ = log::set_logger(&Panicking);
        log::set_max_level(LevelFilter::Trace);
        let (tell, ended) = unbounded();
        let hub = Wire::hub("127.0.0.1:0").on_session_close(move |session| {
            let _ = tell.send(session.identification().to_vec());
        });
        let hub = started(hub.max_sessions(2));
        let start = |client: Builder| {
            let client = client.retry_max(0).build().unwrap();
            // Retries until the hub has listed the session whose names this one
            // takes over, or has removed it.
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
            start(owner.stream("echo", echo))
        };
        for _ in 0..2 {
            // The second owner takes over, which is logged.
            let (first, second) = (owner(), owner());
            let caller = start(joining(&hub));
            assert_echoes(&caller.sessions()[0]);
            // Refused, which is logged as there is no error handler.
            caller.sessions()[0].open_stream("missing").unwrap_err();
            for client in [first, second, caller] {
                let _ = client.close();
                ended.recv_timeout(PATIENCE).unwrap();
            }
        }
        hub.close().unwrap();
    });
}
