//! The boundaries of messages on a stream, for each way to read and to write them.

use crate::support::{
    in_time,
    pattern::Pattern,
    wires::{Link, message},
};
use std::io::{self, BufRead, Read, Write};
use wirenet::Stream;

/// Opens a stream to this handler.
fn stream_to(
    handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
) -> (Link, Stream) {
    let link = Link::serving("test", handler);
    let stream = link.near.open_stream("test").unwrap();
    (link, stream)
}

#[test]
fn an_empty_write_is_not_an_end_mark() {
    in_time(|| {
        let (_link, stream) = stream_to(|stream| {
            for piece in [&b""[..], b"one", b"", b"two", b""] {
                stream.write_all(piece)?;
                assert_eq!(stream.write(b"")?, 0);
            }
            stream.finish()
        });
        assert_eq!(message(&stream).unwrap(), b"onetwo");
        assert!(!stream.next_message().unwrap());
    });
}

#[test]
fn finishing_without_writing_sends_an_empty_message() {
    in_time(|| {
        let (_link, stream) = stream_to(|stream| {
            stream.finish()?;
            stream.write_message(b"")?;
            stream.writer().finish()?;
            stream.write_message(b"last")
        });
        for expected in [&b""[..], b"", b"", b"last"] {
            assert!(stream.next_message().unwrap());
            assert_eq!(message(&stream).unwrap(), expected);
        }
        assert!(!stream.next_message().unwrap());
    });
}

#[test]
fn each_io_copy_reads_one_message_to_its_end() {
    const LENGTHS: [usize; 9] = [1, 0, 1023, 1024, 1025, 8192, 65_536, 262_144, 700_000];
    in_time(|| {
        let (_link, stream) = stream_to(|stream| {
            for (seed, len) in LENGTHS.into_iter().enumerate() {
                let bytes = Pattern::new(seed as u64).to_vec(len);
                io::copy(&mut &*bytes, stream)?;
                stream.finish()?;
            }
            Ok(())
        });
        for (seed, len) in LENGTHS.into_iter().enumerate() {
            let bytes = message(&stream).unwrap();
            assert_eq!(bytes.len(), len);
            Pattern::new(seed as u64).check(0, &bytes);
        }
        assert!(!stream.next_message().unwrap());
    });
}

#[test]
fn write_message_ends_a_message_that_plain_writes_have_begun() {
    in_time(|| {
        let (_link, stream) = stream_to(|stream| {
            stream.write_all(b"begun, ")?;
            stream.write_message(b"ended")?;
            stream.write_message(Pattern::new(4).to_vec(300_000))
        });
        assert_eq!(message(&stream).unwrap(), b"begun, ended");
        assert!(message(&stream).unwrap() == Pattern::new(4).to_vec(300_000));
    });
}

/// The next read is one of the next message.
#[test]
fn a_read_returns_zero_once_at_the_end_of_a_message() {
    in_time(|| {
        let (_link, mut stream) = stream_to(|stream| {
            stream.write_message(b"one")?;
            stream.write_message(b"two")
        });
        let mut buf = [0; 16];
        for expected in [b"one", b"two"] {
            assert_eq!(stream.read(&mut buf).unwrap(), 3);
            assert_eq!(&buf[..3], expected);
            assert_eq!(stream.read(&mut buf).unwrap(), 0);
        }
        // At the end of the stream, every read returns zero.
        assert_eq!(stream.read(&mut buf).unwrap(), 0);
        assert_eq!(stream.read(&mut buf).unwrap(), 0);
    });
}

