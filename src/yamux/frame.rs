//! The 12-byte header of a yamux frame, and the decoder that finds frames in a
//! stream of bytes however they were cut. Pure: no I/O, no clock.
//!
//! Layout (big-endian): version u8 = 0, type u8, flags u16, stream id u32,
//! length u32.

use std::fmt;

/// The length of a header in bytes.
pub(crate) const HEADER_LEN: usize = 12;

/// A stream's number: odd for those that the dialling side opened, even for
/// the accepting side's, 0 for the session itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The session itself: pings and go-aways.
    pub(crate) const SESSION: Self = Self(0);
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream's bytes; the header's length says how many follow.
    Data = 0,
    /// Length is a delta that the receiver adds to its send window.
    WindowUpdate = 1,
    /// Length is an opaque value, to be echoed.
    Ping = 2,
    /// Length is a code: 0 normal, 1 protocol error, 2 internal error.
    GoAway = 3,
}

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u16);

impl Flags {
    /// None of them.
    pub(crate) const NONE: Self = Self(0);
    /// Opens a stream, or asks with a ping.
    pub(crate) const SYN: Self = Self(1);
    /// Accepts a stream, or answers a ping.
    pub(crate) const ACK: Self = Self(2);
    /// The sender will send no more on this stream.
    pub(crate) const FIN: Self = Self(4);
    /// Ends the stream at once, both ways.
    pub(crate) const RST: Self = Self(8);

    /// Whether every flag of `other` is set.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What the frame is for.
    pub(crate) kind: Kind,
    /// Its flags; bits that the specification does not name are kept.
    pub(crate) flags: Flags,
    /// The stream it belongs to.
    pub(crate) stream: StreamId,
    /// A count, a delta, a value or a code, after `kind`.
    pub(crate) length: u32,
}

/// Bytes that are no header of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not version 0.
    #[error("unknown yamux version {0}")]
    Version(u8),
    /// Not one of the four types.
    #[error("unknown yamux frame type {0}")]
    Kind(u8),
}

impl Header {
    /// A header for `length` bytes of stream data.
    pub(crate) const fn data(stream: StreamId, length: u32) -> Self {
        Self {
            kind: Kind::Data,
            flags: Flags::NONE,
            stream,
            length,
        }
    }

    /// A window update, or a bare carrier of `flags` when `delta` is 0.
    pub(crate) const fn window_update(stream: StreamId, flags: Flags, delta: u32) -> Self {
        Self {
            kind: Kind::WindowUpdate,
            flags,
            stream,
            length: delta,
        }
    }

    /// A ping ([`Flags::SYN`]) or its answer ([`Flags::ACK`]).
    pub(crate) const fn ping(flags: Flags, value: u32) -> Self {
        Self {
            kind: Kind::Ping,
            flags,
            stream: StreamId::SESSION,
            length: value,
        }
    }

    /// A go-away with its code.
    pub(crate) const fn go_away(code: u32) -> Self {
        Self {
            kind: Kind::GoAway,
            flags: Flags::NONE,
            stream: StreamId::SESSION,
            length: code,
        }
    }

    /// How many bytes of body follow the header.
    pub(crate) const fn body_len(&self) -> u32 {
        match self.kind {
            Kind::Data => self.length,
            Kind::WindowUpdate | Kind::Ping | Kind::GoAway => 0,
        }
    }

    /// The header's bytes.
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[1] = self.kind as u8;
        bytes[2..4].copy_from_slice(&self.flags.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stream.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// When the version or the type is unknown.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        if version != 0 {
            return Err(HeaderError::Version(version));
        }
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::WindowUpdate,
            2 => Kind::Ping,
            3 => Kind::GoAway,
            other => return Err(HeaderError::Kind(other)),
        };
        Ok(Self {
            kind,
            flags: Flags(u16::from_be_bytes([f0, f1])),
            stream: StreamId(u32::from_be_bytes([s0, s1, s2, s3])),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }
}

/// What the decoder found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A whole header. Its body, if it has one, comes as `Body` events.
    Header(Header),
    /// The next bytes of the last header's body, never empty.
    Body(&'a [u8]),
}

