//! What all child processes share: the protocol with the parent, the bytes they
//! send, and how they count received bytes. The crate in `../peers` includes this
//! file too.
//!
//! A child prints `ready` (followed by its address if it listens). Then it answers
//! each line of its standard input with one line of names and figures. It exits
//! when the input ends, so no child outlives a killed parent.

use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;
use std::{process, thread};

use crate::workload::BLOCK;

/// Figures with their names. A child sends them to its parent as one line.
pub type Figures = Vec<(&'static str, f64)>;

/// Sends `greeting` to the parent, then answers its commands with `execute`. A
/// command is a word and a number. Returns only if something failed.
pub fn serve_commands(
    greeting: &str,
    mut execute: impl FnMut(&str, usize) -> io::Result<Figures>,
) -> io::Result<()> {
    let (sender, commands) = mpsc::channel();
    // A separate thread notices the end of the input even while a command hangs.
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        process::exit(0)
    });
    print_line(greeting)?;
    for line in commands {
        let (command, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number = number.parse().map_err(io::Error::other)?;
        print_line(&to_line(&execute(command, number)?))?;
    }
    Ok(())
}

fn print_line(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn to_line(figures: &Figures) -> String {
    let mut line = String::from("ok");
    for (name, value) in figures {
        line.push_str(&format!(" {name} {value}"));
    }
    line
}

pub fn unknown_command(command: &str) -> io::Error {
    io::Error::other(format!("unknown command: {command}"))
}

/// The block of bytes that every transfer repeats.
pub fn block() -> &'static [u8] {
    static BLOCK_BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK_BYTES.get_or_init(|| (0..BLOCK).map(pattern).collect())
}

fn pattern(index: usize) -> u8 {
    (index.wrapping_mul(31) ^ (index >> 8).wrapping_mul(7)) as u8
}

/// Checks a transfer at its receiver. It counts every byte and compares the first
/// and the last byte of each buffer, which reveals lost, duplicated and reordered
/// bytes at little cost.
#[derive(Debug, Default)]
pub struct Tally {
    pub count: u64,
}

impl Tally {
    pub fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return Ok(());
        };
        let start = self.count;
        self.count += bytes.len() as u64;
        let block = block();
        let expected = |at: u64| block[(at % BLOCK as u64) as usize];
        if *first != expected(start) || *last != expected(self.count - 1) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("wrong bytes between offsets {start} and {}", self.count),
            ));
        }
        Ok(())
    }
}

impl Write for Tally {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Produces bytes of the pattern from memory.
#[derive(Debug)]
pub struct Source {
    left: u64,
    at: usize,
}

impl Source {
    pub fn new(len: u64) -> Self {
        Self { left: len, at: 0 }
    }

    /// Returns the next bytes, at most `room` of them.
    pub fn take(&mut self, room: usize) -> &'static [u8] {
        let block = block();
        let len = room
            .min(BLOCK - self.at)
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let bytes = &block[self.at..self.at + len];
        self.at = (self.at + len) % BLOCK;
        self.left -= len as u64;
        bytes
    }
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.take(buf.len());
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// Checks that an answer equals the message that was sent.
pub fn expect_echo(sent: &[u8], received: &[u8]) -> io::Result<()> {
    if sent == received {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "the answer differs from the message",
    ))
}

/// Checks that the receiver has confirmed every byte of a transfer.
pub fn expect_count(sent: u64, confirmed: [u8; 8]) -> io::Result<()> {
    let confirmed = u64::from_le_bytes(confirmed);
    if sent == confirmed {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{sent} bytes sent, {confirmed} received"),
    ))
}

/// Counts the sessions that a server has accepted.
#[derive(Debug, Default)]
pub struct Counter {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Counter {
    pub fn add_one(&self) {
        *self.count.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    pub fn wait_for(&self, count: usize) {
        let seen = self.count.lock().unwrap();
        let _seen = self.changed.wait_while(seen, |seen| *seen < count).unwrap();
    }
}

/// Executes a command that every server understands: waiting for its sessions.
pub fn server_command(counter: &Counter, word: &str, number: usize) -> io::Result<Figures> {
    match word {
        "await" => counter.wait_for(number),
        _ => return Err(unknown_command(word)),
    }
    Ok(Figures::new())
}

/// Returns percentiles of round-trip times, in microseconds.
pub fn percentiles(mut times: Vec<Duration>) -> Figures {
    times.sort_unstable();
    let at = |part: f64| {
        let last = times.len().saturating_sub(1);
        let index = (last as f64 * part).round() as usize;
        times.get(index).map_or(f64::NAN, Duration::as_secs_f64) * 1e6
    };
    vec![("p50", at(0.50)), ("p99", at(0.99))]
}
