//! The user's code has a stack of `stack_size` wherever it runs, and by default the
//! stack size of the standard library. If it had less, this process would crash.

mod support;

use crossbeam_channel::{Sender, unbounded};
use std::{error, fmt, hint::black_box, io, time::Duration};
use support::{
    PATIENCE, in_time,
    wires::{addr_of, joining, mounting, started},
};
use wirenet::{Builder, Denied, Wire};

/// Uses this much stack.
fn deep<const BYTES: usize>() {
    let stack = black_box([1_u8; BYTES]);
    assert_eq!(stack[black_box(BYTES / 2)], 1);
}

/// Less than the standard library gives a thread, and more than the library's own
/// threads would leave.
const DEFAULT: usize = 400 << 10;

/// More than the standard library gives a thread.
const LARGE: usize = 4 << 20;

fn large(builder: Builder) -> Builder {
    builder.stack_size(4 * LARGE)
}

/// Sets code that uses this much stack in each place where a wire runs the user's code.
/// It sends the name of its place.
fn set_everywhere<const BYTES: usize>(builder: Builder, told: &Sender<&'static str>) -> Builder {
    /// Uses this much stack when it is dropped.
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
            Err(io::Error::other(DeepDisplay::<BYTES>))
        })
}

/// An error that uses this much stack when it is formatted.
#[derive(Debug)]
struct DeepDisplay<const BYTES: usize>;

impl<const BYTES: usize> error::Error for DeepDisplay<BYTES> {}

impl<const BYTES: usize> fmt::Display for DeepDisplay<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        deep::<BYTES>();
        f.write_str("deep")
    }
}

/// Runs the code in all places of a server and a client.
fn run_everywhere<const BYTES: usize>(set: fn(Builder) -> Builder) {
    let (tell, told) = unbounded();
    let server = started(set_everywhere::<BYTES>(set(mounting()), &tell));
    let (client_tell, client_told) = unbounded();
    let client = |token: &str| {
        let client = joining(&server).identification("box-1", token);
        set_everywhere::<BYTES>(set(client), &client_tell)
            .build()
            .unwrap()
    };
    // The refusal is reported on both sides.
    client("wrong").start().unwrap_err();
    let joined = client("right");
    joined.start().unwrap();
    let session = joined.wait_session(PATIENCE).unwrap();
    // The handler's error is formatted on a handler's thread.
    let stream = session.open_stream("fails").unwrap();
    stream.next_message().unwrap_err();
    // The session breaks.
    session.abort();
    let _ = joined.wait();
    let places = |told: &crossbeam_channel::Receiver<&'static str>, wanted: &[&str]| {
        let mut left: Vec<_> = wanted.to_vec();
        while !left.is_empty() {
            let place = told.recv_timeout(PATIENCE).expect("every place is reached");
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
fn user_code_has_the_standard_librarys_stack_size_by_default() {
    in_time(|| run_everywhere::<DEFAULT>(|builder| builder));
}

#[test]
fn user_code_has_the_given_stack_size() {
    // The test itself drops some of the code.
    let test = std::thread::Builder::new().stack_size(4 * LARGE);
    let test = test.spawn(|| run_everywhere::<LARGE>(large)).unwrap();
    in_time(|| test.join().unwrap());
}

/// A stream that was held is offered on a thread of its own when the handler of another
/// stream makes room for it. Without a permit for a handler it is refused there, and
/// the error handler is called.
fn refuse_a_held_stream<const BYTES: usize>(set: fn(Builder) -> Builder) {
    let (report, reports) = unbounded();
    let (release, released) = unbounded::<()>();
    let server = set(mounting())
        .max_streams(1)
        .handler_limit(1)
        .on_error(move |error| {
            deep::<BYTES>();
            let _ = report.send(error.to_string());
        })
        .stream("blocks", move |stream| {
            io::copy(stream, &mut io::sink())?;
            let end = stream.next_message()?;
            assert!(!end, "the peer has closed the stream");
            // The held stream gets this one's place, but there is no other handler.
            stream.close()?;
            let _ = released.recv();
            Ok(())
        });
    let server = started(server);
    let client = started(joining(&server));
    let session = client.wait_session(PATIENCE).unwrap();
    let blocking = session.open_stream("blocks").unwrap();
    let held = session.open_stream_nowait("blocks").unwrap();
    blocking.write_message(b"end").unwrap();
    blocking.close().unwrap();
    let report = reports.recv_timeout(PATIENCE).unwrap();
    assert!(report.contains("handlers"), "{report}");
    held.next_message().unwrap_err();
    drop(release);
    drop((held, session));
    client.close().unwrap();
    server.close().unwrap();
}

#[test]
fn the_error_handler_has_its_stack_size_where_a_held_stream_is_refused() {
    in_time(|| refuse_a_held_stream::<DEFAULT>(|builder| builder));
    in_time(|| refuse_a_held_stream::<LARGE>(large));
}

/// Handlers may have a small stack; the library's own code needs more, and has it.
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
