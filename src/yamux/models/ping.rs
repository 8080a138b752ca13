//! Pings: a thread that waits for an answer gets it, or an error at the end.

use super::stage::{Frames, PeerReceiver, PeerSender, ROOMY, config, run, stage};
use crate::{
    sync::{Time, check, thread},
    yamux::{
        Error, Role,
        frame::{Flags, Header, Kind},
    },
};

/// Answers pings until the connection ends.
fn answer(mut receiver: PeerReceiver, mut sender: PeerSender) {
    loop {
        let bytes = receiver.read();
        if bytes.is_empty() {
            return sender.finish();
        }
        let mut frames = Frames::default();
        frames.take(&bytes);
        for frame in frames.whole() {
            if frame.header.kind == Kind::Ping {
                sender.send(Header::ping(Flags::ACK, frame.header.length), b"");
            }
        }
    }
}

/// Two threads ping, while the connection closes if `closing`; `judge` checks each
/// outcome.
fn pinging(
    time: Time,
    answered: bool,
    closing: bool,
    judge: impl Fn(&Result<std::time::Duration, Error>) + Send + Sync + 'static,
) {
    check(time, move || {
        let stage = stage(Role::Client, config(), ROOMY);
        let reading = run(stage.reader);
        let (receiver, sender) = (stage.peer.receiver, stage.peer.sender);
        let peer = thread::spawn(move || match answered {
            true => answer(receiver, sender),
            false => drop((receiver.read_to_end(), sender)),
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
    pinging(Time::Fixed, true, false, |answer| {
        assert!(answer.is_ok(), "{answer:?}");
    });
}

#[test]
fn a_close_wakes_a_thread_that_waits_for_an_answer() {
    pinging(Time::Fixed, false, true, |answer| {
        assert!(matches!(answer, Err(Error::Closed)), "{answer:?}");
    });
}

#[test]
fn a_ping_is_answered_or_the_connection_closed() {
    pinging(Time::Fixed, true, true, |answer| {
        let ends = matches!(answer, Ok(_) | Err(Error::Closed));
        assert!(ends, "{answer:?}");
    });
}

#[test]
fn a_ping_without_an_answer_times_out() {
    pinging(Time::Advancing, false, false, |answer| {
        assert!(matches!(answer, Err(Error::TimedOut(_))), "{answer:?}");
    });
}
