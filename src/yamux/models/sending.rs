//! Writers that wait for credit, and the events that end their wait.

use super::stage::{PeerSender, STREAM, Stage, client, run, send_all};
use crate::{
    sync::{Time, check, thread},
    yamux::{
        Error, INITIAL_WINDOW, Rest, Stream,
        frame::{Flags, Header},
    },
};
use std::{net::Shutdown, sync::Arc, time::Duration};

/// The credit that the writers find.
const CREDIT: u32 = 1;

/// How many bytes each of the two writers sends.
const EACH: usize = 4;

/// Leaves the stream this much credit.
fn leave(stream: &Stream, credit: u32) {
    let mut send = stream.core().send.lock();
    send.window.take(INITIAL_WINDOW - credit);
}

/// Two threads write more than there is credit for, while the peer runs `peer` and
/// this side runs `here`. `judge` gets the outcome of each write, and the number of
/// bytes that the peer received.
fn writing(
    time: Time,
    peer: impl Fn(&mut PeerSender) + Send + Sync + 'static,
    here: impl Fn(&Ours) + Send + Sync + 'static,
    judge: impl Fn(&[Result<(), Error>], usize) + Send + Sync + 'static,
) {
    let peer = Arc::new(peer);
    check(time, move || {
        let (stage, stream) = client();
        let Stage {
            connection,
            reader,
            peer: hand,
            ..
        } = stage;
        leave(&stream, CREDIT);
        if time == Time::Advancing {
            stream
                .set_write_timeout(Some(Duration::from_secs(1)))
                .unwrap();
        }
        let reading = run(reader);
        let (mut sender, peer) = (hand.sender, Arc::clone(&peer));
        let sending = thread::spawn(move || {
            peer(&mut sender);
            sender
        });
        let writers = [b'a', b'b'].map(|byte| {
            let stream = stream.clone();
            thread::spawn(move || send_all(&stream, &[byte; EACH]))
        });
        let stage = Ours { connection, stream };
        here(&stage);
        let outcomes = writers.map(|writer| writer.join().unwrap());
        stage.connection.start_close();
        let mut sender = sending.join().unwrap();
        sender.finish();
        let frames = hand.receiver.read_to_end();
        judge(&outcomes, super::stage::bytes_of(&frames, STREAM).len());
        let _ = reading.join().unwrap();
    });
}

/// This side of the connection.
struct Ours {
    connection: crate::yamux::Connection,
    stream: Stream,
}

fn nothing(_: &Ours) {}

fn grant(sender: &mut PeerSender, delta: u32) {
    sender.send(Header::window_update(STREAM, Flags::NONE, delta), b"");
}

fn all_is_sent(outcomes: &[Result<(), Error>], received: usize) {
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(received, 2 * EACH);
}

#[test]
fn a_window_update_wakes_all_waiting_writers() {
    writing(Time::Fixed, |sender| grant(sender, 7), nothing, all_is_sent);
}

#[test]
fn window_updates_add_up() {
    let one_by_one = |sender: &mut PeerSender| (0..7).for_each(|_| grant(sender, 1));
    writing(Time::Fixed, one_by_one, nothing, all_is_sent);
}

#[test]
fn a_reset_by_the_peer_wakes_waiting_writers() {
    let reset = |sender: &mut PeerSender| {
        sender.send(Header::window_update(STREAM, Flags::RST, 0), b"");
    };
    writing(Time::Fixed, reset, nothing, |outcomes, received| {
        let ends = outcomes
            .iter()
            .all(|outcome| matches!(outcome, Ok(()) | Err(Error::ResetByPeer(_))));
        assert!(ends, "{outcomes:?}");
        // There was not enough credit for both.
        assert!(outcomes.iter().any(Result::is_err));
        assert!(received <= CREDIT as usize);
    });
}

#[test]
fn a_reset_on_this_side_wakes_waiting_writers() {
    let reset = |stage: &Ours| stage.stream.reset();
    writing(
        Time::Fixed,
        |_| {},
        reset,
        |outcomes, received| {
            assert!(outcomes.iter().any(Result::is_err), "{outcomes:?}");
            assert!(received <= CREDIT as usize);
        },
    );
}

#[test]
fn a_shutdown_wakes_waiting_writers() {
    let shutdown = |stage: &Ours| stage.stream.shutdown(Shutdown::Write).unwrap();
    writing(
        Time::Fixed,
        |_| {},
        shutdown,
        |outcomes, received| {
            for outcome in outcomes {
                assert!(matches!(outcome, Ok(()) | Err(Error::StreamClosed(_))));
            }
            assert!(outcomes.iter().any(Result::is_err));
            assert!(received <= CREDIT as usize);
        },
    );
}

#[test]
fn a_close_wakes_waiting_writers() {
    let close = |stage: &Ours| stage.connection.start_close();
    writing(
        Time::Fixed,
        |_| {},
        close,
        |outcomes, received| {
            assert!(outcomes.iter().any(Result::is_err), "{outcomes:?}");
            assert!(received <= CREDIT as usize);
        },
    );
}

#[test]
fn a_cut_by_the_peer_wakes_waiting_writers() {
    writing(
        Time::Fixed,
        |sender| sender.cut(),
        nothing,
        |outcomes, _| {
            assert!(outcomes.iter().any(Result::is_err), "{outcomes:?}");
        },
    );
}

#[test]
fn a_write_that_times_out_has_sent_a_part_at_most() {
    let late = |sender: &mut PeerSender| grant(sender, 7);
    writing(Time::Advancing, late, nothing, |outcomes, received| {
        for outcome in outcomes {
            let in_time = matches!(outcome, Ok(()) | Err(Error::TimedOut(_)));
            assert!(in_time, "{outcome:?}");
        }
        let whole = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(received >= whole * EACH && received <= 2 * EACH);
    });
}

/// The peer refuses a stream that was opened without waiting. Its writer, which
/// waits for credit, must be woken by the refusal.
#[test]
fn awaited_input_wakes_waiting_writers() {
    check(Time::Fixed, || {
        let (stage, stream) = client();
        leave(&stream, 0);
        stream.await_input(true);
        let reading = run(stage.reader);
        let mut sender = stage.peer.sender;
        let peer = thread::spawn(move || {
            sender.data(STREAM, b"refused");
            sender
        });
        let sent = stream.send_frame(|credit| credit, |_, _| Rest::Busy);
        assert!(matches!(sent, Ok(0)), "{sent:?}");
        assert!(stream.take_input());
        stage.connection.cut();
        drop(peer.join().unwrap());
        let _ = reading.join().unwrap();
    });
}
