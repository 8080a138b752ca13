//! Reading whole messages, and where reads of other kinds leave the stream.

use crate::{
    scripted,
    support::{
        frames::{FIN, Frame},
        in_time,
        wires::{Link, message},
    },
};
use crossbeam_channel::bounded;
use std::{
    io::{BufRead, ErrorKind, Read, Write},
    time::Duration,
};
use wirenet::Stream;

const SHORT: Duration = Duration::from_millis(20);
const MAX: usize = 1 << 20;

/// Returns a link, and a stream whose handler has sent these messages and has returned.
fn sent(messages: &'static [&'static [u8]]) -> (Link, Stream) {
    let link = Link::serving("list", |stream| {
        let mut messages = messages.iter();
        messages.try_for_each(|message| stream.write_message(message))
    });
    let stream = link.near.open_stream("list").unwrap();
    assert!(stream.wait_for_peer_end(None));
    (link, stream)
}

fn next(stream: &Stream) -> Option<Vec<u8>> {
    stream.read_message(MAX).unwrap()
}

#[test]
fn messages_are_read_whole_up_to_the_end_of_the_stream() {
    in_time(|| {
        let (_link, stream) = sent(&[b"one", b"", &[7; 100_000], b"", b"last"]);
        for expected in [&b"one"[..], b"", &[7; 100_000], b"", b"last"] {
            assert_eq!(next(&stream).unwrap(), expected);
            assert!(stream.was_finished());
        }
        assert_eq!(next(&stream), None);
        assert!(!stream.was_finished());
        assert_eq!(next(&stream), None);
    });
}

#[test]
fn the_message_that_next_message_has_moved_to_is_read() {
    in_time(|| {
        let (_link, stream) = sent(&[b"one", b"", b"skipped", b"last"]);
        for expected in [&b"one"[..], b""] {
            assert!(stream.next_message().unwrap());
            assert_eq!(next(&stream).unwrap(), expected);
        }
        assert!(stream.next_message().unwrap() && stream.next_message().unwrap());
        assert_eq!(next(&stream).unwrap(), b"last");
        assert!(!stream.next_message().unwrap());
        assert_eq!(next(&stream), None);
    });
}

#[test]
fn after_all_bytes_of_a_message_were_read_the_next_one_is_read() {
    in_time(|| {
        let (_link, mut stream) = sent(&[b"head", b"body", b"more", b"end", b"last"]);
        // The end of the message is still unread.
        stream.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(next(&stream).unwrap(), b"body");
        // The end was received together with the bytes, but has not been returned.
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 4);
        assert_eq!(next(&stream).unwrap(), b"end");
        assert_eq!(message(&stream).unwrap(), b"last");
        assert_eq!(next(&stream), None);
    });
    in_time(|| {
        let (_link, mut stream) = sent(&[b"last"]);
        stream.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(next(&stream), None);
    });
}

/// The rule of `Read`: every message ends with exactly one `Ok(0)`.
#[test]
fn after_all_bytes_of_a_message_were_read_its_end_is_still_to_be_read() {
    in_time(|| {
        let (_link, mut stream) = sent(&[b"head", b"body"]);
        stream.read_exact(&mut [0; 4]).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "");
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "body");
    });
    in_time(|| {
        let (_link, mut stream) = sent(&[b"head", b"body"]);
        stream.read_exact(&mut [0; 4]).unwrap();
        assert!(stream.next_message().unwrap());
        let mut text = String::new();
        stream.reader().read_to_string(&mut text).unwrap();
        assert_eq!(text, "body");
    });
}

#[test]
fn a_message_that_was_read_in_part_is_not_taken_for_a_whole_one() {
    in_time(|| {
        let (_link, mut stream) = sent(&[b"head and body", b"head and body", b"last"]);
        for skips in [false, true] {
            stream.read_exact(&mut [0; 5]).unwrap();
            for _ in 0..2 {
                let error = stream.read_message(MAX).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            }
            if skips {
                assert!(stream.next_message().unwrap());
                assert_eq!(next(&stream).unwrap(), b"last");
            } else {
                assert_eq!(message(&stream).unwrap(), b"and body", "nothing is lost");
            }
        }
    });
}

