//! Messages: shown as they come, and sent at a pace.

use std::{
    io::{self, BufRead, Read, Write},
    time::{Duration, Instant},
};
use wirenet::Stream;

/// The longest line that is shown in one piece. A peer's may have no end.
const MAX_LINE: u64 = 64 << 10;

/// Prints the message that is being received, or the next one.
pub fn print_message(stream: &Stream) -> io::Result<()> {
    print(stream.reader())
}

/// Prints all messages, until the stream ends.
pub fn print_messages(stream: &Stream) -> io::Result<()> {
    while stream.next_message()? {
        print_message(stream)?;
    }
    Ok(())
}

/// Prints line by line, so that others may print between the lines, and never
/// within one.
fn print(mut from: impl BufRead) -> io::Result<()> {
    let mut line = Vec::new();
    while (&mut from).take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        io::stdout().write_all(&line)?;
        line.clear();
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
            format!("a message of more than {max} bytes"),
        )),
        false => Ok(text),
    }
}

/// Waits so long, and says whether to go on: not if meanwhile the other side
/// has closed the stream, or the session is about to end. What comes meanwhile
/// is thrown away.
pub fn pause(stream: &Stream, time: Duration) -> io::Result<bool> {
    let until = Instant::now() + time;
    while !stream.session().is_closing() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.next_message() {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
