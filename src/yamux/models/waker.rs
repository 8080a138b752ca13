//! A thread that waits for a signal instead of the stream's condition variable.

use super::stage::{PeerSender, STREAM, client, run};
use crate::{
    sync::{Condvar, Mutex, Time, check, thread},
    yamux::{
        Armed, Connection, Error, Stream, Wake,
        frame::{Flags, Header},
    },
};
use std::sync::Arc;

/// A signal that stays until it is taken, as that of a descriptor does.
#[derive(Debug)]
struct Signal {
    armed: Armed,
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Signal {
    fn wake(&self) {
        if self.armed.take() {
            *self.is_set.lock() = true;
            self.changed.notify_all();
        }
    }
}

impl Signal {
    fn wait(&self) {
        let mut is_set = self.is_set.lock();
        while !*is_set {
            self.changed.wait(&mut is_set);
        }
        *is_set = false;
    }
}

/// Reads everything. Waits only for the signal.
fn read_all(stream: &Stream, signal: &Signal) -> (Vec<u8>, Result<(), Error>) {
    let (mut got, mut is_armed) = (Vec::new(), false);
    loop {
        match stream.poll_segment() {
            Some(Ok(Some(segment))) => got.extend_from_slice(segment.data()),
            Some(Ok(None)) => return (got, Ok(())),
            Some(Err(error)) => return (got, Err(error)),
            None if is_armed => {
                signal.wait();
                is_armed = false;
            }
            None => {
                signal.armed.arm();
                is_armed = true;
            }
        }
    }
}

/// The peer sends "abc" in two frames and then runs `end`, while this side runs `here`.
fn waiting(
    end: impl Fn(&mut PeerSender) + Send + Sync + 'static,
    here: impl Fn(&Connection, &Stream) + Send + Sync + 'static,
    judge: impl Fn(&[u8], Result<(), Error>) + Send + Sync + 'static,
) {
    let end = Arc::new(end);
    check(Time::Fixed, move || {
        let (stage, stream) = client();
        let reading = run(stage.reader);
        let (mut sender, end) = (stage.peer.sender, Arc::clone(&end));
        let peer = thread::spawn(move || {
            sender.data(STREAM, b"ab");
            sender.data(STREAM, b"c");
            end(&mut sender);
            sender
        });
        let user = thread::spawn({
            let stream = stream.clone();
            move || {
                let signal = Arc::new(Signal {
                    armed: Armed::default(),
                    is_set: Mutex::new(false),
                    changed: Condvar::new(),
                });
                let waker: Arc<dyn Wake> = Arc::clone(&signal) as _;
                assert!(stream.set_waker(Arc::downgrade(&waker)));
                read_all(&stream, &signal)
            }
        });
        here(&stage.connection, &stream);
        let (got, ended) = user.join().unwrap();
        judge(&got, ended);
        stage.connection.cut();
        drop(peer.join().unwrap());
        // The connection was cut.
        let _ = reading.join().unwrap();
    });
}

#[test]
fn the_signal_comes_for_all_bytes_and_the_end() {
    waiting(
        |sender| sender.send(Header::window_update(STREAM, Flags::FIN, 0), b""),
        |_, _| {},
        |got, ended| {
            assert_eq!(got, b"abc");
            ended.unwrap();
        },
    );
}

#[test]
fn the_signal_comes_for_a_reset_by_the_peer() {
    waiting(
        |sender| sender.send(Header::window_update(STREAM, Flags::RST, 0), b""),
        |_, _| {},
        |got, ended| {
            assert_eq!(got, b"abc");
            assert!(matches!(ended, Err(Error::ResetByPeer(_))), "{ended:?}");
        },
    );
}

#[test]
fn the_signal_comes_for_a_reset_on_this_side() {
    waiting(
        |_| {},
        |_, stream| stream.reset(),
        |_, ended| assert!(matches!(ended, Err(Error::Reset(_))), "{ended:?}"),
    );
}

#[test]
fn the_signal_comes_for_the_end_of_the_connection() {
    waiting(
        |_| {},
        |connection, _| connection.cut(),
        |_, ended| assert!(ended.is_err()),
    );
}
