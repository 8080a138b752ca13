//! Our handlers. They are the counterparts of the Go peer's, so that either peer
//! can open the streams of the other.

use std::io::{self, Read};
use std::sync::mpsc::Sender;

use sha2::{Digest, Sha256};
use wirenet::{Builder, Stream};

/// The bytes that a handler received, and how its stream ended.
pub struct Collected {
    pub bytes: Vec<u8>,
    pub end: Result<(), io::ErrorKind>,
}

/// The names under which [`ours`] registers handlers.
pub const OUR_NAMES: [&str; 5] = ["alpha", "collect", "echo", "forbidden", "sink"];

/// Registers the handlers, and a validator that requires the token `secret` and
/// refuses the stream `forbidden`.
pub fn ours(builder: Builder, collect: Sender<Collected>) -> Builder {
    builder
        .stream("alpha", |stream: &mut Stream| {
            stream.write_message(b"hello from alpha")
        })
        .stream("collect", move |stream: &mut Stream| {
            let mut bytes = Vec::new();
            let end = stream
                .read_to_end(&mut bytes)
                .map(drop)
                .map_err(|error| error.kind());
            _ = collect.send(Collected { bytes, end });
            Ok(())
        })
        .stream("echo", echo)
        .stream("forbidden", echo)
        .stream("sink", |stream: &mut Stream| {
            each_message(stream, |stream, message| {
                stream.write_message(digest(message).as_bytes())
            })
        })
        .token_validator(|name: &str, _: &[u8], token: &[u8]| match (name, token) {
            (_, token) if token != b"secret" => Err("bad token".into()),
            ("forbidden", _) => Err("forbidden is not for you".into()),
            _ => Ok(()),
        })
}

fn echo(stream: &mut Stream) -> io::Result<()> {
    each_message(stream, |stream, message| stream.write_message(message))
}

fn each_message(
    stream: &mut Stream,
    then: impl Fn(&Stream, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    while stream.next_message()? {
        let mut message = Vec::new();
        stream.reader().read_to_end(&mut message)?;
        then(stream, &message)?;
    }
    Ok(())
}

/// Returns the SHA-256 checksum of `bytes` as hexadecimal text.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
