//! The frames that open sessions and streams, and what is in them.

use crate::{
    fuzz::Script,
    protobuf::PayloadError,
    wire::session::{
        frame::{Decoder, Frame, FrameError, HEADER_LEN, Kind, MAX_COMMAND, MAX_PAYLOAD},
        hello::{OpenSessionRequest, OpenSessionResponse},
    },
};

/// However the bytes are cut, the decoder finds the same frames, holds no more
/// than has come, and the frames are the same bytes again.
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
            Kind::OpenSession => {
                hello(
                    &frame.payload,
                    OpenSessionRequest::decode,
                    OpenSessionRequest::to_frame,
                );
            }
            Kind::ConfirmSession => {
                hello(
                    &frame.payload,
                    OpenSessionResponse::decode,
                    OpenSessionResponse::to_frame,
                );
            }
            _ => assert!(frame.payload.len() <= MAX_PAYLOAD),
        }
    }
    // Most bytes are no frame: they may be what is in one.
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

/// What can be read is the same when it is written and read again.
fn hello<M: PartialEq>(
    payload: &[u8],
    decode: fn(&[u8]) -> Result<M, PayloadError>,
    to_frame: fn(&M) -> Frame,
) {
    if let Ok(message) = decode(payload) {
        let again = to_frame(&message).payload;
        // Never longer than what it was read from: numbers are as short as can
        // be, and unknown fields are gone.
        assert!(again.len() <= payload.len());
        assert!(decode(&again).is_ok_and(|again| again == message));
    }
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = Decoder::default();
    let (mut frames, mut come) = (Vec::new(), 0);
    for mut input in pieces {
        come += input.len();
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(frame)) => frames.push(frame),
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(input.is_empty());
        assert!(
            decoder.held() <= 2 * come + 64,
            "{} of {come}",
            decoder.held()
        );
    }
    (frames, None)
}
