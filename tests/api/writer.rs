//! A `Writer` gathers small writes.

use crate::{
    scripted,
    support::{
        frames::{DATA, FIN, Frame, RST},
        in_time,
        pattern::Pattern,
        peer::Peer,
        wires::{Link, as_it_is, message},
    },
};
use crossbeam_channel::bounded;
use serde_json::json;
use std::{
    io::{self, IoSlice, Read, Write},
    time::Duration,
};

const SHORT: Duration = Duration::from_millis(20);

/// More than a peer lets this side send before it reads.
const WINDOW: usize = 262_144;

/// Returns the bodies of the data frames of a stream, up to its FIN.
fn bodies(peer: &mut Peer, id: u32) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    loop {
        let frame: Frame = peer.next_of(id);
        assert!(!frame.has(RST));
        if frame.kind == DATA && !frame.body.is_empty() {
            bodies.push(frame.body.clone());
        }
        if frame.has(FIN) {
            return bodies;
        }
    }
}

/// Returns the body of the frames that carry one short message.
fn one_chunk(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes()[..], bytes, &[0; 4]].concat()
}

#[test]
fn a_json_value_of_many_fields_is_sent_in_one_frame() {
    in_time(|| {
        let (_server, mut peer, stream, id) = scripted();
        let value = json!({ "id": 7, "list": [1, 2, 3], "text": "Grüße", "none": null });
        let mut writer = stream.writer();
        serde_json::to_writer(&mut writer, &value).unwrap();
        writer.finish().unwrap();
        stream.close().unwrap();
        let expected = one_chunk(&serde_json::to_vec(&value).unwrap());
        assert_eq!(bodies(&mut peer, id), [expected]);
    });
}

#[test]
fn a_flush_sends_what_was_gathered_and_no_empty_frame() {
    in_time(|| {
        let (_server, mut peer, stream, id) = scripted();
        let mut writer = stream.writer();
        writer.flush().unwrap();
        for word in ["one", " ", "two"] {
            writer.write_all(word.as_bytes()).unwrap();
        }
        writer.flush().unwrap();
        writer.flush().unwrap();
        assert_eq!(peer.next_of(id).body, b"\x07\0\0\0one two");
        writer.finish().unwrap();
        stream.close().unwrap();
        assert_eq!(bodies(&mut peer, id), [[0; 4]]);
    });
}

/// rustls writes its last alert together with the data before it.
#[test]
fn several_slices_are_sent_in_one_frame() {
    in_time(|| {
        let long = [b'x'; 3000];
        let slices = [&b""[..], b"one", b" ", &long, b" two"].map(IoSlice::new);
        let bytes = slices.map(|slice| slice.to_vec()).concat();
        let (_server, mut peer, stream, id) = scripted();
        let mut expected = Vec::new();
        for chunk in bytes.chunks(1024) {
            expected.extend((chunk.len() as u32).to_le_bytes());
            expected.extend(chunk);
        }
        let mut arrives = |written: io::Result<usize>| {
            assert_eq!(written.unwrap(), bytes.len());
            assert!(peer.next_of(id).body == expected);
        };
        arrives((&stream).write_vectored(&slices));
        arrives(stream.clone().write_vectored(&slices));
        let byte_stream = stream.clone().into_byte_stream();
        arrives((&byte_stream).write_vectored(&slices));
        arrives(byte_stream.clone().write_vectored(&slices));
        let mut writer = stream.writer();
        let written = writer.write_vectored(&slices);
        writer.flush().unwrap();
        arrives(written);
        writer.finish().unwrap();
        assert_eq!(peer.next_of(id).body, [0; 4]);
        assert_eq!((&stream).write_vectored(&[]).unwrap(), 0);
        assert_eq!((&stream).write_vectored(&slices[..1]).unwrap(), 0);
        stream.reset();
    });
}

