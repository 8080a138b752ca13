//! Writers that wait for credit, and what ends their wait.

use super::stage::{STREAM, Says, Stage, client, run, send_all};
use crate::{
    sync::{Time, check, thread},
    yamux::{
        Error, INITIAL_WINDOW, Stream,
        frame::{Flags, Header},
    },
};
use std::{net::Shutdown, sync::Arc, time::Duration};

/// Credit that the writers find.
const CREDIT: u32 = 1;

/// What each of the two writers sends.
const EACH: usize = 4;

/// Leaves the stream so much credit.
fn leave(stream: &Stream, credit: u32) {
    let mut send = stream.core().send.lock();
    send.window.take(INITIAL_WINDOW - credit);
}

/// Two threads write more than there is credit for, while the peer does what
/// `peer` says and this side what `here` does; each write's outcome is judged,
/// and how many bytes the peer has got.
fn writing(
    time: Time,
    peer: impl Fn(&mut Says) + Send + Sync + 'static,
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
        if time == Time::Passes {
            stream
                .set_write_timeout(Some(Duration::from_secs(1)))
                .unwrap();
        }
        let reading = run(reader);
        let (mut says, peer) = (hand.says, Arc::clone(&peer));
        let saying = thread::spawn(move || {
            peer(&mut says);
            says
        });
        let writers = [b'a', b'b'].map(|byte| {
            let stream = stream.clone();
            thread::spawn(move || send_all(&stream, &[byte; EACH]))
        });
        let stage = Ours { connection, stream };
        here(&stage);
        let outcomes = writers.map(|writer| writer.join().unwrap());
        stage.connection.start_close();
        let mut says = saying.join().unwrap();
        says.finish();
        let frames = hand.hears.until_the_end();
        judge(&outcomes, super::stage::bytes_of(&frames, STREAM).len());
        let _ = reading.join().unwrap();
    });
}

/// What this side has of the connection.
struct Ours {
    connection: crate::yamux::Connection,
    stream: Stream,
}

fn nothing(_: &Ours) {}

fn grant(says: &mut Says, delta: u32) {
    says.frame(Header::window_update(STREAM, Flags::NONE, delta), b"");
}

fn all_is_sent(outcomes: &[Result<(), Error>], received: usize) {
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(received, 2 * EACH);
}

#[test]
fn a_window_update_wakes_all_who_wait_for_it() {
    writing(Time::Stands, |says| grant(says, 7), nothing, all_is_sent);
}

#[test]
fn window_updates_come_to_what_they_are_together() {
    let one_by_one = |says: &mut Says| (0..7).for_each(|_| grant(says, 1));
    writing(Time::Stands, one_by_one, nothing, all_is_sent);
}

#[test]
fn a_reset_by_the_peer_wakes_who_waits_for_credit() {
    let reset = |says: &mut Says| {
        says.frame(Header::window_update(STREAM, Flags::RST, 0), b"");
    };
    writing(Time::Stands, reset, nothing, |outcomes, received| {
        let ends = outcomes
            .iter()
            .all(|outcome| matches!(outcome, Ok(()) | Err(Error::ResetByPeer)));
        assert!(ends, "{outcomes:?}");
        // There was not enough for both.
        assert!(outcomes.iter().any(Result::is_err));
        assert!(received <= CREDIT as usize);
    });
}

#[test]
fn a_reset_on_this_side_wakes_who_waits_for_credit() {
    let reset = |stage: &Ours| stage.stream.reset();
    writing(
        Time::Stands,
        |_| {},
        reset,
        |outcomes, received| {
            assert!(outcomes.iter().any(Result::is_err), "{outcomes:?}");
            assert!(received <= CREDIT as usize);
        },
    );
}

#[test]
fn a_shutdown_wakes_who_waits_for_credit() {
    let shutdown = |stage: &Ours| stage.stream.shutdown(Shutdown::Write).unwrap();
    writing(
        Time::Stands,
        |_| {},
        shutdown,
        |outcomes, received| {
            for outcome in outcomes {
                assert!(matches!(outcome, Ok(()) | Err(Error::StreamClosed)));
            }
            assert!(outcomes.iter().any(Result::is_err));
            assert!(received <= CREDIT as usize);
        },
    );
}

#[test]
fn a_close_wakes_who_waits_for_credit() {
    let close = |stage: &Ours| stage.connection.start_close();
    writing(
        Time::Stands,
        |_| {},
        close,
        |outcomes, received| {
            assert!(outcomes.iter().any(Result::is_err), "{outcomes:?}");
            assert!(received <= CREDIT as usize);
        },
    );
}

#[test]
fn a_cut_by_the_peer_wakes_who_waits_for_credit() {
    writing(
        Time::Stands,
        |says| says.cut(),
        nothing,
        |outcomes, _| {
            assert!(outcomes.iter().any(Result::is_err), "{outcomes:?}");
        },
    );
}

#[test]
fn a_write_that_times_out_has_sent_a_part_and_no_more() {
    let late = |says: &mut Says| grant(says, 7);
    writing(Time::Passes, late, nothing, |outcomes, received| {
        for outcome in outcomes {
            let in_time = matches!(outcome, Ok(()) | Err(Error::TimedOut));
            assert!(in_time, "{outcome:?}");
        }
        let whole = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(received >= whole * EACH && received <= 2 * EACH);
    });
}

/// A stream that was opened without waiting and is refused: its writer waits
/// for credit, and has to hear of what comes.
#[test]
fn input_that_is_awaited_wakes_who_waits_for_credit() {
    check(Time::Stands, || {
        let (stage, stream) = client();
        leave(&stream, 0);
        stream.await_input(true);
        let reading = run(stage.reader);
        let mut says = stage.peer.says;
        let peer = thread::spawn(move || {
            says.data(STREAM, b"refused");
            says
        });
        let sent = stream.send_frame(|credit| credit, |_, _| ());
        assert!(matches!(sent, Ok(0)), "{sent:?}");
        assert!(stream.take_input());
        stage.connection.cut();
        drop(peer.join().unwrap());
        let _ = reading.join().unwrap();
    });
}
