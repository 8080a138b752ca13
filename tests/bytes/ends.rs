//! How bytes end, for the reader and on the wire.

use crate::{
    Pair, assert_end, assert_reads, assert_reset, impatient,
    support::{
        PATIENCE,
        encoding::{chunks, fresh_id},
        frames::{DATA, FIN, Frame, RST},
        in_time,
        peer::Peer,
        wires::{mounting, started},
    },
};
use crossbeam_channel::unbounded;
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};
use wirenet::ByteStream;

const END: [u8; 4] = [0; 4];

#[test]
fn a_message_is_the_bytes_and_its_end_is_their_end() {
    let mut pair = Pair::new();
    pair.peer.write_message(b"answer").unwrap();
    assert_reads(&pair.bytes, "answer");
    assert_end(&pair.bytes);
    assert_end(&pair.bytes);
    // Nothing that follows changes that.
    pair.peer.write_message(b"more").unwrap();
    assert_end(&pair.bytes);

    pair.bytes.write_all(b"question").unwrap();
    pair.bytes.flush().unwrap();
    assert_reads(&pair.peer, "question");
    pair.bytes.shutdown(Shutdown::Write).unwrap();
    pair.bytes.shutdown(Shutdown::Write).unwrap();
    assert_end(&pair.peer);
    assert!(pair.peer.was_finished());
    let error = pair.bytes.write(b"late").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
}

#[test]
fn a_drop_ends_the_bytes_and_closes_the_stream() {
    let mut pair = Pair::new();
    pair.bytes.write_all(b"all of it").unwrap();
    let another = pair.bytes.try_clone().unwrap();
    drop(pair.bytes);
    (&another).write_all(b", really").unwrap();
    assert_reads(&pair.peer, "all of it, really");
    drop(another);
    assert_end(&pair.peer);
    assert!(pair.peer.was_finished());
    // And then the end of the stream.
    assert!(!pair.peer.next_message().unwrap());
}

#[test]
fn bytes_that_were_never_written_have_no_end_mark() {
    let pair = Pair::new();
    drop(pair.bytes);
    assert!(!pair.peer.next_message().unwrap());
}

/// Fills the window of a peer that does not read. Returns the lengths of the writes that
/// succeeded.
fn fill(mut bytes: &ByteStream) -> Vec<usize> {
    bytes
        .set_write_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let mut written = Vec::new();
    for len in [65_536, 1024, 64, 1] {
        while let Ok(count) = bytes.write(&vec![7; len]) {
            written.push(count);
        }
    }
    written
}

#[test]
fn a_drop_ends_the_bytes_without_waiting_for_a_peer_that_does_not_read() {
    let written = fill(&Pair::new().bytes);
    for shut_down in [false, true] {
        let written = written.clone();
        in_time(move || {
            let mut pair = Pair::new();
            // Without a timeout, a wait would not end.
            pair.bytes.set_write_timeout(None).unwrap();
            for len in &written {
                pair.bytes.write_all(&vec![7; *len]).unwrap();
            }
            if shut_down {
                pair.bytes.shutdown(Shutdown::Write).unwrap();
            }
            drop(pair.bytes);
            let received = pair.peer.read_to_end(&mut Vec::new()).unwrap();
            assert_eq!(received, written.iter().sum());
            assert!(pair.peer.was_finished());
        });
    }
}

#[test]
fn a_drop_or_shutdown_after_a_failed_write_aborts_the_stream() {
    for shut_down in [false, true] {
        let pair = Pair::new();
        fill(&pair.bytes);
        if shut_down {
            let error = pair.bytes.shutdown(Shutdown::Write).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        }
        drop(pair.bytes);
        assert_reset(&pair.peer);
    }
}

#[test]
fn a_panic_before_the_end_aborts_the_stream_even_if_nothing_was_written() {
    for (begun, ended) in [(false, false), (true, false), (true, true)] {
        let Pair {
            link: _link,
            mut bytes,
            peer,
            _running,
        } = Pair::new();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            if begun {
                bytes.write_all(b"answer").unwrap();
            }
            if ended {
                bytes.shutdown(Shutdown::Write).unwrap();
            }
            let _dropped = bytes;
            panic!("on purpose");
        }));
        panicked.unwrap_err();
        if ended {
            assert_reads(&peer, "answer");
            assert_end(&peer);
            assert!(!peer.next_message().unwrap());
        } else {
            // A reader of bytes would take the end of the stream for all of them.
            assert_reset(peer.into_byte_stream());
        }
    }
}

