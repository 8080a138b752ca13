//! Read and write timeouts, on named streams and on the raw ones below.

use crate::support::{
    in_time,
    link::{Link, message},
    pattern::Pattern,
};
use crossbeam_channel::bounded;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    time::{Duration, Instant},
};
use wirenet::{
    transport::memory,
    yamux::{Config, Connection},
};

const TIMEOUT: Duration = Duration::from_millis(50);

fn assert_times_out<T: std::fmt::Debug>(call: impl FnOnce() -> io::Result<T>) {
    let begin = Instant::now();
    let error = call().expect_err("nothing can happen");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(begin.elapsed() >= TIMEOUT, "not before its time");
}

/// Writes until the other side's window is full, and gives how many bytes
/// were taken.
fn fill(mut stream: impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    loop {
        match stream.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                return written;
            }
        }
    }
}

/// A read of which nothing comes ends with `TimedOut`, and the stream is as
/// good as before.
#[test]
fn a_read_times_out() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::serving("late", move |stream| {
            // Until it is released.
            let _ = released.recv();
            stream.write_message(b"at last")
        });
        let mut stream = link.near.open_stream("late").unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        assert_times_out(|| stream.read(&mut [0; 8]));
        assert_times_out(|| stream.next_message());
        let mut reader = stream.reader();
        assert_times_out(|| reader.read(&mut [0; 8]));
        stream.set_read_timeout(None).unwrap();
        drop(release);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "at last");
    });
}

/// A write for which the other side makes no room ends with `TimedOut`, and
/// the stream is as good as before: what was taken arrives, once.
#[test]
fn a_write_times_out() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::serving("late", move |stream| {
            // Until it is released.
            let _ = released.recv();
            let bytes = message(stream)?;
            stream.write_message(&bytes)
        });
        let mut stream = link.near.open_stream("late").unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        let bytes = Pattern::new(8).to_vec(1 << 20);
        let written = fill(&stream, &bytes);
        assert_times_out(|| stream.write(&bytes));
        stream.set_write_timeout(None).unwrap();
        drop(release);
        stream.write_all(&bytes[written..]).unwrap();
        stream.finish().unwrap();
        assert!(message(&stream).unwrap() == bytes);
    });
}

/// The same of the streams of a bare connection.
#[test]
fn raw_streams_time_out() {
    in_time(|| {
        let (here, there) = memory::pair(1 << 20);
        let client = Connection::client(here, Config::default()).unwrap();
        let server = Connection::server(there, Config::default()).unwrap();
        let mut stream = client.open().unwrap();
        let mut peer = server.accept().unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        assert_times_out(|| stream.read(&mut [0; 8]));
        let bytes = Pattern::new(9).to_vec(1 << 20);
        let written = fill(&stream, &bytes);
        assert_times_out(|| stream.write(&bytes));
        stream.shutdown(Shutdown::Write).unwrap();
        let mut read = Vec::new();
        peer.read_to_end(&mut read).unwrap();
        assert!(read == bytes[..written]);
    });
}

/// Zero is no timeout; `None` is for ever.
#[test]
fn a_timeout_of_zero_is_refused() {
    in_time(|| {
        let link = Link::serving("test", |_| Ok(()));
        let stream = link.near.open_stream("test").unwrap();
        let zero = Some(Duration::ZERO);
        for outcome in [
            stream.set_read_timeout(zero),
            stream.set_write_timeout(zero),
        ] {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    });
}