/// It also skips the unread rest of a message.
#[test]
fn next_message_distinguishes_another_message_from_the_end_of_the_stream() {
    in_time(|| {
        let (_link, mut stream) = stream_to(|stream| {
            stream.write_message(Pattern::new(5).to_vec(100_000))?;
            stream.write_message(b"")?;
            stream.write_message(b"never looked at")?;
            stream.write_message(b"last")
        });
        assert!(stream.next_message().unwrap());
        stream.read_exact(&mut [0; 10]).unwrap();
        // Skips 99,990 bytes, up to the empty message.
        assert!(stream.next_message().unwrap());
        assert_eq!(message(&stream).unwrap(), b"");
        assert!(stream.next_message().unwrap());
        let mut start = [0; 5];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"never");
        assert!(stream.next_message().unwrap());
        assert_eq!(message(&stream).unwrap(), b"last");
        assert!(!stream.next_message().unwrap());
        assert!(!stream.next_message().unwrap());
    });
}

/// A message whose bytes were all read, but not its end, is still the current one.
#[test]
fn next_message_goes_to_the_message_after_one_that_was_read_by_count() {
    in_time(|| {
        let (_link, mut stream) = stream_to(|stream| {
            stream.write_message(b"12345")?;
            stream.write_message(b"next")
        });
        assert!(stream.next_message().unwrap());
        stream.read_exact(&mut [0; 5]).unwrap();
        assert!(stream.next_message().unwrap());
        assert_eq!(message(&stream).unwrap(), b"next");
    });
}

#[test]
fn a_reader_stays_at_the_end_of_its_message() {
    in_time(|| {
        let (_link, stream) = stream_to(|stream| {
            stream.write_message(b"one")?;
            stream.write_message(b"two")
        });
        for expected in ["one", "two", ""] {
            let mut reader = stream.reader();
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
            assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
            assert_eq!(reader.fill_buf().unwrap(), b"");
        }
    });
}

#[test]
fn a_reader_dropped_early_skips_only_the_rest_of_its_message() {
    in_time(|| {
        let (_link, stream) = stream_to(|stream| {
            stream.write_message(Pattern::new(6).to_vec(100_000))?;
            stream.write_message(b"not read at all")?;
            stream.write_message(b"exact")?;
            stream.write_message(b"whole")
        });
        let mut start = [0; 3000];
        stream.reader().read_exact(&mut start).unwrap();
        Pattern::new(6).check(0, &start);
        assert!(stream.next_message().unwrap());
        drop(stream.reader());
        // Reads all bytes, but not the end.
        stream.reader().read_exact(&mut [0; 5]).unwrap();
        assert_eq!(message(&stream).unwrap(), b"whole");
        assert!(!stream.next_message().unwrap());
    });
}

#[test]
fn a_reader_dropped_before_its_message_begins_skips_nothing() {
    in_time(|| {
        let (_link, stream) = stream_to(|stream| {
            stream.write_message(b"one")?;
            stream.write_message(b"two")
        });
        for expected in [b"one", b"two"] {
            drop(stream.reader());
            drop(stream.reader());
            assert_eq!(message(&stream).unwrap(), expected);
        }
        drop(stream.reader());
        assert!(!stream.next_message().unwrap());
    });
}

/// A reader is a `BufRead`.
#[test]
fn a_reader_reads_lines_however_they_were_written() {
    in_time(|| {
        let (_link, stream) = stream_to(|stream| {
            for piece in ["fir", "st\nsec", "ond\n", "third"] {
                stream.write_all(piece.as_bytes())?;
            }
            stream.finish()?;
            stream.write_message(b"of the next message\n")
        });
        let lines: Vec<String> = stream.reader().lines().map(Result::unwrap).collect();
        assert_eq!(lines, ["first", "second", "third"]);
        assert_eq!(message(&stream).unwrap(), b"of the next message\n");
    });
}

#[test]
fn a_writer_writes_one_message_that_finish_ends() {
    in_time(|| {
        let (_link, stream) = stream_to(|stream| {
            for text in ["one", "two"] {
                let mut writer = stream.writer();
                write!(writer, "number {text}")?;
                writer.finish()?;
            }
            Ok(())
        });
        assert_eq!(message(&stream).unwrap(), b"number one");
        assert_eq!(message(&stream).unwrap(), b"number two");
        assert!(!stream.next_message().unwrap());
    });
}
