//! Both sides of a connection, over a transport in memory.

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

/// What is sent, in one direction and back: several times what the transport
/// holds.
const SAID: &[u8] = b"said and said again";
const NARROW: usize = 7;

/// Sends back what comes, on two streams side by side.
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

/// What came back, and whether it is told to be all.
fn said(connection: &Connection) -> (Vec<u8>, bool) {
    let Ok(mut stream) = connection.open() else {
        return (Vec::new(), false);
    };
    let sent = stream.write_all(SAID).is_ok();
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
            thread::spawn(move || said(&client))
        });
        if cut {
            client.cut();
        }
        for talk in talks {
            let (got, complete) = talk.join().unwrap();
            assert!(SAID.starts_with(&got), "{got:?}");
            if complete {
                assert_eq!(got, SAID);
            }
            assert!(complete || cut || time == Time::Passes);
        }
        client.close();
        serving.join().unwrap();
        assert_eq!(client.stream_count(), 0);
    });
}

#[test]
fn all_that_is_said_comes_back() {
    conversation(Time::Stands, config, 1 << 20, false);
}

#[test]
fn all_that_is_said_comes_back_over_a_narrow_transport() {
    conversation(Time::Stands, config, NARROW, false);
}

#[test]
fn what_was_cut_is_never_taken_for_complete() {
    conversation(Time::Stands, config, NARROW, true);
}

/// Keepalives, write timeouts, lingering: all of them may strike at any time.
#[test]
fn what_time_ran_out_for_is_never_taken_for_complete() {
    let hurried = || config().keep_alive(Some(Duration::from_secs(1)));
    conversation(Time::Passes, hurried, NARROW, false);
}
