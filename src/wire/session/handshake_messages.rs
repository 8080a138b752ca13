//! The two messages that open a session. Pure.

use super::frame::{Frame, FrameKind};
use crate::protobuf::{Encoder, Fields, PayloadError};

/// The command of the request.
const OPEN_SESSION: &str = "openSession";

/// The command of the answer. Validators see it as the stream's name when they
/// check a session, so no handler may have this name.
pub(crate) const CONFIRM_SESSION: &str = "confirmSession";

/// The dialling side's request.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct OpenSessionRequest {
    /// The session's id: 16 random bytes.
    pub(crate) sid: Vec<u8>,
    pub(crate) token: Vec<u8>,
    pub(crate) identification: Vec<u8>,
    /// The streams that the dialling side handles.
    pub(crate) local_stream_names: Vec<String>,
    /// The features of the dialling side beyond the protocol's first version.
    pub(crate) features: u64,
}

/// The accepting side's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OpenSessionResponse {
    pub(crate) sid: Vec<u8>,
    /// The streams that the accepting side handles.
    pub(crate) remote_stream_names: Vec<String>,
    /// Why the session is refused; empty if it is accepted.
    pub(crate) err: String,
    /// The code of the reason in `err`; 0 from peers that send none.
    pub(crate) code: u32,
    /// The features of the accepting side beyond the protocol's first version.
    pub(crate) features: u64,
}

/// The numbers of the fields that both messages have.
const SID: u32 = 1;
const FEATURES: u32 = 17;

/// The numbers of the request's other fields.
mod request {
    pub(super) const TOKEN: u32 = 2;
    pub(super) const IDENTIFICATION: u32 = 3;
    pub(super) const NAMES: u32 = 4;
}

/// The numbers of the answer's other fields.
mod response {
    pub(super) const NAMES: u32 = 2;
    pub(super) const ERR: u32 = 3;
    pub(super) const CODE: u32 = 15;
}

/// The features of a peer. Bits that this version does not know are ignored; a
/// peer written with go-wirenet has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features(u64);

impl Features {
    /// The peer knows refusal codes, and treats a reset of a stream as an error.
    /// go-wirenet does neither: its client gives up permanently after any
    /// refusal, and its reader treats a reset as the end of a message. Bits 0 to
    /// 3 are reserved.
    const ERRORS: u64 = 1 << 4;

    /// The features of this version.
    pub(crate) const OURS: Self = Self(Self::ERRORS);

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether the peer tries again after a temporary refusal.
    pub(crate) fn knows_codes(self) -> bool {
        self.0 & Self::ERRORS != 0
    }

    /// Returns whether the peer treats a reset of a stream as an error, never as
    /// its end.
    pub(crate) fn takes_resets(self) -> bool {
        self.0 & Self::ERRORS != 0
    }
}

impl OpenSessionRequest {
    pub(crate) fn to_frame(&self) -> Frame {
        let message = Encoder::default()
            .bytes(SID, &self.sid)
            .bytes(request::TOKEN, &self.token)
            .bytes(request::IDENTIFICATION, &self.identification)
            .texts(request::NAMES, &self.local_stream_names)
            .integer(FEATURES, self.features);
        frame(FrameKind::OpenSession, OPEN_SESSION, message)
    }

    /// Reads a request. Fields that this version does not know are ignored; of
    /// a field that occurs twice, the last value counts.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let mut message = Self::default();
        for field in Fields::new(bytes) {
            let field = field?;
            match field.number {
                SID => message.sid = field.bytes()?.into(),
                request::TOKEN => message.token = field.bytes()?.into(),
                request::IDENTIFICATION => message.identification = field.bytes()?.into(),
                request::NAMES => message.local_stream_names.push(field.text()?.into()),
                FEATURES => message.features = field.integer()?,
                _ => {}
            }
        }
        Ok(message)
    }
}

impl OpenSessionResponse {
    pub(crate) fn to_frame(&self) -> Frame {
        let message = Encoder::default()
            .bytes(SID, &self.sid)
            .texts(response::NAMES, &self.remote_stream_names)
            .bytes(response::ERR, self.err.as_bytes())
            .integer(response::CODE, self.code.into())
            .integer(FEATURES, self.features);
        frame(FrameKind::ConfirmSession, CONFIRM_SESSION, message)
    }

