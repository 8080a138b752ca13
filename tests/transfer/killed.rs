//! A process that is killed in the middle of a message causes an error on its peer, never
//! a message that seems complete.

use crate::support::{
    PATIENCE, in_time,
    process::{self, Other},
    wires::{errors, means_broken, told_of_handler},
};
use crossbeam_channel::bounded;
use std::io::{self, Read, Write};
use wirenet::{Stream, Wire};

/// One attempt may not show a race.
const TRIES: usize = 8;

/// Bytes that are read before the kill.
const BEFORE: u64 = 1 << 20;

/// The other process of these tests. As a server's handler or as a client, it writes an
/// endless message until it is killed.
#[test]
fn other_process() -> io::Result<()> {
    let Some(role) = process::role() else {
        return Ok(());
    };
    match role.split_once(' ') {
        None => {
            let server =
                Wire::mount("127.0.0.1:0").stream("endless", |stream| write_forever(stream));
            let server = server.build()?;
            server.start()?;
            process::tell(server.local_addr().expect("it listens"))?;
            process::wait_for_parent()
        }
        Some((_, addr)) => {
            let client = Wire::join(addr).build()?;
            client.start()?;
            write_forever(&client.wait_session(PATIENCE)?.open_stream("sink")?)
        }
    }
}

fn write_forever(mut stream: &Stream) -> io::Result<()> {
    let bytes = [0x55; 5000];
    loop {
        stream.write_all(&bytes)?;
    }
}

#[test]
fn a_message_from_a_server_that_is_killed_is_an_error() {
    in_time(|| {
        for _ in 0..TRIES {
            let mut server = Other::start("killed::other_process", "server").unwrap();
            let client = Wire::join(server.told()).build().unwrap();
            client.start().unwrap();
            let session = client.wait_session(PATIENCE).unwrap();
            let mut stream = session.open_stream("endless").unwrap();
            let before = io::copy(&mut (&mut stream).take(BEFORE), &mut io::sink());
            assert_eq!(before.unwrap(), BEFORE);
            server.kill().unwrap();
            assert_broken(io::copy(&mut stream, &mut io::sink()));
        }
    });
}

/// The server's handler fails, which is reported to the error handler.
#[test]
fn a_message_from_a_client_that_is_killed_is_an_error() {
    in_time(|| {
        let (on_error, told) = errors();
        let (sender, seen) = bounded(1);
        let server = Wire::mount("127.0.0.1:0").on_error(on_error);
        let server = server.stream("sink", move |stream| {
            io::copy(&mut stream.take(BEFORE), &mut io::sink())?;
            sender.send(None).unwrap();
            let outcome = io::copy(stream, &mut io::sink());
            let failed = outcome.is_err();
            sender.send(Some(outcome)).unwrap();
            match failed {
                true => Err(io::Error::other("the message is incomplete")),
                false => Ok(()),
            }
        });
        let server = server.build().unwrap();
        server.start().unwrap();
        let role = format!("client {}", server.local_addr().expect("it listens"));
        for _ in 0..TRIES {
            let mut client = Other::start("killed::other_process", &role).unwrap();
            assert!(seen.recv().unwrap().is_none(), "the first part has arrived");
            client.kill().unwrap();
            assert_broken(seen.recv().unwrap().expect("the rest has ended"));
            assert_eq!(told_of_handler(&told).0, "sink");
        }
    });
}

fn assert_broken(outcome: io::Result<u64>) {
    let error = outcome.expect_err("the message was not complete");
    assert!(means_broken(error.kind()), "{error}");
}
