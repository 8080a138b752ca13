//! Peers that say nothing, or not enough: each is gone within the one deadline
//! of the handshake.

use crate::{
    attack::Attack,
    server::{Setup, TCP},
};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_millis(500);

pub const QUICK: Setup = Setup {
    name: "quick",
    set: |builder| builder.handshake_timeout(DEADLINE),
};

#[test]
fn who_says_nothing_is_gone_within_the_handshake_timeout() {
    let attack = Attack {
        name: "32 connections that say nothing",
        limit: "handshake_timeout, here 500 ms",
        setup: &QUICK,
        memory: 1 << 20,
    };
    attack.run(TCP, |stage| {
        let began = Instant::now();
        let strangers: Vec<_> = (0..32).map(|_| stage.server.dial_raw()).collect();
        for mut stranger in strangers {
            stranger.until_end();
        }
        format!("all closed after {:.1?}", began.elapsed())
    });
}
