//! What goes over a stream: a head that says what is to come, a body, and the
//! body's length and checksum as its sender summed it up, a message each.

use super::gate::Gate;
use crate::support::{checksum::Checksum, pattern::PIECE, pattern::Pattern, wires::message};
use std::{
    fmt,
    io::{self, Read, Write},
    time::Duration,
};
use wirenet::Stream;

/// Why a transfer is not complete.
#[derive(Debug)]
pub enum Trouble {
    /// It is, as far as the library says, and it is not what was sent.
    Wrong(String),
    /// The library says that it is not.
    Failed(String),
}

impl Trouble {
    pub fn wrong(what: impl fmt::Display) -> Self {
        Self::Wrong(what.to_string())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(format!("{error} ({:?})", error.kind()))
    }
}

impl From<wirenet::Error> for Trouble {
    fn from(error: wirenet::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// How a receiver reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    AtOnce,
    /// In small pieces, with rests between them.
    Slowly,
    /// Only when the windows are long full.
    Late,
}

/// What a head says.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub size: u64,
    /// Where in the pattern the body begins.
    pub start: u64,
    pub reading: Reading,
    /// Its sender gives up in the middle.
    pub fails: bool,
}

impl Plan {
    pub fn encode(&self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.start.to_le_bytes());
        bytes[16] = self.reading as u8;
        bytes[17] = self.fails.into();
        bytes
    }

    /// Reads the head.
    pub fn read(stream: &Stream) -> Result<Self, Trouble> {
        let head = message(stream)?;
        if !stream.was_finished() && head.is_empty() {
            // Its caller has left without a word.
            return Err(Trouble::Failed("no head".into()));
        }
        let Ok(head) = <[u8; 18]>::try_from(&head[..]) else {
            return Err(Trouble::wrong(format!("a head of {} bytes", head.len())));
        };
        let [size, start] = [0, 8].map(|at| {
            let bytes = head[at..at + 8].try_into();
            u64::from_le_bytes(bytes.expect("8 of 18"))
        });
        let reading = match head[16] {
            0 => Reading::AtOnce,
            1 => Reading::Slowly,
            _ => Reading::Late,
        };
        Ok(Self {
            size,
            start,
            reading,
            fails: head[17] != 0,
        })
    }
}

/// Sends the body, and its sum. One that is to fail stops in the middle.
pub fn send(mut stream: &Stream, plan: &Plan, pattern: &Pattern) -> Result<(), Trouble> {
    let mut sum = Checksum::new();
    let whole = if plan.fails { plan.size / 2 } else { plan.size };
    for position in (0..whole).step_by(PIECE) {
        let piece = pattern.at(
            plan.start + position,
            PIECE.min((whole - position) as usize),
        );
        sum.write_all(piece)?;
        stream.write_all(piece)?;
    }
    if plan.fails {
        return Err(Trouble::Failed("as planned".into()));
    }
    stream.finish()?;
    stream.write_message(&summary(whole, sum.value()))?;
    Ok(())
}

/// Receives the body, and compares it with its sum; gives that.
pub fn receive(mut stream: &Stream, plan: &Plan, gate: &Gate) -> Result<[u8; 16], Trouble> {
    let piece = match plan.reading {
        Reading::AtOnce => PIECE,
        Reading::Slowly => 16 * 1024,
        Reading::Late => {
            gate.linger(Duration::from_millis(500));
            PIECE
        }
    };
    let mut buf = vec![0; piece];
    let (mut sum, mut count) = (Checksum::new(), 0);
    loop {
        let read = stream.read(&mut buf)?;
        if read == 0 {
            break;
        }
        count += read as u64;
        sum.write_all(&buf[..read])?;
        if plan.reading == Reading::Slowly {
            gate.linger(Duration::from_millis(2));
        }
    }
    if count != plan.size || !stream.was_finished() {
        return Err(Trouble::wrong(format!("complete with {count} of {plan:?}")));
    }
    let received = summary(count, sum.value());
    let sent = message(stream)?;
    if sent != received {
        return Err(Trouble::wrong(format!(
            "{received:?} of {plan:?}, and {sent:?} was sent"
        )));
    }
    Ok(received)
}

fn summary(count: u64, sum: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&count.to_le_bytes());
    bytes[8..].copy_from_slice(&sum.to_le_bytes());
    bytes
}
