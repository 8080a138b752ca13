//! Pings: who waits for an answer gets it, or hears of the end.

use super::stage::{Frames, Hears, ROOMY, Says, config, run, stage};
use crate::{
    sync::{Time, check, thread},
    yamux::{
        Error, Role,
        frame::{Flags, Header, Kind},
    },
};

/// Answers pings until the connection ends.
fn answer(mut hears: Hears, mut says: Says) {
    loop {
        let bytes = hears.some();
        if bytes.is_empty() {
            return says.finish();
        }
        let mut frames = Frames::default();
        frames.take(&bytes);
        for frame in frames.whole() {
            if frame.header.kind == Kind::Ping {
                says.frame(Header::ping(Flags::ACK, frame.header.length), b"");
            }
        }
    }
}

/// Two threads ping; `judge` gets what they got, while the connection closes
/// if `closing`.
fn pinging(
    time: Time,
    answered: bool,
    closing: bool,
    judge: impl Fn(&Result<std::time::Duration, Error>) + Send + Sync + 'static,
) {
    check(time, move || {
        let stage = stage(Role::Client, config(), ROOMY);
        let reading = run(stage.reader);
        let (hears, says) = (stage.peer.hears, stage.peer.says);
        let peer = thread::spawn(move || match answered {
            true => answer(hears, says),
            false => drop((hears.until_the_end(), says)),
        });
        let pingers = [(); 2].map(|()| {
            let connection = stage.connection.clone();
            thread::spawn(move || connection.ping())
        });
        if closing {
            stage.connection.start_close();
        }
        for pinger in pingers {
            judge(&pinger.join().unwrap());
        }
        stage.connection.cut();
        peer.join().unwrap();
        let _ = reading.join().unwrap();
    });
}

#[test]
fn every_ping_gets_its_answer() {
    pinging(Time::Stands, true, false, |answer| {
        assert!(answer.is_ok(), "{answer:?}");
    });
}

#[test]
fn a_close_wakes_who_waits_for_an_answer() {
    pinging(Time::Stands, false, true, |answer| {
        assert!(matches!(answer, Err(Error::Closed)), "{answer:?}");
    });
}

#[test]
fn a_ping_is_answered_or_the_connection_closed() {
    pinging(Time::Stands, true, true, |answer| {
        let ends = matches!(answer, Ok(_) | Err(Error::Closed));
        assert!(ends, "{answer:?}");
    });
}

#[test]
fn a_ping_without_an_answer_times_out() {
    pinging(Time::Passes, false, false, |answer| {
        assert!(matches!(answer, Err(Error::TimedOut)), "{answer:?}");
    });
}
