//! The frames that open sessions and named streams, at the beginning of a yamux stream.
//! Pure.
//!
//! Layout (little-endian): type u32, command length u32, payload length u32, command
//! (UTF-8), payload.

use std::fmt;

/// The length of a header in bytes.
pub(crate) const HEADER_LEN: usize = 12;

/// The maximum length of a command, which is the name of a stream, in bytes.
pub(crate) const MAX_COMMAND: usize = 255;

/// The maximum payload of the frames that open a session, which contain the names of all
/// handlers.
const MAX_SESSION_PAYLOAD: usize = 256 * 1024;

/// The maximum payload of any other frame: a token, or the text of an error.
pub(crate) const MAX_PAYLOAD: usize = 4096;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// Unused.
    Init = 0x02,
    /// Refuses the stream; the payload is the reason.
    Error = 0x04,
    /// Accepts the stream.
    Accept = 0x08,
    /// Opens a named stream; the payload is the caller's token.
    Open = 0x16,
    /// Opens a session.
    OpenSession = 0x32,
    /// Accepts or refuses the session.
    ConfirmSession = 0x64,
}

impl FrameKind {
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0x02 => Self::Init,
            0x04 => Self::Error,
            0x08 => Self::Accept,
            0x16 => Self::Open,
            0x32 => Self::OpenSession,
            0x64 => Self::ConfirmSession,
            _ => return None,
        })
    }

    fn max_payload(self) -> usize {
        match self {
            Self::OpenSession | Self::ConfirmSession => MAX_SESSION_PAYLOAD,
            Self::Init | Self::Error | Self::Accept | Self::Open => MAX_PAYLOAD,
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    pub(crate) command: String,
    pub(crate) payload: Vec<u8>,
}

/// Omits the payload, which may be a token and must not appear in logs.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("command", &self.command)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .finish()
    }
}

/// An error in the frames that open sessions and streams.
///
/// The bytes received from the peer are not a frame of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The type of the frame is unknown.
    #[error("unknown frame type {0:#x}")]
    Kind(u32),
    /// The name is longer than 255 bytes.
    #[error("a name of {0} bytes is too long; at most {MAX_COMMAND} are allowed")]
    CommandTooLong(u32),
    /// The payload is longer than a frame of this type allows.
    #[error(
        "a payload of {0} bytes is too long; at most {MAX_PAYLOAD} are allowed, and \
         {MAX_SESSION_PAYLOAD} to open a session"
    )]
    PayloadTooLong(u32),
    /// The name is not UTF-8.
    #[error("the name is not UTF-8")]
    NotUtf8,
}

/// Returns what is wrong with the name of a stream, if anything.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the stream name is empty".into());
    }
    if name.len() > MAX_COMMAND {
        let (len, shown): (_, String) = (name.len(), name.chars().take(32).collect());
        return Err(format!(
            "the stream name has {len} bytes, and at most {MAX_COMMAND} are allowed; it begins \
             with {shown:?}"
        ));
    }
    Ok(())
}

impl Frame {
    /// Returns the bytes of the frame. The caller has checked command and payload against
    /// their limits, which are far below `u32::MAX`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.command.len() + self.payload.len());
        bytes.extend_from_slice(&(self.kind as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.command.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(self.command.as_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// Decodes one frame from bytes that are received in pieces of any size. Holds no more
/// memory than has been received, whatever the lengths in the header.
#[derive(Default)]
pub(crate) struct FrameDecoder {
    bytes: Vec<u8>,
}

/// Omits the bytes, which may be those of a token.
impl fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameDecoder")
            .field("len", &self.bytes.len())
            .finish()
    }
}

struct FrameHeader {
    kind: FrameKind,
    command: usize,
    payload: usize,
}

impl FrameHeader {
    fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(word)
        };
        let (kind, command, payload) = (word(0), word(4), word(8));
        let kind = FrameKind::from_number(kind).ok_or(FrameError::Kind(kind))?;
        if command as usize > MAX_COMMAND {
            return Err(FrameError::CommandTooLong(command));
        }
        if payload as usize > kind.max_payload() {
            return Err(FrameError::PayloadTooLong(payload));
        }
        Ok(Self {
            kind,
            command: command as usize,
            payload: payload as usize,
        })
    }
}

