//! The user's code has the stack that `stack_size` says, wherever it runs, and
//! that of the standard library by default. Where it had less, this process would
//! be gone.

mod support;

use crossbeam_channel::{Sender, unbounded};
use std::{error, fmt, hint::black_box, io, time::Duration};
use support::{
    PATIENCE, in_time,
    wires::{addr_of, joining, mounting, started},
};
use wirenet::{Builder, Denied, Wire};

/// Uses so much stack.
fn deep<const BYTES: usize>() {
    let stack = black_box([1_u8; BYTES]);
    assert_eq!(stack[black_box(BYTES / 2)], 1);
}

/// Less than a thread of the standard library's has, and more than was left by
/// threads of the library's own.
const DEFAULT: usize = 400 << 10;

/// More than a thread of the standard library's has.
const LARGE: usize = 4 << 20;

fn large(builder: Builder) -> Builder {
    builder.stack_size(4 * LARGE)
}

/// Code that uses so much stack in each place where code may be, and tells where.
fn everywhere<const BYTES: usize>(builder: Builder, told: &Sender<&'static str>) -> Builder {
    /// Uses it when it is dropped.
    struct Dropped<const BYTES: usize>(Sender<&'static str>);
    impl<const BYTES: usize> Drop for Dropped<BYTES> {
        fn drop(&mut self) {
            deep::<BYTES>();
            let _ = self.0.send("drop");
        }
    }
    let tell = |place| {
        let told = told.clone();
        move || {
            deep::<BYTES>();
            let _ = told.send(place);
        }
    };
    let [validator, access, error, policy, opened, closed, connected] = [
        "validator",
        "access",
        "error",
        "policy",
        "opened",
        "closed",
        "connected",
    ]
    .map(tell);
    let dropped = Dropped::<BYTES>(told.clone());
    builder
        .token_validator(move |_, _, token| {
            validator();
            let known = token == b"right";
            known
                .then_some(())
                .ok_or_else(|| Denied::for_now("not now"))
        })
        .access(move |_| {
            access();
            Ok(())
        })
        .on_error(move |_| error())
        .on_session_open(move |_| opened())
        .on_session_close(move |_| closed())
        .on_connect(move |_| connected())
        .retry_policy(move |_| {
            policy();
            None
        })
        .stream("fails", move |_| {
            let _ = &dropped;
            Err(io::Error::other(Shown::<BYTES>))
        })
}

/// An error that uses it when it is shown.
#[derive(Debug)]
struct Shown<const BYTES: usize>;

impl<const BYTES: usize> error::Error for Shown<BYTES> {}

impl<const BYTES: usize> fmt::Display for Shown<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        deep::<BYTES>();
        f.write_str("shown")
    }
}

/// Goes through all places of a server and a client.
fn go_everywhere<const BYTES: usize>(set: fn(Builder) -> Builder) {
    let (tell, told) = unbounded();
    let server = started(everywhere::<BYTES>(set(mounting()), &tell));
    let (client_tell, client_told) = unbounded();
    let client = |token: &str| {
        let client = joining(&server).identification("box-1", token);
        everywhere::<BYTES>(set(client), &client_tell)
            .build()
            .unwrap()
    };
    // Refused, and told so on both sides.
    client("wrong").start().unwrap_err();
    let joined = client("right");
    joined.start().unwrap();
    let session = joined.wait_session(PATIENCE).unwrap();
    // Its error is shown on a handler's thread.
    let stream = session.open_stream("fails").unwrap();
    stream.next_message().unwrap_err();
    // The session breaks.
    session.abort();
    let _ = joined.wait();
    let places = |told: &crossbeam_channel::Receiver<&'static str>, wanted: &[&str]| {
        let mut left: Vec<_> = wanted.to_vec();
        while !left.is_empty() {
            let place = told.recv_timeout(PATIENCE).expect("all places are come to");
            left.retain(|wanted| *wanted != place);
        }
    };
    let server_places = [
        "validator",
        "access",
        "error",
        "opened",
        "closed",
        "connected",
    ];
    places(&told, &server_places);
    places(&client_told, &["policy", "opened", "closed", "connected"]);
    drop((session, stream, joined));
    let _ = server.close();
    drop(server);
    places(&told, &["drop"]);
    places(&client_told, &["drop"]);
}

#[test]
fn code_of_the_users_has_the_stack_of_the_standard_library_by_default() {
    in_time(|| go_everywhere::<DEFAULT>(|builder| builder));
}

#[test]
fn code_of_the_users_has_the_stack_that_was_asked_for() {
    // Where the test itself drops something.
    let test = std::thread::Builder::new().stack_size(4 * LARGE);
    let test = test.spawn(|| go_everywhere::<LARGE>(large)).unwrap();
    in_time(|| test.join().unwrap());
}

/// The stack of handlers may be small; what the library does itself has enough.
#[test]
fn a_small_stack_is_enough_for_a_session() {
    in_time(|| {
        let small = |builder: Builder| builder.stack_size(128 << 10);
        let server = small(mounting()).stream("hello", |stream| stream.write_message(b"hello"));
        let server = started(server);
        let client = Wire::join(format!("localhost:{}", addr_of(&server).port()));
        let client = started(small(client).dial_timeout(Duration::from_secs(20)));
        let stream = client.sessions()[0].open_stream("hello").unwrap();
        assert_eq!(support::wires::message(&stream).unwrap(), b"hello");
    });
}
