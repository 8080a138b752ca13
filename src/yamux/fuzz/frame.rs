//! The decoder of frames, on any bytes.

use crate::{
    fuzz::Script,
    yamux::frame::{Decoder, Event, Header, HeaderError},
};

/// A frame with as much of its body as was found.
#[derive(Debug, PartialEq, Eq)]
struct FoundFrame {
    header: Header,
    body: Vec<u8>,
}

/// The decoder finds the same frames however the bytes are split, and encoding the
/// frames yields the same bytes.
pub fn yamux_frame(data: &[u8]) {
    let mut script = Script::new(data);
    let size = 1 + usize::from(script.byte());
    let bytes = script.rest();
    let (whole, at_boundary) = decode([bytes]);
    assert_eq!(decode(bytes.chunks(size)), (whole, at_boundary));

    let (frames, error) = decode([bytes]).0;
    let again: Vec<u8> = frames.iter().flat_map(encode).collect();
    assert!(bytes.starts_with(&again));
    let rest = bytes.len() - again.len();
    match error {
        // The decoder consumed the invalid header, and nothing after it.
        Some(_) => assert!(rest >= 12),
        None => assert!(rest < 12),
    }
    for found in &frames {
        let len = found.header.body_len() as usize;
        assert!(found.body.len() <= len);
        assert_eq!(Header::decode(&found.header.encode()), Ok(found.header));
    }
    let incomplete = |found: &FoundFrame| found.body.len() < found.header.body_len() as usize;
    let last = frames.len().saturating_sub(1);
    assert!(!frames.iter().take(last).any(incomplete));
    if error.is_none() {
        let ends_whole = rest == 0 && !frames.last().is_some_and(incomplete);
        assert_eq!(at_boundary, ends_whole);
    }
}

type Found = (Vec<FoundFrame>, Option<HeaderError>);

/// Returns the frames in the pieces, the error after them, and whether the bytes end
/// at the end of a frame.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Found, bool) {
    let mut decoder = Decoder::default();
    let mut frames: Vec<FoundFrame> = Vec::new();
    for mut input in pieces {
        loop {
            let before = input.len();
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Header(header))) => {
                    let body = Vec::new();
                    frames.push(FoundFrame { header, body });
                }
                Ok(Some(Event::Body(body))) => {
                    assert!(!body.is_empty());
                    frames.last_mut().expect("a header").body.extend(body);
                }
                Err(error) => return ((frames, Some(error)), false),
            }
            assert!(input.len() < before, "no progress");
        }
        assert!(input.is_empty());
    }
    ((frames, None), decoder.at_boundary())
}

fn encode(found: &FoundFrame) -> Vec<u8> {
    [&found.header.encode()[..], &found.body].concat()
}
