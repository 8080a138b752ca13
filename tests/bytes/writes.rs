//! Writes and reads that time out, and streams that have exchanged messages before.

use crate::{
    Pair, assert_end, assert_reads, open,
    support::{PATIENCE, wires::Link},
};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};

#[test]
fn a_write_that_times_out_has_sent_nothing_and_may_be_tried_again() {
    const LEN: usize = 3_000_000;
    let pair = Pair::new();
    pair.bytes
        .set_write_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let reader = thread::spawn({
        let mut peer = pair.peer.clone();
        move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        }
    });
    let data: Vec<u8> = (0..LEN).map(|at| (at / 7) as u8).collect();
    let (mut bytes, mut rest) = (&pair.bytes, &data[..]);
    while !rest.is_empty() {
        match bytes.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}"),
        }
    }
    drop(pair.bytes);
    assert!(reader.join().unwrap() == data);
}

#[test]
fn a_read_that_times_out_may_be_tried_again() {
    let mut pair = Pair::new();
    pair.bytes
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let error = pair.bytes.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    pair.bytes.set_read_timeout(Some(PATIENCE)).unwrap();
    pair.peer.write_message(b"late").unwrap();
    assert_reads(&pair.bytes, "late");
    assert_end(&pair.bytes);
    let zero = pair
        .bytes
        .set_read_timeout(Some(Duration::ZERO))
        .unwrap_err();
    assert_eq!(zero.kind(), io::ErrorKind::InvalidInput);
    pair.bytes
        .set_write_timeout(Some(Duration::ZERO))
        .unwrap_err();
}

#[test]
fn bytes_follow_the_messages_before_them() {
    let link = Link::serving("upgrade", |stream| {
        let mut asked = String::new();
        stream.read_to_string(&mut asked)?;
        assert_eq!(asked, "CONNECT");
        stream.write_message(b"OK")?;
        let bytes = stream.clone().into_byte_stream();
        io::copy(&mut &bytes, &mut &bytes).map(drop)
    });
    let mut stream = open(&link, "upgrade");
    stream.write_message(b"CONNECT").unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).unwrap();
    // The end of the message was not read yet.
    assert_end(&stream);
    let mut bytes = stream.into_byte_stream();
    bytes.write_all(b"there and back").unwrap();
    bytes.shutdown(Shutdown::Write).unwrap();
    assert_reads(&bytes, "there and back");
    assert_end(&bytes);
}

#[test]
fn bytes_continue_messages_that_have_begun() {
    let link = Link::serving("echo", |stream| {
        io::copy(&mut &*stream, &mut &*stream)?;
        stream.finish()
    });
    let mut stream = open(&link, "echo");
    stream.write_all(b"head ").unwrap();
    assert_reads(&stream, "he");
    let mut bytes = stream.into_byte_stream();
    bytes.write_all(b"tail").unwrap();
    bytes.shutdown(Shutdown::Write).unwrap();
    assert_reads(&bytes, "ad tail");
    assert_end(&bytes);
}

#[test]
fn a_byte_stream_shows_whose_it_is() {
    let pair = Pair::new();
    assert_eq!(pair.bytes.name(), "bytes");
    assert_eq!(pair.bytes.session().id(), pair.link.near.id());
    let shown = format!("{:?}", pair.bytes);
    assert!(
        shown.starts_with("ByteStream { name: \"bytes\", id: "),
        "{shown}"
    );
    let same: wirenet::ByteStream = pair.peer.clone().into();
    assert_eq!(same.id(), pair.bytes.id());
}
