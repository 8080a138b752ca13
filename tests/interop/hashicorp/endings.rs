//! Half-closes, resets, pings, and the end of the connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use wirenet::yamux::{Connection, Stream};

use super::{
    GoSide, accept_and_expect, echo_until_closed, expect_byte, open_and_send, run_scenario,
    run_scenario_expecting, send_byte,
};
use crate::echo::{echo, expect_rest};
use crate::pattern::pattern;

const REQUEST: usize = 100_000;
const ANSWER: usize = 200_000;

fn send_and_half_close(mut stream: &Stream, seed: u64, size: usize) {
    stream.write_all(&pattern(seed, size)).expect("a write");
    stream.shutdown(Shutdown::Write).expect("a half-close");
}

#[test]
fn each_half_closes_independently_when_we_open() {
    run_scenario("half-close", GoSide::Answers, |connection| {
        let control = open_and_send(connection, b'c');
        let asked = connection.open().expect("an open");
        send_and_half_close(&asked, 1, REQUEST);
        expect_byte(&control, b'a');
        expect_rest(&asked, 2, ANSWER);
        // The reverse: they half-close first, and we write afterwards.
        let stream = open_and_send(connection, b'x');
        expect_rest(&stream, 0, 0);
        send_and_half_close(&stream, 3, ANSWER);
        send_byte(&control, b'd');
        expect_byte(&control, b'o');
        connection.close();
    });
}

#[test]
fn each_half_closes_independently_when_they_open() {
    run_scenario("half-close", GoSide::Opens, |connection| {
        let control = accept_and_expect(connection, b'c');
        let asked = connection.accept().expect("a stream");
        expect_rest(&asked, 1, REQUEST);
        send_and_half_close(&asked, 2, ANSWER);
        send_byte(&control, b'a');
        let stream = accept_and_expect(connection, b'x');
        stream.shutdown(Shutdown::Write).expect("a half-close");
        expect_byte(&control, b'd');
        expect_rest(&stream, 3, ANSWER);
        send_byte(&control, b'o');
        echo_until_closed(connection);
    });
}

/// The complaint that our resets cause in the Go program.
const OUR_RESET: &[&str] = &["reset frame type"];

#[test]
fn our_reset_ends_only_its_stream_when_we_open() {
    run_scenario_expecting(OUR_RESET, "reset", GoSide::Answers, |connection| {
        let stream = open_and_send(connection, b'x');
        expect_byte(&stream, b'y');
        stream.reset();
        echo(
            connection.open().expect("an open after a reset"),
            5,
            100_000,
        );
        connection.close();
    });
}

#[test]
fn our_reset_ends_only_its_stream_when_they_open() {
    run_scenario_expecting(OUR_RESET, "reset", GoSide::Opens, |connection| {
        let stream = accept_and_expect(connection, b'x');
        send_byte(&stream, b'y');
        expect_byte(&stream, b'r');
        stream.reset();
        echo_until_closed(connection);
    });
}

/// hashicorp/yamux resets streams that exceed its backlog. It also logs the data
/// that we sent on such a stream before the reset reached us.
#[test]
fn their_reset_ends_only_its_stream() {
    const OVERRUN: &[&str] = &[
        "backlog exceeded",
        "Discarding data",
        "frame for missing stream",
    ];
    run_scenario_expecting(OVERRUN, "backlog", GoSide::Answers, |connection| {
        let control = open_and_send(connection, b'c');
        expect_byte(&control, b'r');
        let waiting = open_and_send(connection, b'w');
        let mut refused = connection.open().expect("an open");
        refused.flush().expect("the SYN leaves");
        let error = refused
            .read(&mut [0])
            .expect_err("a read on a stream that was reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        refused
            .write_all(b"z")
            .expect_err("a write on a stream that was reset");
        send_byte(&control, b's');
        expect_byte(&waiting, b'w');
        waiting.shutdown(Shutdown::Write).expect("a half-close");
        expect_rest(&waiting, 0, 0);
        connection.close();
    });
}

fn three_pings(connection: &Connection) {
    for _ in 0..3 {
        connection.ping().expect("a ping");
    }
    assert!(connection.round_trip_time().is_some());
}

#[test]
fn both_sides_answer_pings_when_we_open() {
    run_scenario("ping", GoSide::Answers, |connection| {
        three_pings(connection);
        echo(connection.open().expect("an open"), 1, 64);
        connection.close();
    });
}

#[test]
fn both_sides_answer_pings_when_they_open() {
    run_scenario("ping", GoSide::Opens, |connection| {
        three_pings(connection);
        echo_until_closed(connection);
    });
}

#[test]
fn their_go_away_refuses_new_streams_and_lets_the_open_ones_finish() {
    run_scenario("go-away", GoSide::Answers, |connection| {
        let stream = open_and_send(connection, b'g');
        expect_byte(&stream, b'a');
        assert!(connection.open().is_err(), "an open after their go away");
        echo(stream, 7, 300_000);
        connection.close();
    });
}

#[test]
fn our_go_away_refuses_new_streams_and_lets_the_open_ones_finish() {
    run_scenario("go-away", GoSide::Opens, |connection| {
        let stream = accept_and_expect(connection, b'g');
        connection.go_away();
        send_byte(&stream, b'a');
        io::copy(&mut &stream, &mut &stream).expect("an echo after our go away");
        drop(stream);
        assert!(connection.accept().is_err(), "they close the connection");
    });
}

/// Expects an error: a stream that the end of the connection cuts short is not
/// complete.
fn expect_cut(mut stream: &Stream) {
    stream
        .read(&mut [0])
        .expect_err("a stream of a closed connection");
}

fn expect_closed(connection: &Connection) {
    assert!(connection.accept().is_err());
    assert!(connection.is_closed());
    assert!(connection.open().is_err());
}

#[test]
fn our_close_is_graceful_when_we_opened() {
    run_scenario("close-opener", GoSide::Answers, |connection| {
        let stream = open_and_send(connection, b'x');
        expect_byte(&stream, b'y');
        connection.close();
        expect_cut(&stream);
        expect_closed(connection);
    });
}

#[test]
fn our_close_is_graceful_when_they_opened() {
    run_scenario("close-other", GoSide::Opens, |connection| {
        let stream = accept_and_expect(connection, b'x');
        connection.close();
        expect_cut(&stream);
        expect_closed(connection);
    });
}

#[test]
fn their_close_wakes_every_waiter_when_we_opened() {
    run_scenario("close-other", GoSide::Answers, |connection| {
        let stream = open_and_send(connection, b'x');
        expect_cut(&stream);
        expect_closed(connection);
    });
}

#[test]
fn their_close_wakes_every_waiter_when_they_opened() {
    run_scenario("close-opener", GoSide::Opens, |connection| {
        let stream = accept_and_expect(connection, b'x');
        send_byte(&stream, b'y');
        expect_cut(&stream);
        expect_closed(connection);
    });
}
