//! The receiver of a stream.

use super::record::Record;
use crate::support::random::Random;
use std::{
    io::{self, Read},
    time::Duration,
};
use wirenet::{Stream, yamux};

/// Reads message after message until the stream ends or fails, and records the
/// messages that are complete.
pub fn receive(mut stream: &Stream, random: &mut Random, record: &Record, side: &str) {
    let impatient = random.chance(30);
    let timeout = impatient.then(|| Duration::from_millis(random.between(1, 50) as u64));
    stream.set_read_timeout(timeout).expect("not zero");
    while let Ok(true) = retried(|| stream.next_message()) {
        let mut message = Vec::new();
        let by_reader = !impatient && random.chance(50);
        let ended = match by_reader {
            true => io::copy(&mut stream.reader(), &mut message).is_ok(),
            false if impatient => {
                read_despite_timeouts(stream, &mut message) && stream.was_finished()
            }
            false => io::copy(&mut stream, &mut message).is_ok() && stream.was_finished(),
        };
        if !ended {
            return;
        }
        let how = format!("{side} reads, reader {by_reader}, impatient {impatient}");
        record.complete(&message, &how);
    }
}

/// Reads to the message's end, and retries reads that time out.
fn read_despite_timeouts(mut stream: &Stream, message: &mut Vec<u8>) -> bool {
    let mut buf = [0; 4096];
    loop {
        match retried(|| stream.read(&mut buf)) {
            Ok(0) => return true,
            Ok(count) => message.extend_from_slice(&buf[..count]),
            Err(_) => return false,
        }
    }
}

fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if is_timeout(&error) => {}
            outcome => return outcome,
        }
    }
}

/// Returns whether the call timed out, rather than the connection (which is
/// permanent).
pub fn is_timeout(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(yamux::Error::TimedOut(_)))
}

/// Reads a little, and leaves the rest unread.
pub fn read_a_little(mut stream: &Stream, random: &mut Random) -> io::Result<()> {
    let mut buf = vec![0; random.between(1, 10_000)];
    match stream.read(&mut buf)? {
        _ if random.chance(50) => Err(io::Error::other("seen enough")),
        _ => Ok(()),
    }
}
