//! What a sender does with a stream.

use super::{
    content,
    ledger::{Ledger, Side},
    receiving::is_timeout,
};
use crate::support::random::Random;
use std::{
    io::{self, Write},
    thread,
    time::Duration,
};
use wirenet::Stream;

/// How often a sender tries again what has timed out.
const TRIES: usize = 5;

/// How a sender is done with a stream that it has not closed.
pub enum Left {
    Closed,
    /// To be dropped, or to be the `Ok` of a handler.
    Dropped,
    /// To be dropped, or to be the error of a handler.
    Failed,
}

/// Messages that are finished, with how they were sent.
type Finished = Vec<(u64, String)>;

/// Sends messages and leaves the stream, all at random, and notes what it was
/// told.
pub fn send(stream: &Stream, random: &mut Random, ledger: &Ledger, side: Side) -> Left {
    let timeout = random
        .chance(60)
        .then(|| random.pick(&[1, 5, 20, 100, 400]));
    let timeout = timeout.map(Duration::from_millis);
    stream.set_write_timeout(timeout).expect("not zero");
    let mut finished = Finished::new();
    let sent = match random.below(10) {
        0 | 1 => send_from_threads(stream, random, ledger, &mut finished),
        2 => write_in_thread(stream, random, ledger, &mut finished),
        3 => write_behind_a_close(stream, random, ledger, &mut finished),
        _ => send_in_turn(stream, random, ledger, &mut finished),
    };
    if sent.is_err() {
        return Left::Failed;
    }
    match random.below(10) {
        0 => Left::Failed,
        1 | 2 => Left::Dropped,
        3 => {
            stream.reset();
            Left::Closed
        }
        _ => {
            if stream.close().is_ok() {
                ledger.finished(side, finished);
            }
            Left::Closed
        }
    }
}

/// One after the other; the last may be left to the close, or unfinished.
fn send_in_turn(
    stream: &Stream,
    random: &mut Random,
    ledger: &Ledger,
    finished: &mut Finished,
) -> io::Result<()> {
    for left in (0..random.between(1, 5)).rev() {
        let number = ledger.number();
        let message = content::message(number, random);
        if left == 0 && random.chance(15) {
            // Inside a message, from which the caller turns away.
            write_pieces(stream, random, &message[..message.len() - 1])?;
            return Err(io::Error::other("no more of it"));
        }
        if left == 0 && random.chance(25) {
            write_pieces(stream, random, &message)?;
            finished.push((number, "pieces, ended by the close".into()));
            return Ok(());
        }
        finished.push((number, send_one(stream, random, &message)?.into()));
    }
    Ok(())
}

/// A message with its end; gives how it was sent.
fn send_one(mut stream: &Stream, random: &mut Random, message: &[u8]) -> io::Result<&'static str> {
    match random.below(4) {
        0 => {
            let mut writer = stream.writer();
            writer.write_all(message)?;
            writer.finish().map(|()| "writer")
        }
        1 => {
            io::copy(&mut { message }, &mut stream)?;
            retried(|| stream.finish()).map(|()| "copy and finish")
        }
        2 => {
            write_pieces(stream, random, message)?;
            retried(|| stream.finish()).map(|()| "pieces and finish")
        }
        _ => stream.write_message(message).map(|()| "write_message"),
    }
}

/// In pieces, the first often of a length that is a frame's type too; goes on
/// where a write has timed out.
fn write_pieces(mut stream: &Stream, random: &mut Random, mut bytes: &[u8]) -> io::Result<()> {
    let mut most = random.pick(&[8, 4, 8, 1_000, 70_000]);
    while !bytes.is_empty() {
        let piece = &bytes[..bytes.len().min(most)];
        let count = retried(|| {
            stream.resume();
            stream.write(piece)
        })?;
        bytes = &bytes[count..];
        most = random.between(500, 70_000);
    }
    Ok(())
}

fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match call() {
            Err(error) if is_timeout(&error) => {}
            outcome => return outcome,
        }
    }
    call()
}

/// Several threads send messages on one stream; they take turns.
fn send_from_threads(
    stream: &Stream,
    random: &mut Random,
    ledger: &Ledger,
    finished: &mut Finished,
) -> io::Result<()> {
    let seeds: Vec<_> = (0..random.between(2, 4)).map(|_| random.next()).collect();
    thread::scope(|scope| {
        let send = |seed| {
            let mut random = Random(seed);
            let mut finished = Finished::new();
            for _ in 0..2 {
                let number = ledger.number();
                let message = content::message(number, &mut random);
                stream.write_message(&message)?;
                finished.push((number, "write_message of several threads".into()));
            }
            io::Result::Ok(finished)
        };
        let senders: Vec<_> = seeds
            .iter()
            .map(|seed| scope.spawn(move || send(*seed)))
            .collect();
        let mut outcome = Ok(());
        for sender in senders {
            match sender.join().expect("no panic") {
                Ok(sent) => finished.extend(sent),
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    })
}

/// Another thread writes a message, and is joined; its end is left to the close.
fn write_in_thread(
    stream: &Stream,
    random: &mut Random,
    ledger: &Ledger,
    finished: &mut Finished,
) -> io::Result<()> {
    let number = ledger.number();
    let message = content::message(number, random);
    let (mut random, handle) = (Random(random.next()), stream.try_clone()?);
    let writer = thread::spawn(move || write_pieces(&handle, &mut random, &message));
    writer.join().expect("no panic")?;
    finished.push((
        number,
        "pieces of a joined thread, ended by the close".into(),
    ));
    Ok(())
}

/// Another thread goes on writing a message when the stream is left. Whether it
/// gets to its end, nobody knows.
fn write_behind_a_close(
    stream: &Stream,
    random: &mut Random,
    ledger: &Ledger,
    finished: &mut Finished,
) -> io::Result<()> {
    let number = ledger.number();
    let first = content::message(number, random);
    finished.push((number, send_one(stream, random, &first)?.into()));
    let message = content::message(ledger.number(), random);
    let (mut random, handle) = (Random(random.next()), stream.try_clone()?);
    let (begun, has_begun) = crossbeam_channel::bounded(1);
    thread::spawn(move || {
        let half = message.len() / 2;
        let first = write_pieces(&handle, &mut random, &message[..half]);
        let _ = begun.send(());
        // What becomes of it is for its receiver to see.
        let _ = first.and_then(|()| write_pieces(&handle, &mut random, &message[half..]));
    });
    let _ = has_begun.recv();
    Ok(())
}