    /// Reads an answer, as [`OpenSessionRequest::decode`] reads a request.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let mut message = Self::default();
        for field in Fields::new(bytes) {
            let field = field?;
            match field.number {
                SID => message.sid = field.bytes()?.into(),
                response::NAMES => message.remote_stream_names.push(field.text()?.into()),
                response::ERR => message.err = field.text()?.into(),
                // A 32-bit field takes the low bits, as the specification requires.
                response::CODE => message.code = field.integer()? as u32,
                FEATURES => message.features = field.integer()?,
                _ => {}
            }
        }
        Ok(message)
    }
}

/// Returns the id in a request whose other fields may be invalid; empty if it
/// is not 16 bytes long.
pub(crate) fn sid(request: &[u8]) -> Vec<u8> {
    let found = Fields::new(request).try_fold(&[][..], |sid, field| {
        let field = field?;
        match field.number {
            SID => field.bytes(),
            _ => Ok(sid),
        }
    });
    // `decode` returns the error of an invalid request.
    let sid = found.ok().filter(|sid| sid.len() == 16);
    sid.unwrap_or_default().into()
}

/// Counts the stream names of a request, without allocating memory for them.
pub(crate) fn count_names(request: &[u8]) -> Result<usize, PayloadError> {
    Fields::new(request).try_fold(0, |count, field| {
        Ok(count + usize::from(field?.number == request::NAMES))
    })
}

