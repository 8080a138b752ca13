//! The 12-byte header of a yamux frame, and a decoder that finds frames in bytes
//! that arrive in pieces of any size. Pure: no I/O, no clock.
//!
//! Layout (big-endian): version u8 = 0, type u8, flags u16, stream id u32,
//! length u32.

use std::fmt;

/// The length of a header in bytes.
pub(crate) const HEADER_LEN: usize = 12;

/// The id of a stream: odd for the streams that the dialling side opened, even for those
/// of the accepting side. 0 is the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The id of the session itself, for pings and go-aways.
    pub(crate) const CONNECTION: Self = Self(0);
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes of a stream. The length is that of the body.
    Data = 0,
    /// The length is a number that the receiver adds to its send window.
    WindowUpdate = 1,
    /// The length is an opaque value, which the answer repeats.
    Ping = 2,
    /// The length is a code: 0 normal, 1 protocol error, 2 internal error.
    GoAway = 3,
}

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u16);

impl Flags {
    /// No flag.
    pub(crate) const NONE: Self = Self(0);
    /// Opens a stream, or marks a ping.
    pub(crate) const SYN: Self = Self(1);
    /// Accepts a stream, or marks the answer to a ping.
    pub(crate) const ACK: Self = Self(2);
    /// The sender will send no more on this stream.
    pub(crate) const FIN: Self = Self(4);
    /// Resets the stream, in both directions.
    pub(crate) const RST: Self = Self(8);

    /// Returns whether every flag of `other` is set.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The type of the frame.
    pub(crate) kind: Kind,
    /// Its flags, including unknown bits.
    pub(crate) flags: Flags,
    /// The stream it belongs to.
    pub(crate) stream: StreamId,
    /// A length, an increment, a value or a code, depending on `kind`.
    pub(crate) length: u32,
}

/// Why bytes are not a valid yamux header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The version is not 0.
    #[error("unknown yamux version {}{STRAY}", Byte(*.0))]
    Version(u8),
    /// The type is not one of the four.
    #[error("unknown yamux frame type {}{STRAY}", Byte(*.0))]
    Kind(u8),
}

/// The probable reason for an invalid header after a valid one, which shows that the peer
/// speaks yamux.
const STRAY: &str = "; does the peer's program print to the connection?";

/// Shows a byte, together with its character if that is printable ASCII.
struct Byte(u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(byte) = *self;
        match byte.is_ascii_graphic() {
            true => write!(f, "{byte} (the character {:?})", char::from(byte)),
            false => byte.fmt(f),
        }
    }
}

impl Header {
    /// Makes the header of `length` bytes of data.
    pub(crate) const fn data(stream: StreamId, length: u32) -> Self {
        Self {
            kind: Kind::Data,
            flags: Flags::NONE,
            stream,
            length,
        }
    }

    /// Makes a window update. With a `delta` of 0 it only carries `flags`.
    pub(crate) const fn window_update(stream: StreamId, flags: Flags, delta: u32) -> Self {
        Self {
            kind: Kind::WindowUpdate,
            flags,
            stream,
            length: delta,
        }
    }

    /// Makes a ping ([`Flags::SYN`]) or its answer ([`Flags::ACK`]).
    pub(crate) const fn ping(flags: Flags, value: u32) -> Self {
        Self {
            kind: Kind::Ping,
            flags,
            stream: StreamId::CONNECTION,
            length: value,
        }
    }

    /// Makes a go-away with this code.
    pub(crate) const fn go_away(code: u32) -> Self {
        Self {
            kind: Kind::GoAway,
            flags: Flags::NONE,
            stream: StreamId::CONNECTION,
            length: code,
        }
    }

    /// Returns how many bytes of body follow the header.
    pub(crate) const fn body_len(&self) -> u32 {
        match self.kind {
            Kind::Data => self.length,
            Kind::WindowUpdate | Kind::Ping | Kind::GoAway => 0,
        }
    }

    /// Returns the bytes of the header.
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[1] = self.kind as u8;
        bytes[2..4].copy_from_slice(&self.flags.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stream.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Parses a header.
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

/// A part of a frame that the decoder found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A whole header. `Body` events with its body follow, if it has one.
    Header(Header),
    /// The next bytes of the last header's body, never empty.
    Body(&'a [u8]),
}

/// Finds frames in bytes that arrive in pieces of any size. Buffers at most a
/// partial header: bodies are passed on as they arrive.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    header: [u8; HEADER_LEN],
    /// How many bytes of `header` are received. Invariant: less than `HEADER_LEN`
    /// between calls.
    filled: usize,
    body_left: u32,
    /// Whether a valid header was found.
    begun: bool,
}

impl Decoder {
    /// Removes the next event from the front of `input`. Returns `None` once all of
    /// `input` is used up.
    ///
    /// # Errors
    ///
    /// When a header is invalid. The decoder must not be used afterwards.
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
        self.begun = true;
        self.body_left = header.body_len();
        Ok(Some(Event::Header(header)))
    }

    /// Returns the bytes that [`next`](Self::next) refused as a header, if they were the first.
    pub(crate) fn first_bytes(&self) -> Option<[u8; HEADER_LEN]> {
        (!self.begun).then_some(self.header)
    }

    /// Notes that the caller read `count` bytes of the current body itself.
    pub(crate) fn skip_body(&mut self, count: u32) {
        debug_assert!(count <= self.body_left);
        self.body_left -= count;
    }

    /// Returns how many bytes of the current body are missing.
    pub(crate) fn body_left(&self) -> u32 {
        self.body_left
    }

    /// Returns whether the bytes so far end at the end of a frame.
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

    /// Frames with short bodies.
    fn frames() -> impl Strategy<Value = Vec<(Header, Vec<u8>)>> {
        let frame = any_header().prop_flat_map(|mut header| {
            header.length %= 300;
            prop::collection::vec(any::<u8>(), header.body_len() as usize)
                .prop_map(move |body| (header, body))
        });
        prop::collection::vec(frame, 0..8)
    }

    /// Decodes frames, joining the pieces of each body.
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
    fn a_header_is_encoded_as_in_the_specification() {
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
        let text = HeaderError::Version(b'W').to_string();
        assert!(text.contains("version 87 (the character 'W')"), "{text}");
        let text = HeaderError::Kind(b'\n').to_string();
        assert!(text.contains("type 10;"), "{text}");
    }

    #[test]
    fn only_the_first_bytes_of_all_show_that_the_peer_speaks_something_else() {
        let foreign = b"Welcome to t";
        let mut decoder = Decoder::default();
        decoder.next(&mut &foreign[..]).unwrap_err();
        assert_eq!(decoder.first_bytes().as_ref(), Some(foreign));

        let mut decoder = Decoder::default();
        let bytes = [Header::ping(Flags::SYN, 1).encode(), *foreign].concat();
        let mut input = &bytes[..];
        decoder.next(&mut input).unwrap();
        decoder.next(&mut input).unwrap_err();
        assert_eq!(decoder.first_bytes(), None);
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
