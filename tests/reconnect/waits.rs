//! How long a client waits before it retries.

use super::{
    NEVER, SHORT,
    policies::{Asked, tell},
    servers::{break_handshake, hang_up, keep, stay},
};
use crate::support::{
    in_time,
    peer::{Peer, Script, ScriptedServer, play},
    wires::started,
};
use crossbeam_channel::unbounded;
use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};
use wirenet::Wire;

#[test]
fn waits_double_up_to_the_maximum() {
    const MIN: Duration = Duration::from_millis(64);
    const MAX: Duration = Duration::from_secs(2);

    in_time(|| {
        let scripts = (0..40).map(|_| Box::new(break_handshake) as Script);
        let (sender, asked) = unbounded();
        let client = Wire::join(play(scripts.collect()).to_string())
            .retry_wait(MIN, MAX)
            .retry_max(39)
            .retry_policy(move |retry| {
                tell(&sender, retry);
                retry.wait.map(|_| Duration::ZERO)
            });
        client.build().unwrap().start().unwrap_err();
        let mut waits = Vec::new();
        for asked in asked.iter().take(39) {
            let longest = MIN
                .saturating_mul(1 << (asked.attempt - 1).min(20))
                .min(MAX);
            let wait = asked.wait.unwrap();
            assert!(wait <= longest, "{wait:?} after {}", asked.attempt);
            waits.push(wait);
        }
        // With full jitter, some waits are short and some are long.
        assert!(waits.iter().any(|wait| *wait < MAX / 2));
        assert!(waits.iter().any(|wait| *wait > MAX / 2));
    });
}

#[test]
fn a_client_waits_as_long_as_the_policy_says() {
    in_time(|| {
        let scripts = (0..4).map(|_| Box::new(break_handshake) as Script);
        let (sender, asked) = unbounded();
        let client = Wire::join(play(scripts.collect()).to_string()).retry_policy(move |retry| {
            tell(&sender, retry);
            (retry.attempt < 4).then_some(SHORT)
        });
        client.build().unwrap().start().unwrap_err();
        let asked: Vec<Asked> = asked.iter().collect();
        for pair in asked.windows(2) {
            assert!(pair[1].at - pair[0].at >= SHORT);
        }
    });
}

#[test]
fn the_count_is_reset_only_after_a_session_that_has_lasted() {
    const MAX: Duration = Duration::from_millis(800);

    in_time(|| {
        let lasts = |mut client: Peer| {
            client.confirm_session()?;
            // Nothing arrives that would end it earlier.
            let _ = client.until_quiet(MAX + SHORT)?;
            client.socket().shutdown(Shutdown::Write)?;
            keep(client)
        };
        let scripts: Vec<Script> = vec![
            Box::new(hang_up),
            Box::new(hang_up),
            Box::new(hang_up),
            Box::new(lasts),
            Box::new(hang_up),
            Box::new(stay),
        ];
        let (sender, asked) = unbounded();
        let client = Wire::join(play(scripts).to_string())
            .retry_wait(Duration::from_millis(1), MAX)
            .session_close_timeout(Duration::ZERO)
            .retry_policy(move |retry| {
                tell(&sender, retry);
                Some(Duration::ZERO)
            });
        let _client = started(client);
        let attempts: Vec<u32> = asked.iter().take(5).map(|asked| asked.attempt).collect();
        assert_eq!(attempts, [1, 2, 3, 1, 2]);
    });
}

/// The server exchanges pings before it confirms the session, and then ends it at once:
/// the session has not lasted.
#[test]
fn the_time_of_the_handshake_does_not_count_as_the_life_of_a_session() {
    in_time(|| {
        const PARTS: usize = 8;
        /// A session that lasts this long resets the count.
        const LIFE: Duration = Duration::from_millis(500);
        let (count, counted) = unbounded();
        let part = || {
            let count = count.clone();
            Box::new(move |mut client: Peer| {
                count.send(()).unwrap();
                let confirmation = client.answer_to_request(&[])?;
                let began = Instant::now();
                while began.elapsed() < LIFE {
                    client.settle();
                }
                client.write_all(&confirmation)
            }) as Script
        };
        let addr = play((0..PARTS).map(|_| part()).collect());
        let client = Wire::join(addr.to_string())
            .retry_wait(Duration::from_millis(1), LIFE)
            .retry_max(2)
            .on_error(|_| {})
            .build()
            .unwrap();
        let _ = client.connect();
        assert_eq!(counted.try_iter().count(), 3);
    });
}

#[test]
fn a_server_that_accepts_and_closes_is_not_flooded() {
    in_time(|| {
        let (dialled, dials) = unbounded();
        let server = ScriptedServer::listen(move |client| {
            client.confirm_session()?;
            client.socket().shutdown(Shutdown::Write)?;
            dialled.send(()).unwrap();
            Ok(())
        });
        let client = Wire::join(server.addr.to_string());
        // If each session reset the count, no wait would be longer than this.
        let client = started(client.retry_wait(Duration::from_millis(1), NEVER));
        // Waits of 2^n ms: this many attempts take seconds.
        let begin = Instant::now();
        let mut count = 0;
        while begin.elapsed() < 4 * SHORT {
            count += usize::from(dials.recv_timeout(SHORT).is_ok());
        }
        assert!(count < 40, "{count} tries in {:?}", begin.elapsed());
        client.close().unwrap();
    });
}
