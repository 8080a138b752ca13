//! What the two sides say when a session opens. Pure.

use crate::wire::session::frame::{Frame, FrameKind};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, decode_key, skip_field},
};

/// The command of the request.
const OPEN_SESSION: &str = "openSession";

/// The command of the answer, and the name under which validators see the
/// step; no handler may bear it.
pub(crate) const CONFIRM_SESSION: &str = "confirmSession";

/// The field of a request that has the names.
const NAMES: u32 = 4;

/// The dialling side's request.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct OpenSessionRequest {
    /// The session's id: 16 random bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) sid: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) token: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) identification: Vec<u8>,
    /// The streams that the dialling side handles.
    #[prost(string, repeated, tag = "4")]
    pub(crate) local_stream_names: Vec<String>,
    /// What the dialling side understands beyond the protocol's first version.
    #[prost(uint64, tag = "17")]
    pub(crate) features: u64,
}

/// What a request begins with.
#[derive(Clone, PartialEq, Message)]
struct Sid {
    #[prost(bytes = "vec", tag = "1")]
    sid: Vec<u8>,
}

/// The accepting side's answer.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OpenSessionResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) sid: Vec<u8>,
    /// The streams that the accepting side handles.
    #[prost(string, repeated, tag = "2")]
    pub(crate) remote_stream_names: Vec<String>,
    /// Why the session is refused; empty when it is not.
    #[prost(string, tag = "3")]
    pub(crate) err: String,
    /// Beside `err`: a number for the cause, 0 from peers that have none.
    #[prost(uint32, tag = "15")]
    pub(crate) code: u32,
    /// What the accepting side understands beyond the protocol's first version.
    #[prost(uint64, tag = "17")]
    pub(crate) features: u64,
}

/// What a peer says that it understands. Bits that this version does not know
/// are ignored; a peer written with go-wirenet has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features(u64);

impl Features {
    /// It understands refusal codes, and takes a stream that is reset for an
    /// error. go-wirenet does neither: any refusal ends its client for good, and
    /// a reset its reader takes for the end of a message. Bits 0 to 3 are
    /// reserved.
    const ERRORS: u64 = 1 << 4;

    /// What this version understands.
    pub(crate) const OURS: Self = Self(Self::ERRORS);

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Whether it tries again after a refusal that may pass.
    pub(crate) fn knows_codes(self) -> bool {
        self.0 & Self::ERRORS != 0
    }

    /// Whether it takes a reset stream for an error, never for an end.
    pub(crate) fn takes_resets(self) -> bool {
        self.0 & Self::ERRORS != 0
    }
}

impl OpenSessionRequest {
    pub(crate) fn to_frame(&self) -> Frame {
        frame(FrameKind::OpenSession, OPEN_SESSION, self)
    }
}

impl OpenSessionResponse {
    pub(crate) fn to_frame(&self) -> Frame {
        frame(FrameKind::ConfirmSession, CONFIRM_SESSION, self)
    }
}

/// The id in a request of which the rest may be wrong; none if it is no id.
pub(crate) fn sid(request: &[u8]) -> Vec<u8> {
    let sid = Sid::decode(request).map(|request| request.sid);
    // What is wrong with the request, who parses all of it says.
    sid.ok().filter(|sid| sid.len() == 16).unwrap_or_default()
}

/// How many stream names a request has; nothing is held for them.
pub(crate) fn count_names(mut request: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    while !request.is_empty() {
        let (tag, wire_type) = decode_key(&mut request)?;
        skip_field(wire_type, tag, &mut request, DecodeContext::default())?;
        count += usize::from(tag == NAMES);
    }
    Ok(count)
}

fn frame(kind: FrameKind, command: &str, message: &impl Message) -> Frame {
    Frame {
        kind,
        command: command.into(),
        payload: message.encode_to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_fields_are_skipped() {
        let response = OpenSessionResponse {
            sid: vec![1; 16],
            err: "no".into(),
            ..Default::default()
        };
        let mut bytes = response.encode_to_vec();
        // Field 9, length-delimited, "later".
        bytes.extend_from_slice(b"\x4a\x05later");
        assert_eq!(OpenSessionResponse::decode(bytes.as_slice()), Ok(response));
    }

    #[test]
    fn a_peer_that_says_nothing_understands_nothing_and_unknown_bits_are_ignored() {
        assert!(!Features::default().knows_codes() && !Features::default().takes_resets());
        let unknown = Features::from_bits(!Features::ERRORS);
        assert!(!unknown.knows_codes() && !unknown.takes_resets());
        let all = Features::from_bits(u64::MAX);
        assert!(all.knows_codes() && all.takes_resets());
        assert_eq!(Features::OURS.bits(), 16);
    }

    proptest! {
        #[test]
        fn encode_and_decode_are_inverse(
            sid in any::<[u8; 16]>(),
            token in prop::collection::vec(any::<u8>(), 0..50),
            identification in prop::collection::vec(any::<u8>(), 0..50),
            names in prop::collection::vec("\\PC{0,20}", 0..5),
            features in any::<u64>(),
        ) {
            let request = OpenSessionRequest {
                sid: sid.to_vec(),
                token,
                identification,
                local_stream_names: names,
                features,
            };
            let bytes = request.to_frame().payload;
            prop_assert_eq!(count_names(&bytes), Ok(request.local_stream_names.len()));
            prop_assert!(OpenSessionRequest::decode(bytes.as_slice()) == Ok(request));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = OpenSessionRequest::decode(bytes.as_slice());
            let _ = OpenSessionResponse::decode(bytes.as_slice());
            let _ = count_names(&bytes);
        }
    }
}
