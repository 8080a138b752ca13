//! The frames that open sessions and streams, and their payloads.

use crate::{
    fuzz::Script,
    protobuf::PayloadError,
    wire::session::{
        frame::{Frame, FrameDecoder, FrameError, FrameKind, HEADER_LEN, MAX_COMMAND, MAX_PAYLOAD},
        handshake_messages::{OpenSessionRequest, OpenSessionResponse},
    },
};

/// In pieces of any size, the bytes are decoded to the same frames, and these are encoded to
/// the same bytes. The decoder holds no more memory than it has received.
pub fn wire_frame(data: &[u8]) {
    let mut script = Script::new(data);
    let size = 1 + usize::from(script.byte());
    let bytes = script.rest();
    let found = decode([bytes]);
    assert_eq!(decode(bytes.chunks(size)), found);

    let (frames, error) = found;
    let again: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
    assert!(bytes.starts_with(&again));
    if error.is_some() {
        assert!(bytes.len() - again.len() >= HEADER_LEN);
    }
    for frame in &frames {
        assert!(frame.command.len() <= MAX_COMMAND);
        match frame.kind {
            FrameKind::OpenSession => {
                hello(
                    &frame.payload,
                    OpenSessionRequest::decode,
                    OpenSessionRequest::to_frame,
                );
            }
            FrameKind::ConfirmSession => {
                hello(
                    &frame.payload,
                    OpenSessionResponse::decode,
                    OpenSessionResponse::to_frame,
                );
            }
            _ => assert!(frame.payload.len() <= MAX_PAYLOAD),
        }
    }
    // Most inputs are not a frame, so try them as a payload as well.
    hello(
        bytes,
        OpenSessionRequest::decode,
        OpenSessionRequest::to_frame,
    );
    hello(
        bytes,
        OpenSessionResponse::decode,
        OpenSessionResponse::to_frame,
    );
}

/// A payload that can be decoded is the same after encoding and decoding it again.
fn hello<M: PartialEq>(
    payload: &[u8],
    decode: fn(&[u8]) -> Result<M, PayloadError>,
    to_frame: fn(&M) -> Frame,
) {
    if let Ok(message) = decode(payload) {
        let again = to_frame(&message).payload;
        // Never longer than the input: numbers are encoded in the shortest form, and unknown
        // fields are dropped.
        assert!(again.len() <= payload.len());
        assert!(decode(&again).is_ok_and(|again| again == message));
    }
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = FrameDecoder::default();
    let (mut frames, mut received) = (Vec::new(), 0);
    for mut input in pieces {
        received += input.len();
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(frame)) => frames.push(frame),
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(input.is_empty());
        assert!(
            decoder.memory() <= 2 * received + 64,
            "{} of {received}",
            decoder.memory()
        );
    }
    (frames, None)
}