fn frame(kind: FrameKind, command: &str, message: Encoder) -> Frame {
    Frame {
        kind,
        command: command.into(),
        payload: message.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same messages, as defined for prost.
    mod reference {
        use prost::{
            DecodeError, Message,
            encoding::{DecodeContext, decode_key, skip_field},
        };

        #[derive(Clone, PartialEq, Message)]
        pub(super) struct ProstRequest {
            #[prost(bytes = "vec", tag = "1")]
            pub(super) sid: Vec<u8>,
            #[prost(bytes = "vec", tag = "2")]
            pub(super) token: Vec<u8>,
            #[prost(bytes = "vec", tag = "3")]
            pub(super) identification: Vec<u8>,
            #[prost(string, repeated, tag = "4")]
            pub(super) local_stream_names: Vec<String>,
            #[prost(uint64, tag = "17")]
            pub(super) features: u64,
        }

        #[derive(Clone, PartialEq, Message)]
        pub(super) struct ProstResponse {
            #[prost(bytes = "vec", tag = "1")]
            pub(super) sid: Vec<u8>,
            #[prost(string, repeated, tag = "2")]
            pub(super) remote_stream_names: Vec<String>,
            #[prost(string, tag = "3")]
            pub(super) err: String,
            #[prost(uint32, tag = "15")]
            pub(super) code: u32,
            #[prost(uint64, tag = "17")]
            pub(super) features: u64,
        }

        #[derive(Clone, PartialEq, Message)]
        pub(super) struct ProstSid {
            #[prost(bytes = "vec", tag = "1")]
            pub(super) sid: Vec<u8>,
        }

        pub(super) fn count_names(mut request: &[u8]) -> Result<usize, DecodeError> {
            let mut count = 0;
            while !request.is_empty() {
                let (tag, wire_type) = decode_key(&mut request)?;
                skip_field(wire_type, tag, &mut request, DecodeContext::default())?;
                count += usize::from(tag == super::request::NAMES);
            }
            Ok(count)
        }
    }

    impl From<reference::ProstRequest> for OpenSessionRequest {
        fn from(request: reference::ProstRequest) -> Self {
            Self {
                sid: request.sid,
                token: request.token,
                identification: request.identification,
                local_stream_names: request.local_stream_names,
                features: request.features,
            }
        }
    }

    impl From<reference::ProstResponse> for OpenSessionResponse {
        fn from(response: reference::ProstResponse) -> Self {
            Self {
                sid: response.sid,
                remote_stream_names: response.remote_stream_names,
                err: response.err,
                code: response.code,
                features: response.features,
            }
        }
    }

    /// Panics unless prost reads the same from these bytes, and writes the same
    /// again.
    fn assert_same(bytes: &[u8]) {
        use prost::Message;
        let theirs = reference::ProstRequest::decode(bytes).ok();
        let ours = OpenSessionRequest::decode(bytes).ok();
        let written = ours.as_ref().map(|request| request.to_frame().payload);
        let expected = theirs.as_ref().map(Message::encode_to_vec);
        assert_eq!(written, expected, "{bytes:x?}");
        assert!(ours == theirs.map(Into::into), "{bytes:x?}");

        let theirs = reference::ProstResponse::decode(bytes).ok();
        let ours = OpenSessionResponse::decode(bytes).ok();
        let written = ours.as_ref().map(|response| response.to_frame().payload);
        let expected = theirs.as_ref().map(Message::encode_to_vec);
        assert_eq!(written, expected, "{bytes:x?}");
        assert_eq!(ours, theirs.map(Into::into), "{bytes:x?}");

        let theirs = reference::ProstSid::decode(bytes).map(|request| request.sid);
        let theirs = theirs.ok().filter(|sid| sid.len() == 16);
        assert_eq!(sid(bytes), theirs.unwrap_or_default(), "{bytes:x?}");

        let theirs = reference::count_names(bytes).ok();
        assert_eq!(count_names(bytes).ok(), theirs, "{bytes:x?}");
    }

    /// A varint, padded with up to 10 more bytes.
    fn varint(mut value: u64, padding: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8 | if padding > 0 { 0x80 } else { 0 });
        bytes.extend((1..=padding).map(|at| if at < padding { 0x80 } else { 0 }));
        bytes
    }

    /// The number of a field: mostly a known one.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            9 => prop::sample::select(&[1, 2, 3, 4, 15, 17][..]),
            2 => 1..40_u64,
            1 => 0..=(1 << 29) as u64,
        ]
    }

    fn padding() -> impl Strategy<Value = usize> {
        prop_oneof![9 => Just(0), 1 => 0..10_usize]
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "\\PC{0,20}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..20),
            prop::collection::vec(any::<u8>(), 16),
        ]
    }

    /// A field of any type, mostly a valid one.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let key = |kind: u64| {
            (number(), padding())
                .prop_map(move |(number, padding)| varint(number << 3 | kind, padding))
        };
        let integer = prop_oneof![any::<u64>(), 0..300_u64];
        let leaf = prop_oneof![
            4 => (key(2), bytes(), padding()).prop_map(|(key, bytes, padding)| {
                [key, varint(bytes.len() as u64, padding), bytes].concat()
            }),
            2 => (key(0), integer, padding()).prop_map(|(key, value, padding)| {
                [key, varint(value, padding)].concat()
            }),
            1 => (key(1), any::<[u8; 8]>()).prop_map(|(key, value)| [&key[..], &value].concat()),
            1 => (key(5), any::<[u8; 4]>()).prop_map(|(key, value)| [&key[..], &value].concat()),
            1 => (0..8_u64).prop_flat_map(key),
        ];
        leaf.prop_recursive(5, 20, 4, |inner| {
            let group = (1..20_u64, prop::collection::vec(inner, 0..4), 0..10_u64);
            group.prop_map(|(number, inner, wrong)| {
                // One group in ten ends with the number of another.
                let end = number + u64::from(wrong == 0);
                [
                    varint(number << 3 | 3, 0),
                    inner.concat(),
                    varint(end << 3 | 4, 0),
                ]
                .concat()
            })
        })
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let response = OpenSessionResponse {
            sid: vec![1; 16],
            err: "no".into(),
            ..Default::default()
        };
        let mut bytes = response.to_frame().payload;
        // Field 9, length-delimited, "later".
        bytes.extend_from_slice(b"\x4a\x05later");
        assert_eq!(OpenSessionResponse::decode(&bytes), Ok(response));
    }

    #[test]
    fn nested_groups_are_skipped_as_deep_as_by_prost() {
        for depth in [1, 99, 100, 101, 100_000] {
            let open = [&[0x4b].repeat(depth)[..], b"\x4a\x05later"].concat();
            assert_same(&open);
            assert_same(&[open, [0x4c].repeat(depth)].concat());
            assert_same(&[[0x4b].repeat(depth), [0x4c].repeat(depth)].concat());
        }
    }

    #[test]
    fn a_peer_without_features_has_none_and_unknown_bits_are_ignored() {
        assert!(!Features::default().knows_codes() && !Features::default().takes_resets());
        let unknown = Features::from_bits(!Features::ERRORS);
        assert!(!unknown.knows_codes() && !unknown.takes_resets());
        let all = Features::from_bits(u64::MAX);
        assert!(all.knows_codes() && all.takes_resets());
        assert_eq!(Features::OURS.bits(), 16);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

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
            assert_same(&bytes);
            prop_assert!(OpenSessionRequest::decode(&bytes) == Ok(request));
        }

        #[test]
        fn any_bytes_are_read_as_by_prost(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            assert_same(&bytes);
        }

        /// Valid and nearly valid messages, whole, cut, and with a changed byte.
        #[test]
        fn any_fields_are_read_as_by_prost(
            fields in prop::collection::vec(field(), 0..6),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = fields.concat();
            assert_same(&bytes);
            let at = at.index(bytes.len() + 1);
            assert_same(&bytes[..at]);
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
                assert_same(&bytes);
            }
        }
    }
}
