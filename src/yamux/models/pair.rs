//! Both sides of a connection, over an in-memory transport.

use super::stage::config;
use crate::{
    sync::{Time, check, thread},
    transport::memory,
    yamux::{Config, Connection},
};
use std::{
    io::{Read, Write},
    net::Shutdown,
    time::Duration,
};

/// The bytes that are sent and echoed: several times the capacity [`NARROW`].
const MESSAGE: &[u8] = b"said and said again";
const NARROW: usize = 7;

/// Echoes each stream on a thread of its own.
fn echo(connection: &Connection) {
    let mut streams = Vec::new();
    while let Ok(stream) = connection.accept() {
        streams.push(thread::spawn(move || {
            let (mut from, mut to) = (&stream, &stream);
            let mut buf = [0; 8];
            loop {
                match from.read(&mut buf) {
                    Ok(0) => return drop(stream.shutdown(Shutdown::Both)),
                    Ok(count) if to.write_all(&buf[..count]).is_ok() => {}
                    _ => return stream.reset(),
                }
            }
        }));
    }
    for stream in streams {
        stream.join().unwrap();
    }
}

/// Sends the message. Returns what was echoed, and whether that ended without an
/// error.
fn echoed(connection: &Connection) -> (Vec<u8>, bool) {
    let Ok(mut stream) = connection.open() else {
        return (Vec::new(), false);
    };
    let sent = stream.write_all(MESSAGE).is_ok();
    let _ = stream.shutdown(Shutdown::Write);
    let mut got = Vec::new();
    let complete = stream.read_to_end(&mut got).is_ok();
    (got, sent && complete)
}

fn conversation(time: Time, config: fn() -> Config, capacity: usize, cut: bool) {
    check(time, move || {
        let (here, there) = memory::pair(capacity);
        let client = Connection::client(here, config()).unwrap();
        let server = Connection::server(there, config()).unwrap();
        let serving = thread::spawn(move || {
            echo(&server);
            server.close();
        });
        let talks = [(); 2].map(|()| {
            let client = client.clone();
            thread::spawn(move || echoed(&client))
        });
        if cut {
            client.cut();
        }
        for talk in talks {
            let (got, complete) = talk.join().unwrap();
            assert!(MESSAGE.starts_with(&got), "{got:?}");
            if complete {
                assert_eq!(got, MESSAGE);
            }
            assert!(complete || cut || time == Time::Advancing);
        }
        client.close();
        serving.join().unwrap();
        assert_eq!(client.stream_count(), 0);
    });
}

#[test]
fn a_message_is_echoed() {
    conversation(Time::Fixed, config, 1 << 20, false);
}

#[test]
fn a_message_is_echoed_over_a_narrow_transport() {
    conversation(Time::Fixed, config, NARROW, false);
}

#[test]
fn a_cut_message_is_never_taken_for_complete() {
    conversation(Time::Fixed, config, NARROW, true);
}

/// Keepalives, write timeouts and lingering may happen at any time.
#[test]
fn a_message_that_timed_out_is_never_taken_for_complete() {
    let hurried = || config().keep_alive(Some(Duration::from_secs(1)));
    conversation(Time::Advancing, hurried, NARROW, false);
}