impl FrameDecoder {
    /// Takes bytes of the frame from the front of `input`. Returns the frame once it is
    /// complete, and leaves what follows it in `input`.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        if !self.gather(HEADER_LEN, input) {
            return Ok(None);
        }
        let header = FrameHeader::parse(&self.bytes[..HEADER_LEN])?;
        let command_end = HEADER_LEN + header.command;
        if !self.gather(command_end + header.payload, input) {
            return Ok(None);
        }
        let payload = self.bytes.split_off(command_end);
        let command = self.bytes.split_off(HEADER_LEN);
        self.bytes.clear();
        Ok(Some(Frame {
            kind: header.kind,
            command: String::from_utf8(command).map_err(|_| FrameError::NotUtf8)?,
            payload,
        }))
    }

    /// Returns the bytes of memory that the decoder holds.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes bytes from `input` until `count` are held. Returns whether they are.
    fn gather(&mut self, count: usize, input: &mut &[u8]) -> bool {
        let missing = count.saturating_sub(self.bytes.len());
        let (piece, rest) = input.split_at(missing.min(input.len()));
        self.bytes.extend_from_slice(piece);
        *input = rest;
        self.bytes.len() >= count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_frame() -> impl Strategy<Value = Frame> {
        let kind = prop_oneof![
            Just(FrameKind::Init),
            Just(FrameKind::Error),
            Just(FrameKind::Accept),
            Just(FrameKind::Open),
            Just(FrameKind::OpenSession),
            Just(FrameKind::ConfirmSession),
        ];
        (
            kind,
            "\\PC{0,60}",
            prop::collection::vec(any::<u8>(), 0..200),
        )
            .prop_map(|(kind, command, payload)| Frame {
                kind,
                command,
                payload,
            })
    }

    #[test]
    fn a_frame_has_the_bytes_of_the_protocol() {
        let frame = Frame {
            kind: FrameKind::Open,
            command: "echo".into(),
            payload: b"secret".to_vec(),
        };
        let bytes = b"\x16\0\0\0\x04\0\0\0\x06\0\0\0echosecret";
        assert_eq!(frame.encode(), bytes);
    }

    #[test]
    fn lengths_over_the_limits_are_refused_before_memory_is_reserved() {
        let header = |kind: u32, command: u32, payload: u32| {
            let words = [kind, command, payload];
            words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        for (kind, command, payload, error) in [
            (0x17, 0, 0, Some(FrameError::Kind(0x17))),
            (0x16, 255, 4096, None),
            (0x16, 256, 0, Some(FrameError::CommandTooLong(256))),
            (0x16, 0, 4097, Some(FrameError::PayloadTooLong(4097))),
            (0x32, 11, 256 * 1024, None),
            (
                0x32,
                11,
                256 * 1024 + 1,
                Some(FrameError::PayloadTooLong(256 * 1024 + 1)),
            ),
            (
                0x64,
                u32::MAX,
                u32::MAX,
                Some(FrameError::CommandTooLong(u32::MAX)),
            ),
            (0x64, 0, 1 << 31, Some(FrameError::PayloadTooLong(1 << 31))),
        ] {
            let bytes = header(kind, command, payload);
            let mut decoder = FrameDecoder::default();
            let found = decoder.next(&mut bytes.as_slice()).err();
            assert_eq!(found, error);
            assert!(decoder.bytes.capacity() < 64);
        }
    }

    #[test]
    fn a_name_that_is_not_utf8_is_an_error() {
        let bytes = b"\x16\0\0\0\x01\0\0\0\0\0\0\0\xff";
        let found = FrameDecoder::default().next(&mut bytes.as_slice());
        assert_eq!(found, Err(FrameError::NotUtf8));
    }

    proptest! {
        #[test]
        fn any_split_of_the_input_gives_the_same_frame_and_leaves_the_rest(
            frame in any_frame(),
            rest in prop::collection::vec(any::<u8>(), 0..20),
            size in 1usize..40,
        ) {
            let mut bytes = frame.encode();
            bytes.extend_from_slice(&rest);
            let mut decoder = FrameDecoder::default();
            let mut left = Vec::new();
            let mut found = None;
            for piece in bytes.chunks(size) {
                let mut input = piece;
                if found.is_none() {
                    found = decoder.next(&mut input).unwrap();
                }
                if found.is_some() {
                    left.extend_from_slice(input);
                }
            }
            prop_assert_eq!(found, Some(frame));
            prop_assert_eq!(left, rest);
        }

        #[test]
        fn no_input_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = FrameDecoder::default().next(&mut bytes.as_slice());
        }
    }
}
