//! yamux frames, encoded and decoded independently of the library: headers of
//! 12 bytes, big-endian.

use std::{
    io::{self, Read},
    slice,
};

pub const DATA: u8 = 0;
pub const WINDOW_UPDATE: u8 = 1;
pub const PING: u8 = 2;
pub const GO_AWAY: u8 = 3;

pub const SYN: u16 = 1;
pub const ACK: u16 = 2;
pub const FIN: u16 = 4;
pub const RST: u16 = 8;

/// A frame. Only a Data frame has a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u16,
    pub stream: u32,
    pub length: u32,
    pub body: Vec<u8>,
}

impl Frame {
    /// A header whose body, if there should be one, is missing.
    pub fn header(kind: u8, flags: u16, stream: u32, length: u32) -> Self {
        Self {
            kind,
            flags,
            stream,
            length,
            body: Vec::new(),
        }
    }

    pub fn data(stream: u32, body: Vec<u8>) -> Self {
        Self {
            length: body.len() as u32,
            body,
            ..Self::header(DATA, 0, stream, 0)
        }
    }

    /// A window update that grants nothing and carries flags.
    pub fn flags(stream: u32, flags: u16) -> Self {
        Self::header(WINDOW_UPDATE, flags, stream, 0)
    }

    /// A window update that grants credit.
    pub fn grant(stream: u32, delta: u32) -> Self {
        Self::header(WINDOW_UPDATE, 0, stream, delta)
    }

    pub fn ping(value: u32) -> Self {
        Self::header(PING, SYN, 0, value)
    }

    /// The answer to a ping.
    pub fn pong(value: u32) -> Self {
        Self::header(PING, ACK, 0, value)
    }

    pub fn go_away(code: u32) -> Self {
        Self::header(GO_AWAY, 0, 0, code)
    }

    pub fn with_flags(self, flags: u16) -> Self {
        Self { flags, ..self }
    }

    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub fn is_ping(&self) -> bool {
        self.kind == PING && self.has(SYN)
    }

    /// Whether it is a window update that carries no flag.
    pub fn is_mere_credit(&self) -> bool {
        self.kind == WINDOW_UPDATE && self.flags == 0
    }

    /// Whether it carries data, or ends a direction of a stream.
    pub fn is_data_or_end(&self) -> bool {
        self.kind == DATA || self.has(FIN) || self.has(RST)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0, self.kind];
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(self.length.to_be_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// Reads the next frame. Returns `None` if the connection ends before it.
    pub fn read(mut from: impl Read) -> io::Result<Option<Self>> {
        let mut header = [0; 12];
        if from.read(&mut header[..1])? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut header[1..])?;
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = header;
        assert_eq!(version, 0, "the protocol's version");
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let mut body = vec![0; if kind == DATA { length as usize } else { 0 }];
        from.read_exact(&mut body)?;
        Ok(Some(Self {
            kind,
            flags: u16::from_be_bytes([f0, f1]),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            length,
            body,
        }))
    }
}

/// One frame may be sent where several may be.
impl AsRef<[Frame]> for Frame {
    fn as_ref(&self) -> &[Frame] {
        slice::from_ref(self)
    }
}

/// The frames as they are sent.
pub fn encode_all(frames: impl AsRef<[Frame]>) -> Vec<u8> {
    frames.as_ref().iter().flat_map(Frame::encode).collect()
}
