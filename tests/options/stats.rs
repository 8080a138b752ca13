//! `session.stats()` and `wire.stats()`.

use crate::support::{
    in_time,
    wires::{Link, as_it_is, assert_echoes, echo, joining, message, mounting, started},
};
use crossbeam_channel::bounded;
use std::time::SystemTime;
use wirenet::{Session, Stats};

#[test]
fn bytes_that_one_side_has_sent_the_other_has_received() {
    const LEN: usize = 100_000;

    in_time(|| {
        let link = Link::new(
            |server| server.stream("echo", echo),
            |client| client.stream("echo", echo),
        );
        for (session, count) in [(&link.near, 3), (&link.far, 2)] {
            for _ in 0..count {
                let stream = session.open_stream("echo").unwrap();
                stream.write_message(vec![1; LEN]).unwrap();
                assert_eq!(message(&stream).unwrap().len(), LEN);
            }
        }
        let (near, far) = (link.near.stats(), link.far.stats());
        assert_eq!(near.bytes_sent, far.bytes_received);
        assert_eq!(near.bytes_received, far.bytes_sent);
        // Five messages each way, their chunk headers, and the openings.
        for bytes in [near.bytes_sent, near.bytes_received] {
            let least = 5 * LEN as u64;
            assert!((least..least + least / 100).contains(&bytes), "{bytes}");
        }
        // Including the session's own stream.
        assert_eq!((near.streams_opened, near.streams_accepted), (4, 2));
        assert_eq!((far.streams_opened, far.streams_accepted), (2, 4));
        for stats in [near, far] {
            assert_eq!((stats.streams_refused, stats.streams_reset), (0, 0));
            assert_eq!(stats.sessions, 1);
        }
    });
}

fn refused(session: &Session) -> u64 {
    session.stats().streams_refused
}

#[test]
fn a_refused_stream_is_counted_on_both_sides() {
    in_time(|| {
        let (told, errors) = bounded(8);
        let link = Link::new(
            |server| server.on_error(move |_| told.send(()).unwrap()),
            as_it_is,
        );
        for count in 1..4 {
            link.near.open_stream("missing").unwrap_err();
            errors.recv().unwrap();
            assert_eq!((refused(&link.near), refused(&link.far)), (count, count));
        }
        assert_eq!(link.near.stats().streams_reset, 0);
    });
}

#[test]
fn a_reset_stream_is_counted_on_both_sides() {
    in_time(|| {
        let (read, reads) = bounded(1);
        let link = Link::serving("take", move |stream| {
            read.send(message(stream).is_err()).unwrap();
            Ok(())
        });
        for count in 1..4 {
            let stream = link.near.open_stream("take").unwrap();
            stream.reset();
            assert!(reads.recv().unwrap());
            // The answer to a later frame shows that the reset was received.
            link.near.open_stream("missing").unwrap_err();
            for session in [&link.near, &link.far] {
                assert_eq!(session.stats().streams_reset, count);
            }
        }
    });
}

#[test]
fn a_stream_that_is_cut_by_its_sessions_end_is_counted_as_reset() {
    in_time(|| {
        let (_release, released) = bounded::<()>(0);
        let link = Link::serving("wait", move |_| {
            assert!(released.recv().is_err());
            Ok(())
        });
        let _streams = [(); 2].map(|()| link.near.open_stream("wait").unwrap());
        link.near.abort();
        assert_eq!(link.near.stats().streams_reset, 2);
        assert!(link.client.stats().streams_reset == 2);
        drop(_release);
    });
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the stats contain times of that clock"
)]
fn a_wires_stats_are_the_sums_of_all_its_sessions_including_ended_ones() {
    in_time(|| {
        let before = SystemTime::now();
        let server = started(mounting().stream("echo", echo));
        let made = SystemTime::now();
        let empty = server.stats();
        assert_eq!((empty.sessions, empty.bytes_sent), (0, 0));
        assert!((before..=made).contains(&empty.since));
        let mut of_clients: Vec<Stats> = Vec::new();
        for _ in 0..3 {
            let client = started(joining(&server));
            assert_echoes(&client.sessions()[0]);
            client.close().unwrap();
            of_clients.push(client.stats());
        }
        let open = started(joining(&server));
        assert_echoes(&open.sessions()[0]);
        of_clients.push(open.stats());
        let all = server.stats();
        assert_eq!(all.sessions, 4);
        let sum = |number: fn(&Stats) -> u64| of_clients.iter().map(number).sum::<u64>();
        assert_eq!(all.bytes_received, sum(|stats| stats.bytes_sent));
        assert_eq!(all.bytes_sent, sum(|stats| stats.bytes_received));
        assert_eq!(all.streams_accepted, sum(|stats| stats.streams_opened));
        assert_eq!(all.streams_accepted, 8);
    });
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the stats contain times of that clock"
)]
fn a_sessions_stats_contain_the_time_of_its_opening() {
    in_time(|| {
        let server = started(mounting());
        let before = SystemTime::now();
        let client = started(joining(&server));
        let after = SystemTime::now();
        let since = client.sessions()[0].stats().since;
        assert!((before..=after).contains(&since));
        assert!(client.stats().since <= since);
    });
}