/// Like one large write: up to 64 KiB at once, without being gathered.
#[test]
fn large_slices_are_sent_as_they_are() {
    in_time(|| {
        let (_server, mut peer, stream, id) = scripted();
        let bytes = Pattern::new(9).to_vec(100_000);
        let (one, two) = bytes.split_at(40_000);
        let slices = [one, two].map(IoSlice::new);
        let mut writer = stream.writer();
        writer.write_all(b"before").unwrap();
        assert_eq!(writer.write_vectored(&slices).unwrap(), 65_536);
        assert_eq!(peer.next_of(id).body.len(), 6 + 4);
        let body = peer.next_of(id).body;
        assert_eq!(body.len(), 65_536 + 64 * 4);
        let received: Vec<u8> = body
            .chunks(1028)
            .flat_map(|chunk| &chunk[4..])
            .copied()
            .collect();
        assert!(received == bytes[..65_536]);
        writer.finish().unwrap();
    });
}

#[test]
fn large_writes_are_sent_as_they_are() {
    in_time(|| {
        let (_server, mut peer, stream, id) = scripted();
        let bytes = Pattern::new(3).to_vec(5 * 8192 + 100);
        let mut writer = stream.writer();
        // Read in pieces of 8 KiB, like a file.
        let copied = io::copy(&mut (&bytes[..]).chain(io::empty()), &mut writer).unwrap();
        assert_eq!(copied, bytes.len() as u64);
        writer.finish().unwrap();
        stream.close().unwrap();
        let bodies = bodies(&mut peer, id);
        let lens: Vec<_> = bodies.iter().map(Vec::len).collect();
        // Each contains eight chunk headers; the last one has the rest and the end mark.
        let whole = 8192 + 8 * 4;
        assert_eq!(lens, [whole, whole, whole, whole, whole, 100 + 8]);
    });
}

/// Small writes, writes as large as the buffer, and larger ones.
#[test]
fn the_order_of_small_and_large_writes_is_kept() {
    in_time(|| {
        let link = Link::serving("mirror", |stream| {
            let bytes = message(stream)?;
            stream.write_message(&bytes)
        });
        let stream = link.near.open_stream("mirror").unwrap();
        let bytes = Pattern::new(4).to_vec(200_000);
        let mut writer = stream.writer();
        let sizes = [1, 100, 8191, 1, 8192, 3, 5000, 4000, 70_000, 8191, 8191, 10];
        let mut rest = &bytes[..];
        for size in sizes.into_iter().cycle() {
            let (part, after) = rest.split_at(size.min(rest.len()));
            writer.write_all(part).unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        writer.finish().unwrap();
        assert!(message(&stream).unwrap() == bytes);
    });
}

/// Returns a link whose handler reads nothing until the sender is dropped, and then sends
/// the message that it receives back.
fn late_reader() -> (Link, crossbeam_channel::Sender<()>) {
    let (release, released) = bounded::<()>(0);
    let link = Link::new(
        |server| {
            server.on_error(|_| {}).stream("late", move |stream| {
                assert!(released.recv().is_err());
                let bytes = message(stream)?;
                stream.write_message(&bytes)
            })
        },
        as_it_is,
    );
    (link, release)
}

#[test]
fn after_a_flush_that_timed_out_nothing_is_lost_or_sent_twice() {
    in_time(|| {
        let (link, release) = late_reader();
        let stream = link.near.open_stream("late").unwrap();
        stream.set_write_timeout(Some(SHORT)).unwrap();
        let bytes = Pattern::new(5).to_vec(WINDOW + 1000);
        let mut writer = stream.writer();
        let mut sent = 0;
        // The flush that fails has sent a part of what was gathered, or nothing.
        for part in bytes.chunks(1000) {
            writer.write_all(part).unwrap();
            sent += part.len();
            if let Err(error) = writer.flush() {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                break;
            }
        }
        assert!(sent < bytes.len());
        let error = writer.flush().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "not resumed");
        writer.resume();
        drop(release);
        stream.set_write_timeout(None).unwrap();
        writer.flush().unwrap();
        writer.write_all(&bytes[sent..]).unwrap();
        writer.finish().unwrap();
        assert!(message(&stream).unwrap() == bytes);
    });
}