#[test]
fn a_reader_that_is_dropped_early_leaves_the_next_message() {
    in_time(|| {
        let (_link, stream) = sent(&[b"first", b"second"]);
        stream.reader().read_exact(&mut [0; 2]).unwrap();
        assert_eq!(next(&stream).unwrap(), b"second");
    });
}

#[test]
fn a_message_above_the_limit_is_an_error_and_the_next_one_is_read() {
    in_time(|| {
        let (_link, stream) = sent(&[b"four", &[7; 100_000], b"four", b"", b"x"]);
        assert_eq!(stream.read_message(4).unwrap().unwrap(), b"four");
        for limit in [4, 3] {
            let error = stream.read_message(limit).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
            assert!(error.to_string().contains(&format!("{limit} bytes")));
        }
        assert_eq!(stream.read_message(0).unwrap().unwrap(), b"");
        stream.read_message(0).unwrap_err();
        assert_eq!(stream.read_message(0).unwrap(), None);
    });
}

#[test]
fn after_a_timeout_inside_a_message_nothing_is_lost() {
    in_time(|| {
        let (release, released) = bounded(0);
        let link = Link::serving("slow", move |stream| {
            loop {
                stream.write_all(b"first ")?;
                if released.recv().is_err() {
                    return Ok(());
                }
                stream.write_all(b"rest")?;
                stream.finish()?;
            }
        });
        let stream = link.near.open_stream("slow").unwrap();
        let time_out = |stream: &Stream| {
            await_bytes(stream);
            let error = stream.read_message(MAX).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            release.send(()).unwrap();
            stream.set_read_timeout(None).unwrap();
        };
        time_out(&stream);
        assert_eq!(next(&stream).unwrap(), b"first rest");
        time_out(&stream);
        assert_eq!(message(&stream).unwrap(), b"first rest");
        // The limit may be another one the next time.
        time_out(&stream);
        let error = stream.read_message(3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        time_out(&stream);
        assert_eq!(
            stream.reader().lines().next().unwrap().unwrap(),
            "first rest"
        );
        drop(release);
    });
}

/// Waits for bytes of the next message, of which nothing is read. Sets a short timeout.
fn await_bytes(stream: &Stream) {
    stream.set_read_timeout(None).unwrap();
    assert!(stream.next_message().unwrap());
    stream.set_read_timeout(Some(SHORT)).unwrap();
}

/// The peer announces a chunk of 4 GiB, and ends its half inside it.
#[test]
fn an_announced_length_takes_no_memory_and_a_truncated_message_is_an_error() {
    in_time(|| {
        let (_server, mut peer, mut stream, id) = scripted();
        peer.send(Frame::data(id, b"\x03\0\0\0abc\0\0\0\0".to_vec()));
        peer.send(Frame::data(id, b"\xff\xff\xff\xffpart".to_vec()));
        peer.send(Frame::flags(id, FIN));
        let whole = next(&stream).unwrap();
        assert!(whole == b"abc" && whole.capacity() < 100);
        for _ in 0..2 {
            let error = stream.read_message(usize::MAX).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
        // What was received is still there for a caller who wants it.
        let mut part = [0; 4];
        stream.read_exact(&mut part).unwrap();
        assert_eq!(&part, b"part");
        let error = stream.reader().fill_buf().map(<[u8]>::len).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_message_may_end_with_its_stream_if_that_is_allowed() {
    in_time(|| {
        let (_server, mut peer, stream, id) = scripted();
        stream.set_takes_unmarked_end(true);
        peer.send(Frame::data(id, b"\x03\0\0\0abc".to_vec()));
        peer.send(Frame::flags(id, FIN));
        assert_eq!(next(&stream).unwrap(), b"abc");
        assert!(!stream.was_finished());
        assert_eq!(next(&stream), None);
    });
}
