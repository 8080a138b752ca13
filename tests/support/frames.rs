//! yamux frames by hand, for the part of a peer that is no library: headers of
//! 12 bytes, big-endian.

use std::io::{self, Read};

pub const DATA: u8 = 0;
pub const WINDOW_UPDATE: u8 = 1;
pub const PING: u8 = 2;
pub const GO_AWAY: u8 = 3;

pub const SYN: u16 = 1;
pub const ACK: u16 = 2;
pub const FIN: u16 = 4;
pub const RST: u16 = 8;

/// A frame, with its body if it is one of Data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u16,
    pub stream: u32,
    pub length: u32,
    pub body: Vec<u8>,
}

impl Frame {
    pub fn data(stream: u32, body: Vec<u8>) -> Self {
        Self {
            kind: DATA,
            flags: 0,
            stream,
            length: body.len() as u32,
            body,
        }
    }

    /// A window update that grants nothing and carries flags.
    pub fn flags(stream: u32, flags: u16) -> Self {
        Self {
            kind: WINDOW_UPDATE,
            flags,
            stream,
            length: 0,
            body: Vec::new(),
        }
    }

    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether it is a window update that carries no flag.
    pub fn is_mere_credit(&self) -> bool {
        self.kind == WINDOW_UPDATE && self.flags == 0
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0, self.kind];
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(self.length.to_be_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// The next frame; `None` where the connection ends between two.
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
