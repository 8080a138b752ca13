//! What users' own code may do from where the library calls it, and the ends
//! of what options may be.

mod support;

use crossbeam_channel::bounded;
use std::{
    io::Read,
    time::{Duration, Instant},
};
use support::{PATIENCE, in_time};
use wirenet::Wire;

const CLOSE: Duration = Duration::from_secs(3);

/// The other hook comes after this one, and a close waits for hooks.
#[test]
fn a_close_from_the_open_hook_does_not_wait_for_the_close_hook() {
    in_time(|| {
        let (sender, closed) = bounded(1);
        let server = Wire::mount("127.0.0.1:0")
            .session_close_timeout(CLOSE)
            .on_session_open(move |session| {
                let began = Instant::now();
                let outcome = session.close_wire();
                let _ = sender.send((outcome, began.elapsed()));
            })
            .on_session_close(|_| {})
            .build()
            .unwrap();
        server.start().unwrap();
        let addr = server.local_addr().unwrap().to_string();
        let client = Wire::join(addr).retry_max(0).build().unwrap();
        let _ = client.start();
        let (outcome, took) = closed.recv_timeout(PATIENCE).unwrap();
        assert_eq!(outcome, Ok(()), "after {took:?}");
        assert!(took < CLOSE, "{took:?}");
    });
}

/// The stream whose token is being checked is not waited for either.
#[test]
fn a_close_from_the_validator_of_a_stream_does_not_wait_for_that_stream() {
    in_time(|| {
        let (sender, closed) = bounded(1);
        let (give, given) = bounded::<wirenet::Session>(1);
        let server = Wire::mount("127.0.0.1:0")
            .session_close_timeout(CLOSE)
            .token_validator(move |name, _, _| {
                if name == "echo" {
                    let session = given.recv().unwrap();
                    let began = Instant::now();
                    let outcome = session.close_wire();
                    let _ = sender.send((outcome, began.elapsed()));
                }
                Ok(())
            })
            .stream("echo", |_| Ok(()))
            .build()
            .unwrap();
        server.start().unwrap();
        let addr = server.local_addr().unwrap().to_string();
        let client = Wire::join(addr).retry_max(0).build().unwrap();
        client.start().unwrap();
        give.send(server.wait_session(PATIENCE).unwrap()).unwrap();
        let near = client.wait_session(PATIENCE).unwrap();
        let mut stream = near.open_stream_nowait("echo").unwrap();
        let _ = stream.read(&mut [0; 1]);
        let (outcome, took) = closed.recv_timeout(PATIENCE).unwrap();
        assert_eq!(outcome, Ok(()), "after {took:?}");
        assert!(took < CLOSE, "{took:?}");
    });
}

/// A server and a client with these options have a session.
fn stands(options: impl Fn(wirenet::Builder) -> wirenet::Builder + Send + 'static) {
    in_time(move || {
        let server = options(Wire::mount("127.0.0.1:0")).build().unwrap();
        server.start().unwrap();
        let addr = server.local_addr().unwrap().to_string();
        let client = options(Wire::join(addr)).retry_max(0).build().unwrap();
        client.start().unwrap();
        client.close().unwrap();
        server.close().unwrap();
    });
}

/// The kernel's own interval has 32,767 s at most.
#[test]
fn a_keep_alive_interval_may_be_a_day() {
    stands(|builder| builder.keep_alive_interval(Duration::from_secs(24 * 3600)));
}

/// The kernel takes a user timeout up to 2³¹ ms.
#[test]
fn a_write_timeout_beyond_a_day_is_as_good_as_one_of_a_day() {
    stands(|builder| builder.read_write_timeouts(None, Duration::MAX));
}

/// A panic of any other user code is caught and reported.
#[test]
fn a_panic_of_the_retry_policy_is_caught_and_reported() {
    in_time(|| {
        let (handler, told) = support::link::errors();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        drop(listener);
        let client = Wire::join(addr)
            .on_error(handler)
            .retry_max(0)
            .retry_policy(|_| panic!("oh"))
            .build()
            .unwrap();
        let error = client.start().unwrap_err();
        let told: Vec<_> = told.try_iter().collect();
        // The wire was not closed, and nobody hears of the panic.
        assert!(
            !matches!(error, wirenet::Error::Closed) || !told.is_empty(),
            "{error}, and the error handler was told nothing"
        );
    });
}

/// And does not keep its place for the write timeout too.
#[test]
fn a_stranger_who_says_nothing_is_let_go_after_the_handshake_timeout() {
    in_time(|| {
        let (handler, told) = support::link::errors();
        let server = Wire::mount("127.0.0.1:0")
            .handshake_timeout(Duration::from_millis(300))
            .read_write_timeouts(None, Duration::from_secs(6))
            .on_error(handler)
            .build()
            .unwrap();
        server.start().unwrap();
        let began = Instant::now();
        let _stranger = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        told.recv_timeout(PATIENCE).unwrap();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
    });
}
