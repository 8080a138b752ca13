//! The three messages of a transfer: a header that describes it, a body, and the body's
//! length and checksum as the sender has computed them.

use super::gate::Gate;
use crate::support::{checksum::Checksum, pattern::PIECE, pattern::Pattern, wires::message};
use std::{
    fmt,
    io::{self, Read, Write},
    time::Duration,
};
use wirenet::Stream;

/// Why a transfer has failed.
#[derive(Debug)]
pub enum Trouble {
    /// The library reports it as complete, but it is not what was sent.
    Wrong(String),
    /// The library reports an error.
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
    /// In small pieces, with pauses between them.
    Slowly,
    /// Long after the windows are full.
    Late,
}

/// The content of a header.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub size: u64,
    /// The body's position in the pattern.
    pub start: u64,
    pub reading: Reading,
    /// The sender fails in the middle.
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

    /// Reads the header.
    pub fn read(stream: &Stream) -> Result<Self, Trouble> {
        let header = message(stream)?;
        if !stream.was_finished() && header.is_empty() {
            // The caller has dropped the stream.
            return Err(Trouble::Failed("no header".into()));
        }
        let Ok(header) = <[u8; 18]>::try_from(&header[..]) else {
            return Err(Trouble::wrong(format!(
                "a header of {} bytes",
                header.len()
            )));
        };
        let [size, start] = [0, 8].map(|at| {
            let bytes = header[at..at + 8].try_into();
            u64::from_le_bytes(bytes.expect("8 of 18"))
        });
        let reading = match header[16] {
            0 => Reading::AtOnce,
            1 => Reading::Slowly,
            _ => Reading::Late,
        };
        Ok(Self {
            size,
            start,
            reading,
            fails: header[17] != 0,
        })
    }
}

/// Sends the body and its checksum. If the plan says so, fails in the middle.
pub fn send(mut stream: &Stream, plan: &Plan, pattern: &Pattern) -> Result<(), Trouble> {
    let mut sum = Checksum::new();
    let len = if plan.fails { plan.size / 2 } else { plan.size };
    for position in (0..len).step_by(PIECE) {
        let piece = pattern.at(plan.start + position, PIECE.min((len - position) as usize));
        sum.write_all(piece)?;
        stream.write_all(piece)?;
    }
    if plan.fails {
        return Err(Trouble::Failed("as planned".into()));
    }
    stream.finish()?;
    stream.write_message(summary(len, sum.value()))?;
    Ok(())
}

/// Receives the body, and compares it with its length and checksum. Returns these.
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
        return Err(Trouble::wrong(format!(
            "reported as complete with {count} bytes of {plan:?}"
        )));
    }
    let received = summary(count, sum.value());
    let sent = message(stream)?;
    if sent != received {
        return Err(Trouble::wrong(format!(
            "received {received:?} of {plan:?}, but {sent:?} was sent"
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
