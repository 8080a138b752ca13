//! Streams that we open to handlers in Go.

use std::io::{ErrorKind, Read, Write};
use std::thread;

use wirenet::{Error, Refusal, Session, Stream};

use super::handlers::digest;
use super::{SIZES, echo, open, read_message, send_by_copy, with_peer};
use crate::pattern::{assert_pattern, pattern};

fn expect_end(stream: &Stream) {
    assert!(
        !stream.next_message().expect("a graceful end of the stream"),
        "there is another message"
    );
}

#[test]
fn messages_of_every_size_are_echoed() {
    with_peer("serve", |connected| {
        let stream = open(&connected.session, "echo");
        for size in SIZES {
            echo(&stream, size as u64, size);
        }
        stream.close().expect("a close");
    });
}

#[test]
fn sixty_four_concurrent_streams_do_not_mix() {
    with_peer("serve", |connected| {
        let session = &connected.session;
        thread::scope(|scope| {
            for i in 0..64 {
                scope.spawn(move || echo(&open(session, "echo"), i, 3_000 * i as usize + 1));
            }
        });
    });
}

/// Sends messages with one call, with `io::copy`, and in writes of odd sizes.
fn send_in_every_way(stream: &Stream) {
    for size in SIZES {
        let message = pattern(size as u64, size);
        stream.write_message(&message).expect("a whole message");
        expect_digest(stream, &message);
        send_by_copy(stream, &message);
        expect_digest(stream, &message);
    }
    let message = pattern(9, 600_000);
    for write in [1, 5, 1_000, 1_021, 70_001] {
        // Small writes send only the beginning of the message, because each write
        // may be a frame.
        let message = &message[..message.len().min(write * 2_000)];
        let mut writer = stream.writer();
        for piece in message.chunks(write) {
            writer.write_all(piece).expect("a write");
        }
        writer.finish().expect("an end mark");
        expect_digest(stream, message);
    }
}

fn expect_digest(stream: &Stream, message: &[u8]) {
    let answer = String::from_utf8(read_message(stream)).expect("a digest in hexadecimal");
    assert_eq!(answer, digest(message), "of {} bytes", message.len());
}

/// The Go peer also checks that no Data frame ends inside a chunk.
#[test]
fn their_reader_gets_every_chunk_whole() {
    with_peer("serve", |connected| {
        send_in_every_way(&open(&connected.session, "sink.reader"))
    });
}

/// Their `WriteTo` panics on chunks of more than 1,024 bytes.
#[test]
fn every_chunk_fits_the_buffer_of_their_write_to() {
    with_peer("serve", |connected| {
        send_in_every_way(&open(&connected.session, "sink.writeto"))
    });
}

/// `ReadFrom` sends the length and the bytes of a chunk in two frames.
#[test]
fn messages_of_their_read_from_arrive_intact() {
    with_peer("serve", |connected| {
        let stream = open(&connected.session, "source");
        for size in SIZES {
            stream
                .write_message(size.to_string().as_bytes())
                .expect("an order");
            assert_pattern(&read_message(&stream), size as u64, size);
        }
    });
}

/// `Writer` sends each write as one chunk, even if it is larger than the window.
#[test]
fn chunks_of_any_size_of_their_writer_arrive_intact() {
    with_peer("serve", |connected| {
        let stream = open(&connected.session, "source.writer");
        for write in [1, 100_000, 262_144, 1 << 20] {
            let size = 3 * write + 1;
            stream
                .write_message(format!("{size} {write}").as_bytes())
                .expect("an order");
            assert_pattern(&read_message(&stream), size as u64, size);
        }
    });
}

#[test]
fn data_may_directly_follow_the_open() {
    with_peer("serve", |connected| {
        let stream = connected
            .session
            .open_stream_nowait("echo")
            .expect("an open");
        echo(&stream, 5, 5_000);
    });
}

/// Opens a name that the Go peer refuses, and then checks that `echo` still works.
fn expect_refusal(session: &Session, name: &str, expected: &Refusal) {
    match session.open_stream(name) {
        Err(Error::Refused {
            name: refused,
            refusal,
        }) => {
            assert_eq!((refused.as_str(), &refusal), (name, expected));
        }
        other => panic!("an open of {name:?}: {other:?}"),
    }
    echo(&open(session, "echo"), 1, 10);
}

#[test]
fn an_unknown_name_is_refused_as_handler_not_found() {
    with_peer("serve", |connected| {
        expect_refusal(&connected.session, "nobody", &Refusal::HandlerNotFound);
    });
}

#[test]
fn their_validators_refusal_text_reaches_us() {
    with_peer("serve", |connected| {
        let words = Refusal::Other("forbidden is not for you".to_owned());
        expect_refusal(&connected.session, "forbidden", &words);
    });
}

#[test]
fn open_nowait_reports_a_refusal_on_the_first_read() {
    with_peer("serve", |connected| {
        let mut stream = connected
            .session
            .open_stream_nowait("forbidden")
            .expect("an open");
        let error = stream
            .read(&mut [0])
            .expect_err("a read from a forbidden stream");
        assert!(
            error.to_string().contains("forbidden is not for you"),
            "{error}"
        );
        echo(&open(&connected.session, "echo"), 1, 10);
    });
}

/// go-wirenet's handlers end a message by ending the stream.
#[test]
fn a_missing_end_mark_is_an_error() {
    with_peer("serve", |connected| {
        let mut stream = open(&connected.session, "bare");
        let mut message = Vec::new();
        let error = stream.read_to_end(&mut message).expect_err("no end mark");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
        assert_eq!(message, b"no end mark");
        assert!(!stream.was_finished());
    });
}

#[test]
fn a_missing_end_mark_is_accepted_on_request() {
    with_peer("serve", |connected| {
        let stream = open(&connected.session, "bare");
        stream.set_takes_unmarked_end(true);
        assert_eq!(read_message(&stream), b"no end mark");
        expect_end(&stream);
    });
}

#[test]
fn a_cut_chunk_is_an_error() {
    with_peer("serve", |connected| {
        let mut stream = open(&connected.session, "cut");
        let error = stream
            .read_to_end(&mut Vec::new())
            .expect_err("a message that was cut");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    });
}

/// Either peer may call, as in the recorded session `call`.
#[test]
fn their_handler_answers_a_call() {
    with_peer("serve", |connected| {
        let stream = open(&connected.session, "alpha");
        assert_eq!(read_message(&stream), b"hello from alpha");
        expect_end(&stream);
    });
}
