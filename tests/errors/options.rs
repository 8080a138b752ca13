//! Wrong options: addresses, names, timeouts.

use crate::{
    support::{
        in_time,
        refusing::Refusing,
        wires::{Link, as_it_is, mounting},
    },
    table::row,
};
use std::time::Duration;
use wirenet::{Builder, SessionId, Wire};

const ZERO: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

/// A row for an option that `build` refuses.
#[track_caller]
fn refused(call: &str, set: impl FnOnce(Builder) -> Builder, expected: &[&str]) {
    let error = set(mounting()).build().expect_err(call);
    assert!(error.is_permanent(), "{error}");
    row(call, error, expected);
}

#[test]
fn a_time_of_zero_is_refused() {
    let positive = "must be greater than zero, but is 0";
    refused(
        "dial_timeout(0)",
        |builder| builder.dial_timeout(ZERO),
        &["option dial_timeout: ", positive],
    );
    refused(
        "handshake_timeout(0)",
        |builder| builder.handshake_timeout(ZERO),
        &["option handshake_timeout: ", positive],
    );
    refused(
        "keep_alive_interval(0)",
        |builder| builder.keep_alive_interval(ZERO),
        &[
            "option keep_alive_interval: ",
            positive,
            "`keep_alive(false)`",
        ],
    );
    refused(
        "read_write_timeouts(Some(0), 1 s)",
        |builder| builder.read_write_timeouts(Some(ZERO), SECOND),
        &["option read_write_timeouts: `read` ", positive, "`None`"],
    );
    refused(
        "read_write_timeouts(None, 0)",
        |builder| builder.read_write_timeouts(None, ZERO),
        &["option read_write_timeouts: `write` ", positive],
    );
    refused(
        "retry_wait(0, 1 s)",
        |builder| builder.retry_wait(ZERO, SECOND),
        &["option retry_wait: `min` ", positive],
    );
    refused(
        "retry_wait(2 s, 1 s)",
        |builder| builder.retry_wait(2 * SECOND, SECOND),
        &["option retry_wait: `min` must not exceed `max`", "2s", "1s"],
    );
}

#[test]
fn a_count_of_zero_is_refused() {
    let positive = "must be greater than zero, but is 0";
    refused(
        "max_sessions(0)",
        |builder| builder.max_sessions(0),
        &["option max_sessions: ", positive],
    );
    refused(
        "max_handshakes(0)",
        |builder| builder.max_handshakes(0),
        &["option max_handshakes: ", positive],
    );
    refused(
        "max_streams(0)",
        |builder| builder.max_streams(0),
        &["option max_streams: ", positive],
    );
    refused(
        "handler_limit(0)",
        |builder| builder.handler_limit(0),
        &["option handler_limit: ", positive],
    );
}

#[test]
fn an_identification_a_token_or_a_thread_name_that_is_not_allowed_is_refused() {
    refused(
        "an identification of 5,000 bytes",
        |builder| builder.identification([0; 5000], ""),
        &[
            "option identification: the identification has 5000 bytes",
            "at most 4096",
        ],
    );
    refused(
        "a token of 5,000 bytes",
        |builder| builder.identification("", [0; 5000]),
        &[
            "option identification: the token has 5000 bytes",
            "at most 4096",
        ],
    );
    refused(
        "thread_name(\"a\\0b\")",
        |builder| builder.thread_name("a\0b"),
        &["option thread_name: ", r#""a\0b""#, "NUL"],
    );
}

#[test]
fn a_stream_name_that_is_not_allowed_is_refused() {
    in_time(|| {
        let link = Link::new(as_it_is, as_it_is);
        let long = "n".repeat(300);
        let too_long = "the stream name has 300 bytes, and at most 255 are allowed";
        for (call, name, expected) in [
            ("open_stream(\"\")", "", "the stream name is empty"),
            ("open_stream of 300 bytes", &long, too_long),
        ] {
            let error = link.near.open_stream(name).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            row(call, error, &[expected]);
        }
        for (call, name, expected) in [
            (
                "stream(\"\")",
                "",
                "option stream: the stream name is empty",
            ),
            ("stream of 300 bytes", &long, too_long),
            (
                "stream(\"confirmSession\")",
                "confirmSession",
                "choose another one",
            ),
        ] {
            refused(
                call,
                |builder| builder.stream(name, |_| Ok(())),
                &[expected],
            );
            let later = link.server.stream(name, |_| Ok(()));
            row(format!("{call}, later"), later.unwrap_err(), &[expected]);
        }
    });
}

#[test]
fn too_many_handlers_are_refused() {
    let many = |builder| {
        let handle = |builder: Builder, number| builder.stream(format!("{number}"), |_| Ok(()));
        (0..1025).fold(builder, handle)
    };
    let expected = [
        "option stream: no room for",
        "there are 1024 handlers",
        "at most 1024",
    ];
    refused("1,025 handlers", many, &expected);
    let long = |builder| {
        let name = |number| format!("{number:0255}");
        let handle = |builder: Builder, number| builder.stream(name(number), |_| Ok(()));
        (0..600).fold(builder, handle)
    };
    refused("names of 153,000 bytes", long, &["no room for", "131072"]);
}

#[test]
fn a_thread_that_cannot_be_started() {
    in_time(|| {
        let check = "check this process's limits on threads and memory";
        let huge = usize::MAX / 8;
        let server = mounting().stack_size(huge).build().unwrap();
        row(
            "start, with a stack that does not fit into memory",
            server.start().unwrap_err(),
            &["cannot start a thread: ", check],
        );
        let client = Wire::join("127.0.0.1:1").stack_size(huge).retry_max(0);
        row(
            "connect, with a stack that does not fit into memory",
            client.build().unwrap().connect().unwrap_err(),
            &["127.0.0.1:1: no thread could be started for it", check],
        );
    });
}

#[test]
fn a_text_that_is_not_a_session_id() {
    let error = "box-1".parse::<SessionId>().unwrap_err();
    row(
        "SessionId of \"box-1\"",
        error,
        &[r#""box-1" is not a session id"#, "67e55044-"],
    );
}

#[test]
fn a_client_whose_server_is_not_there_names_the_address_and_the_cause() {
    in_time(|| {
        let refusing = Refusing::new();
        let addr = refusing.addr;
        let client = Wire::join(addr).build().unwrap();
        let error = client.start_within(Duration::from_millis(100)).unwrap_err();
        let cause = format!("cannot connect to {addr}: ");
        row(
            format!("join({addr})"),
            error,
            &["no session within 100ms: ", &cause],
        );
    });
}
