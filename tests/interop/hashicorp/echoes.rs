//! Data that the peer echoes.

use super::{GoSide, echo_until_closed, run_scenario};
use crate::echo::{echo, echo_concurrently};

#[test]
fn every_size_is_echoed_when_we_open() {
    run_scenario("echo", GoSide::Answers, |connection| {
        for size in [0, 1, 262_144, 8 << 20] {
            echo(connection.open().expect("an open"), size as u64, size);
        }
        connection.close();
    });
}

#[test]
fn every_size_is_echoed_when_they_open() {
    run_scenario("echo", GoSide::Opens, echo_until_closed);
}

#[test]
fn sixty_four_concurrent_streams_do_not_mix_when_we_open() {
    run_scenario("many", GoSide::Answers, |connection| {
        echo_concurrently(connection, 64, |i| 5_000 * i + 1);
        connection.close();
    });
}

#[test]
fn sixty_four_concurrent_streams_do_not_mix_when_they_open() {
    run_scenario("many", GoSide::Opens, echo_until_closed);
}

/// Up to 256 streams may be open and unacknowledged. With more opens than that,
/// each must be acknowledged, and then no longer count.
#[test]
fn three_hundred_sequential_opens_succeed_when_we_open() {
    run_scenario("serial", GoSide::Answers, |connection| {
        for i in 0..300 {
            echo(connection.open().expect("an open"), i, 64);
        }
        connection.close();
    });
}

#[test]
fn three_hundred_sequential_opens_succeed_when_they_open() {
    run_scenario("serial", GoSide::Opens, echo_until_closed);
}

/// Beyond 256 unacknowledged streams, hashicorp/yamux resets new ones.
#[test]
fn three_hundred_concurrent_streams_do_not_overrun_the_backlog_when_we_open() {
    run_scenario("burst", GoSide::Answers, |connection| {
        echo_concurrently(connection, 300, |_| 10);
        connection.close();
    });
}

#[test]
fn three_hundred_concurrent_streams_do_not_overrun_the_backlog_when_they_open() {
    run_scenario("burst", GoSide::Opens, echo_until_closed);
}