/// Finds frames in bytes that arrive in pieces of any size. Holds at most a
/// partial header; a body is passed through as it comes.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    header: [u8; HEADER_LEN],
    /// Invariant: less than `HEADER_LEN` between calls.
    filled: usize,
    body_left: u32,
}

impl Decoder {
    /// Takes the next event off the front of `input`; `None` when all of it is
    /// used up.
    ///
    /// # Errors
    ///
    /// When a header is none of this protocol; the decoder is of no use then.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, HeaderError> {
        if input.is_empty() {
            return Ok(None);
        }
        if self.body_left > 0 {
            let take = input.len().min(self.body_left as usize);
            let (body, rest) = input.split_at(take);
            *input = rest;
            self.body_left -= take as u32;
            return Ok(Some(Event::Body(body)));
        }
        let take = input.len().min(HEADER_LEN - self.filled);
        let (piece, rest) = input.split_at(take);
        *input = rest;
        self.header[self.filled..self.filled + take].copy_from_slice(piece);
        self.filled += take;
        if self.filled < HEADER_LEN {
            return Ok(None);
        }
        self.filled = 0;
        let header = Header::decode(&self.header)?;
        self.body_left = header.body_len();
        Ok(Some(Event::Header(header)))
    }

    /// The caller has taken `count` bytes of the current body by itself.
    pub(crate) fn skip_body(&mut self, count: u32) {
        debug_assert!(count <= self.body_left);
        self.body_left -= count;
    }

    /// How many bytes of the current body are still to come.
    pub(crate) fn body_left(&self) -> u32 {
        self.body_left
    }

    /// Whether the bytes so far end where a frame ends.
    pub(crate) fn at_boundary(&self) -> bool {
        self.filled == 0 && self.body_left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_header() -> impl Strategy<Value = Header> {
        let kind = prop_oneof![
            Just(Kind::Data),
            Just(Kind::WindowUpdate),
            Just(Kind::Ping),
            Just(Kind::GoAway)
        ];
        (kind, any::<u16>(), any::<u32>(), any::<u32>()).prop_map(
            |(kind, flags, stream, length)| Header {
                kind,
                flags: Flags(flags),
                stream: StreamId(stream),
                length,
            },
        )
    }

    /// Headers with bodies short enough to be made.
    fn frames() -> impl Strategy<Value = Vec<(Header, Vec<u8>)>> {
        let frame = any_header().prop_flat_map(|mut header| {
            header.length %= 300;
            prop::collection::vec(any::<u8>(), header.body_len() as usize)
                .prop_map(move |body| (header, body))
        });
        prop::collection::vec(frame, 0..8)
    }

    /// All events, with the pieces of each body joined.
    fn decode(pieces: &[&[u8]]) -> Vec<(Header, Vec<u8>)> {
        let mut decoder = Decoder::default();
        let mut frames: Vec<(Header, Vec<u8>)> = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(event) = decoder.next(&mut input).unwrap() {
                match event {
                    Event::Header(header) => frames.push((header, Vec::new())),
                    Event::Body(body) => frames.last_mut().unwrap().1.extend_from_slice(body),
                }
            }
        }
        assert!(decoder.at_boundary());
        frames
    }

    #[test]
    fn a_header_is_the_bytes_of_the_specification() {
        let header = Header {
            kind: Kind::WindowUpdate,
            flags: Flags::SYN,
            stream: StreamId(0x0102_0304),
            length: 0x0506_0708,
        };
        assert_eq!(header.encode(), [0, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn an_unknown_version_or_type_is_an_error_that_names_it() {
        let mut bytes = Header::go_away(0).encode();
        bytes[1] = 4;
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Kind(4)));
        bytes[0] = 7;
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Version(7)));
    }

    proptest! {
        #[test]
        fn encode_and_decode_are_inverse(header in any_header()) {
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn any_split_of_the_input_gives_the_same_frames(
            frames in frames(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut bytes = Vec::new();
            for (header, body) in &frames {
                bytes.extend_from_slice(&header.encode());
                bytes.extend_from_slice(body);
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.push(0);
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&pieces), frames);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            let mut input = bytes.as_slice();
            while let Ok(Some(_)) = decoder.next(&mut input) {}
        }
    }
}