#[test]
fn a_failure_is_never_an_end() {
    let pair = Pair::new();
    pair.peer.reset();
    assert_reset(&pair.bytes);
    assert_reset(&pair.bytes);

    let mut pair = Pair::new();
    pair.peer.write_all(b"half of an ans").unwrap();
    assert_reads(&pair.bytes, "half of an ans");
    pair.link.far.abort();
    assert!(pair.bytes.read(&mut [0; 1]).is_err());
    assert!(pair.bytes.read(&mut [0; 1]).is_err());
    assert!(pair.bytes.write_all(b"late").is_err());
}

#[test]
fn a_shutdown_of_reading_ends_a_read_in_another_thread() {
    let mut pair = Pair::new();
    let reader = thread::spawn({
        let mut bytes = pair.bytes.clone();
        move || bytes.read(&mut [0; 10]).unwrap()
    });
    pair.bytes.shutdown(Shutdown::Read).unwrap();
    assert_eq!(reader.join().unwrap(), 0);
    assert_end(&pair.bytes);
    pair.bytes.write_all(b"still there").unwrap();
    assert_reads(&pair.peer, "still there");
    pair.bytes.shutdown(Shutdown::Both).unwrap();
    assert_end(&pair.peer);
    assert!(!pair.peer.next_message().unwrap());
    assert_end(&pair.bytes);
}

#[test]
fn a_reset_resets_the_peer_and_fails_later_calls() {
    let mut pair = Pair::new();
    pair.bytes.write_all(b"half").unwrap();
    pair.bytes.reset();
    assert_reset(&pair.peer);
    assert!(pair.bytes.write_all(b"late").is_err());
    assert!(pair.bytes.read(&mut [0; 1]).is_err());
}

/// Waits until a byte stream is readable. Nothing reports that, so this polls.
fn await_readable(bytes: &ByteStream) {
    let deadline = Instant::now() + PATIENCE;
    while !bytes.is_readable() {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
}

#[test]
fn readable_means_that_a_read_does_not_wait() {
    let pair = Pair::new();
    assert!(!pair.bytes.is_readable());
    pair.peer.write_message(b"x").unwrap();
    await_readable(&pair.bytes);
    assert_reads(&pair.bytes, "x");
    await_readable(&pair.bytes);
    // The end stays.
    assert!(pair.bytes.is_readable());
    assert_end(&pair.bytes);
    assert!(pair.bytes.is_readable());

    let pair = Pair::new();
    pair.peer.reset();
    await_readable(&pair.bytes);
    assert_reset(&pair.bytes);
}

#[test]
fn a_close_does_not_wait_for_bytes_that_both_sides_have_ended() {
    let mut pair = Pair::new();
    pair.bytes.write_all(b"question").unwrap();
    pair.bytes.shutdown(Shutdown::Write).unwrap();
    assert_reads(&pair.peer, "question");
    assert_end(&pair.peer);
    pair.peer.write_message(b"answer").unwrap();
    pair.peer.close().unwrap();
    let began = Instant::now();
    pair.link.client.close().unwrap();
    // A close that waits does so for 5 seconds, and then fails.
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_reads(&pair.bytes, "answer");
}

/// The bytes on the wire, as a scripted peer receives them.
#[test]
fn bytes_are_one_message_on_the_wire_and_may_end_with_the_stream() {
    let (sender, streams) = unbounded();
    let server = started(mounting().stream("bytes", move |stream| {
        let bytes = impatient(stream.clone()).into_byte_stream();
        sender.send(bytes).unwrap();
        Ok(())
    }));
    let mut peer = Peer::join(&server, fresh_id());

    let id = peer.open("bytes");
    let mut bytes = streams.recv_timeout(PATIENCE).unwrap();
    bytes.write_all(b"abc").unwrap();
    assert_eq!(peer.next_of(id).body, chunks(b"abc", 1024));
    bytes.shutdown(Shutdown::Write).unwrap();
    assert_eq!(peer.next_of(id).body, END);
    // A close between two chunks is an end.
    peer.send([Frame::data(id, chunks(b"unmarked", 1024)).with_flags(FIN)]);
    assert_reads(&bytes, "unmarked");
    assert_end(&bytes);
    drop(bytes);
    assert!(peer.next_of(id).has(FIN));

    let id = peer.open("bytes");
    let bytes = streams.recv_timeout(PATIENCE).unwrap();
    let cut = chunks(b"truncated", 1024);
    peer.send([Frame::data(id, cut[..6].to_vec()).with_flags(FIN)]);
    assert_reads(&bytes, "tr");
    for _ in 0..2 {
        let error = (&bytes).read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
    }
    (&bytes).write_all(b"x").unwrap();
    drop(bytes);
    assert_eq!(peer.next_of(id).body, chunks(b"x", 1024));
    assert_eq!(peer.next_of(id).body, END);
    let fin = peer.next_of(id);
    assert!(fin.has(FIN) && !fin.has(RST) && fin.kind != DATA);
}
