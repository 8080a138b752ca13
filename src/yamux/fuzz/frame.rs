//! The decoder of frames, fed with anything.

use crate::{
    fuzz::Script,
    yamux::frame::{Decoder, Event, Header, HeaderError},
};

/// A frame as far as it has come.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    header: Header,
    body: Vec<u8>,
}

/// However the bytes are cut, the decoder finds the same frames, and these are
/// the same bytes again.
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
        // The header that is none was used up, and nothing after it.
        Some(_) => assert!(rest >= 12),
        None => assert!(rest < 12),
    }
    for seen in &frames {
        let len = seen.header.body_len() as usize;
        assert!(seen.body.len() <= len);
        assert_eq!(Header::decode(&seen.header.encode()), Ok(seen.header));
    }
    let incomplete = |seen: &Seen| seen.body.len() < seen.header.body_len() as usize;
    let last = frames.len().saturating_sub(1);
    assert!(!frames.iter().take(last).any(incomplete));
    if error.is_none() {
        let ends_whole = rest == 0 && !frames.last().is_some_and(incomplete);
        assert_eq!(at_boundary, ends_whole);
    }
}

type Found = (Vec<Seen>, Option<HeaderError>);

/// The frames in the pieces, what is wrong with what follows them, and whether
/// they end where a frame does.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Found, bool) {
    let mut decoder = Decoder::default();
    let mut frames: Vec<Seen> = Vec::new();
    for mut input in pieces {
        loop {
            let before = input.len();
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Header(header))) => {
                    let body = Vec::new();
                    frames.push(Seen { header, body });
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

fn encode(seen: &Seen) -> Vec<u8> {
    [&seen.header.encode()[..], &seen.body].concat()
}
