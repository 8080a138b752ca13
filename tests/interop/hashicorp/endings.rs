//! Half-closes, resets, pings, and the end of the connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use wirenet::yamux::{Connection, Stream};

use super::{
    They, accept_hearing, echo, echo_until_closed, expect_rest, hear, open_saying, play,
    play_expecting, say,
};
use crate::pattern::pattern;

const REQUEST: usize = 100_000;
const ANSWER: usize = 200_000;

fn send_and_half_close(mut stream: &Stream, seed: u64, size: usize) {
    stream.write_all(&pattern(seed, size)).expect("a write");
    stream.shutdown(Shutdown::Write).expect("a half-close");
}

#[test]
fn each_half_closes_by_itself_when_we_open() {
    play("half-close", They::Answer, |connection| {
        let control = open_saying(connection, b'c');
        let asked = connection.open().expect("an open");
        send_and_half_close(&asked, 1, REQUEST);
        hear(&control, b'a');
        expect_rest(&asked, 2, ANSWER);
        // And the other way round: they close first, and we still write.
        let stream = open_saying(connection, b'x');
        expect_rest(&stream, 0, 0);
        send_and_half_close(&stream, 3, ANSWER);
        say(&control, b'd');
        hear(&control, b'o');
        connection.close();
    });
}

#[test]
fn each_half_closes_by_itself_when_they_open() {
    play("half-close", They::Open, |connection| {
        let control = accept_hearing(connection, b'c');
        let asked = connection.accept().expect("a stream");
        expect_rest(&asked, 1, REQUEST);
        send_and_half_close(&asked, 2, ANSWER);
        say(&control, b'a');
        let stream = accept_hearing(connection, b'x');
        stream.shutdown(Shutdown::Write).expect("a half-close");
        hear(&control, b'd');
        expect_rest(&stream, 3, ANSWER);
        say(&control, b'o');
        echo_until_closed(connection);
    });
}

/// What our resets look like in the Go program's notes.
const OUR_RESET: &[&str] = &["reset frame type"];

#[test]
fn our_reset_ends_a_stream_and_nothing_else_when_we_open() {
    play_expecting(OUR_RESET, "reset", They::Answer, |connection| {
        let stream = open_saying(connection, b'x');
        hear(&stream, b'y');
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
fn our_reset_ends_a_stream_and_nothing_else_when_they_open() {
    play_expecting(OUR_RESET, "reset", They::Open, |connection| {
        let stream = accept_hearing(connection, b'x');
        say(&stream, b'y');
        hear(&stream, b'r');
        stream.reset();
        echo_until_closed(connection);
    });
}

/// hashicorp/yamux resets what it has no room for; and logs what we had sent
/// on that stream, which nobody could know.
#[test]
fn their_reset_ends_a_stream_and_nothing_else() {
    const OVERRUN: &[&str] = &[
        "backlog exceeded",
        "Discarding data",
        "frame for missing stream",
    ];
    play_expecting(OVERRUN, "backlog", They::Answer, |connection| {
        let control = open_saying(connection, b'c');
        hear(&control, b'r');
        let waiting = open_saying(connection, b'w');
        let mut refused = connection.open().expect("an open");
        refused.flush().expect("the SYN leaves");
        let error = refused
            .read(&mut [0])
            .expect_err("a read on a stream that was reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        refused
            .write_all(b"z")
            .expect_err("a write on a stream that was reset");
        say(&control, b's');
        hear(&waiting, b'w');
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
    play("ping", They::Answer, |connection| {
        three_pings(connection);
        echo(connection.open().expect("an open"), 1, 64);
        connection.close();
    });
}

#[test]
fn both_sides_answer_pings_when_they_open() {
    play("ping", They::Open, |connection| {
        three_pings(connection);
        echo_until_closed(connection);
    });
}

#[test]
fn their_go_away_refuses_new_streams_and_lets_the_open_ones_finish() {
    play("go-away", They::Answer, |connection| {
        let stream = open_saying(connection, b'g');
        hear(&stream, b'a');
        assert!(connection.open().is_err(), "an open after their go away");
        echo(stream, 7, 300_000);
        connection.close();
    });
}

#[test]
fn our_go_away_refuses_new_streams_and_lets_the_open_ones_finish() {
    play("go-away", They::Open, |connection| {
        let stream = accept_hearing(connection, b'g');
        connection.go_away();
        say(&stream, b'a');
        io::copy(&mut &stream, &mut &stream).expect("an echo after our go away");
        drop(stream);
        assert!(connection.accept().is_err(), "they close the connection");
    });
}

/// A stream that the connection's end cuts is not complete.
fn expect_cut(mut stream: &Stream) {
    stream
        .read(&mut [0])
        .expect_err("a stream of a closed connection");
}

fn expect_over(connection: &Connection) {
    assert!(connection.accept().is_err());
    assert!(connection.is_closed());
    assert!(connection.open().is_err());
}

#[test]
fn our_close_is_a_good_end_when_we_opened() {
    play("close-opener", They::Answer, |connection| {
        let stream = open_saying(connection, b'x');
        hear(&stream, b'y');
        connection.close();
        expect_cut(&stream);
        expect_over(connection);
    });
}

#[test]
fn our_close_is_a_good_end_when_they_opened() {
    play("close-other", They::Open, |connection| {
        let stream = accept_hearing(connection, b'x');
        connection.close();
        expect_cut(&stream);
        expect_over(connection);
    });
}

#[test]
fn their_close_wakes_every_waiter_when_we_opened() {
    play("close-other", They::Answer, |connection| {
        let stream = open_saying(connection, b'x');
        expect_cut(&stream);
        expect_over(connection);
    });
}

#[test]
fn their_close_wakes_every_waiter_when_they_opened() {
    play("close-opener", They::Open, |connection| {
        let stream = accept_hearing(connection, b'x');
        say(&stream, b'y');
        expect_cut(&stream);
        expect_over(connection);
    });
}
