//! What goes over comes back.

use std::thread;

use wirenet::yamux::Connection;

use super::{They, echo, echo_until_closed, play};

#[test]
fn every_size_comes_back_when_we_open() {
    play("echo", They::Answer, |connection| {
        for size in [0, 1, 262_144, 8 << 20] {
            echo(connection.open().expect("an open"), size as u64, size);
        }
        connection.close();
    });
}

#[test]
fn every_size_comes_back_when_they_open() {
    play("echo", They::Open, echo_until_closed);
}

fn echo_at_once(connection: &Connection, streams: u64, size: fn(u64) -> u64) {
    thread::scope(|scope| {
        for i in 0..streams {
            scope.spawn(move || echo(connection.open().expect("an open"), i, size(i) as usize));
        }
    });
    connection.close();
}

#[test]
fn sixty_four_streams_at_once_do_not_mix_when_we_open() {
    play("many", They::Answer, |connection| {
        echo_at_once(connection, 64, |i| 5_000 * i + 1)
    });
}

#[test]
fn sixty_four_streams_at_once_do_not_mix_when_they_open() {
    play("many", They::Open, echo_until_closed);
}

/// More than the 256 that may be open and unacknowledged: each has to be
/// acknowledged once, and count no longer.
#[test]
fn three_hundred_opens_one_after_another_succeed_when_we_open() {
    play("serial", They::Answer, |connection| {
        for i in 0..300 {
            echo(connection.open().expect("an open"), i, 64);
        }
        connection.close();
    });
}

#[test]
fn three_hundred_opens_one_after_another_succeed_when_they_open() {
    play("serial", They::Open, echo_until_closed);
}

/// Past 256 unacknowledged ones hashicorp/yamux resets what is opened.
#[test]
fn three_hundred_streams_at_once_do_not_overrun_the_backlog_when_we_open() {
    play("burst", They::Answer, |connection| {
        echo_at_once(connection, 300, |_| 10)
    });
}

#[test]
fn three_hundred_streams_at_once_do_not_overrun_the_backlog_when_they_open() {
    play("burst", They::Open, echo_until_closed);
}
