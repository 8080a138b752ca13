//! The sender of a stream.

use super::{
    content,
    receiving::is_timeout,
    record::{Record, Side},
};
use crate::support::random::Random;
use std::{
    io::{self, Write},
    thread,
    time::Duration,
};
use wirenet::Stream;

/// How often a sender makes a call that times out.
const TRIES: usize = 5;

/// The state in which a sender leaves a stream.
pub enum Left {
    Closed,
    /// Not closed: the caller drops it, and a handler returns `Ok`.
    Dropped,
    /// Not closed: the caller drops it, and a handler returns an error.
    Failed,
}

/// A sender, and what it sends on.
struct Sender<'a> {
    stream: &'a Stream,
    random: &'a mut Random,
    record: &'a Record,
    finished: Finished,
}

/// Messages that are finished, with a description of how they were sent.
type Finished = Vec<(u64, String)>;

/// Sends messages and leaves the stream, all at random, and records the messages
/// that were finished.
pub fn send(stream: &Stream, random: &mut Random, record: &Record, side: Side) -> Left {
    let timeout = random
        .chance(60)
        .then(|| random.pick(&[1, 5, 20, 100, 400]));
    let timeout = timeout.map(Duration::from_millis);
    stream.set_write_timeout(timeout).expect("not zero");
    let mut sender = Sender {
        stream,
        random,
        record,
        finished: Finished::new(),
    };
    let sent = match sender.random.below(10) {
        0 | 1 => sender.send_from_threads(),
        2 => sender.write_in_thread(),
        3 => sender.write_during_the_close(),
        _ => sender.send_in_turn(),
    };
    if sent.is_err() {
        return Left::Failed;
    }
    match sender.random.below(10) {
        0 => Left::Failed,
        1 | 2 => Left::Dropped,
        3 => {
            stream.reset();
            Left::Closed
        }
        _ => {
            if stream.close().is_ok() {
                record.finished(side, sender.finished);
            }
            Left::Closed
        }
    }
}

impl Sender<'_> {
    /// Returns a new message, and its number.
    fn message(&mut self) -> (u64, Vec<u8>) {
        let number = self.record.number();
        (number, content::message(number, self.random))
    }

    /// Notes that a message is finished, and how it was sent.
    fn note(&mut self, number: u64, how: &str) {
        self.finished.push((number, how.to_owned()));
    }

    /// Sends messages one after the other. The last one may be ended by the close,
    /// or be left unfinished.
    fn send_in_turn(&mut self) -> io::Result<()> {
        for left in (0..self.random.between(1, 5)).rev() {
            let (number, message) = self.message();
            if left == 0 && self.random.chance(15) {
                // The sender gives up in the middle of a message.
                write_pieces(self.stream, self.random, &message[..message.len() - 1])?;
                return Err(io::Error::other("unfinished on purpose"));
            }
            if left == 0 && self.random.chance(25) {
                write_pieces(self.stream, self.random, &message)?;
                self.note(number, "pieces, ended by the close");
                return Ok(());
            }
            let how = send_one(self.stream, self.random, &message)?;
            self.note(number, how);
        }
        Ok(())
    }

    /// Several threads send messages on one stream, and take turns.
    fn send_from_threads(&mut self) -> io::Result<()> {
        let threads = self.random.between(2, 4);
        let seeds: Vec<_> = (0..threads).map(|_| self.random.next()).collect();
        let (stream, record) = (self.stream, self.record);
        thread::scope(|scope| {
            let send = |seed| {
                let mut random = Random(seed);
                let mut sender = Sender {
                    stream,
                    random: &mut random,
                    record,
                    finished: Finished::new(),
                };
                for _ in 0..2 {
                    let (number, message) = sender.message();
                    stream.write_message(&message)?;
                    sender.note(number, "write_message of several threads");
                }
                io::Result::Ok(sender.finished)
            };
            let senders: Vec<_> = seeds
                .iter()
                .map(|seed| scope.spawn(move || send(*seed)))
                .collect();
            let mut outcome = Ok(());
            for sender in senders {
                match sender.join().expect("no panic") {
                    Ok(sent) => self.finished.extend(sent),
                    Err(error) => outcome = Err(error),
                }
            }
            outcome
        })
    }

    /// Another thread writes a message, and is joined. The close ends the message.
    fn write_in_thread(&mut self) -> io::Result<()> {
        let (number, message) = self.message();
        let (mut random, handle) = (Random(self.random.next()), self.stream.try_clone()?);
        let writer = thread::spawn(move || write_pieces(&handle, &mut random, &message));
        writer.join().expect("no panic")?;
        self.note(number, "pieces of a joined thread, ended by the close");
        Ok(())
    }

    /// Another thread continues to write a message after the sender has left the
    /// stream. It may or may not reach the message's end.
    fn write_during_the_close(&mut self) -> io::Result<()> {
        let (number, first) = self.message();
        let how = send_one(self.stream, self.random, &first)?;
        self.note(number, how);
        let (_, message) = self.message();
        let (mut random, handle) = (Random(self.random.next()), self.stream.try_clone()?);
        let (started, has_started) = crossbeam_channel::bounded(1);
        thread::spawn(move || {
            let half = message.len() / 2;
            let first = write_pieces(&handle, &mut random, &message[..half]);
            let _ = started.send(());
            // The receiver checks the outcome.
            let _ = first.and_then(|()| write_pieces(&handle, &mut random, &message[half..]));
        });
        let _ = has_started.recv();
        Ok(())
    }
}

/// Sends a message with its end mark. Returns a description of how it was sent.
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

/// Writes in pieces, and continues after a write that timed out. The length of the
/// first piece is often also the type of a frame.
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