#[test]
fn after_a_resume_a_finish_sends_the_rest() {
    in_time(|| {
        let (link, release) = late_reader();
        let stream = link.near.open_stream("late").unwrap();
        stream.set_write_timeout(Some(SHORT)).unwrap();
        let mut writer = stream.writer();
        let mut len = 0;
        while writer.flush().is_ok() {
            len += writer.write(&[7; 1000]).unwrap();
        }
        writer.resume();
        drop(release);
        stream.set_write_timeout(None).unwrap();
        writer.finish().unwrap();
        assert_eq!(message(&stream).unwrap(), vec![7; len]);
    });
}

/// What was gathered is sent, but not the bytes of the write that failed.
#[test]
fn a_message_without_its_last_write_is_never_finished() {
    for continues in [false, true] {
        in_time(move || {
            let (link, release) = late_reader();
            let stream = link.near.open_stream("late").unwrap();
            stream.set_write_timeout(Some(SHORT)).unwrap();
            let mut writer = stream.writer();
            let error = loop {
                if let Err(error) = writer.write(&[7; 5000]) {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            drop(release);
            stream.set_write_timeout(None).unwrap();
            for _ in 0..2 {
                let error = writer.flush().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                assert!(error.to_string().contains(": timed out"), "{error}");
            }
            if continues {
                writer.resume();
                writer.flush().unwrap();
            }
            let error = writer.finish().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            message(&stream).unwrap_err();
        });
    }
}

/// The write fails before anything of the message was sent, but a part was accepted.
#[test]
fn a_message_does_not_continue_after_a_lost_write_although_nothing_was_sent_yet() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let (tell, told) = bounded(1);
        let link = Link::serving("late", move |stream| {
            assert!(released.recv().is_err());
            let count = loop {
                match stream.read_message(WINDOW) {
                    Ok(Some(message)) if message.len() == 1000 => {}
                    other => break other,
                }
            };
            tell.send(count.map_err(|error| error.kind())).unwrap();
            Ok(())
        });
        let stream = link.near.open_stream("late").unwrap();
        // These use up almost the whole window.
        for _ in 0..WINDOW / 1008 {
            stream.write_message([7; 1000]).unwrap();
        }
        stream.set_write_timeout(Some(SHORT)).unwrap();
        let mut writer = stream.writer();
        writer.write_all(&[1; 5000]).unwrap();
        let error = writer.write(&[2; 5000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(release);
        stream.set_write_timeout(None).unwrap();
        let error = writer.write(&[3; 5000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "not resumed");
        writer.finish().unwrap_err();
        let message = told.recv().unwrap();
        assert!(
            message.is_err(),
            "{:?}",
            message.map(|m| m.map(|m| m.len()))
        );
    });
}

#[test]
fn a_writer_that_is_dropped_aborts_what_it_has_gathered() {
    in_time(|| {
        let (link, release) = late_reader();
        drop(release);
        let mut stream = link.near.open_stream("late").unwrap();
        stream.writer().write_all(b"part").unwrap();
        stream.read(&mut [0]).unwrap_err();
    });
}

/// Nothing was gathered that a flush could fail to send.
#[test]
fn a_flush_after_a_write_that_failed_fails() {
    in_time(|| {
        let link = Link::serving("waits", |stream| {
            stream.wait_for_peer_end(None);
            Ok(())
        });
        let stream = link.near.open_stream("waits").unwrap();
        let mut writer = stream.writer();
        writer.write_all(b"before").unwrap();
        writer.flush().unwrap();
        link.near.abort();
        let failed = writer.write(b"after").unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionAborted);
        let error = writer.flush().unwrap_err();
        let text = error.to_string();
        assert!(text.contains(": connection aborted"), "{text}");
        assert!(text.contains("on another stream"), "{text}");
    });
}
