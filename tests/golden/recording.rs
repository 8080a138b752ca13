//! Parses a recorded session.

use crate::support::frames::Frame;

/// The sides of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Dialled.
    Client,
    /// Accepted.
    Server,
}

/// An action of one side.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Frame),
    End,
}

/// A session, in the order in which its frames crossed the connection.
pub struct Recording {
    pub steps: Vec<(Side, Step)>,
}

impl Recording {
    /// Parses lines of the form
    /// `C  Data  -  stream 1 length 2  000000000000000100000002  6162`.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let steps: Vec<_> = lines.map(step).collect();
        assert!(!steps.is_empty());
        Self { steps }
    }
}

fn step(line: &str) -> (Side, Step) {
    let (side, rest) = line.split_at(1);
    let side = match side {
        "C" => Side::Client,
        "S" => Side::Server,
        _ => panic!("neither side: {line}"),
    };
    if rest.trim() == "(end of connection)" {
        return (side, Step::End);
    }
    let hex = rest
        .split_whitespace()
        .skip(6)
        .collect::<Vec<_>>()
        .join(" ");
    let bytes = bytes(&hex);
    let frame = Frame::read(&*bytes).expect("a whole frame");
    let frame = frame.expect("a frame");
    assert_eq!(frame.encode(), bytes, "{line}");
    (side, Step::Send(frame))
}

/// Parses bytes in hex. `[61 x 3]` means three times the same byte.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in text.split_inclusive(']') {
        let (plain, repeated) = part.split_once('[').unwrap_or((part, ""));
        bytes.extend(plain.split_whitespace().flat_map(hex));
        if let Some((byte, count)) = repeated.trim_end_matches(']').split_once(" x ") {
            bytes.extend(hex(byte).repeat(count.parse().expect("a count")));
        }
    }
    bytes
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two hex digits"))
        .collect()
}
