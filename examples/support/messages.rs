//! Prints messages as they arrive, and paces the ones that are sent.

use super::output;
use std::{
    io::{self, BufRead, Read},
    mem,
    time::Duration,
};
use wirenet::Stream;

/// The longest line that is printed in one piece, in bytes. A peer could send a
/// line that never ends.
const MAX_LINE: u64 = 16 << 10;

/// Prints the current message, or the next one if none is being read.
pub fn print_message(stream: &Stream) -> io::Result<()> {
    print(stream.reader())
}

/// Prints every message until the stream ends.
pub fn print_messages(stream: &Stream) -> io::Result<()> {
    while stream.next_message()? {
        print_message(stream)?;
    }
    Ok(())
}

/// Prints line by line, so that other threads can print between two lines, but
/// never within one.
fn print(mut from: impl BufRead) -> io::Result<()> {
    let mut line = Vec::new();
    while (&mut from).take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
        output::write_data(mem::take(&mut line))?;
    }
    Ok(())
}

/// Reads one message of at most `max` bytes of text.
pub fn read_text(stream: &Stream, max: u64) -> io::Result<String> {
    let mut text = String::new();
    stream.reader().take(max + 1).read_to_string(&mut text)?;
    match text.len() as u64 > max {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the message is longer than {max} bytes"),
        )),
        false => Ok(text),
    }
}

/// Waits for `time`, and returns whether the caller should continue: `false` if
/// the peer ended the stream meanwhile, or if the session is about to end.
pub fn pause(stream: &Stream, time: Duration) -> bool {
    let session = stream.session();
    !session.is_closing() && !stream.wait_for_peer_end(Some(time)) && !session.is_closing()
}
