//! The two ends of the session.

use crate::{
    figures,
    support::{PATIENCE, link::message, process},
};
use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};
use wirenet::{Session, Stream, Wire};

/// More than any of these tests opens at once.
const LIMIT: usize = 20_000;

/// Large buffers that nobody needs are let go of when nothing has come for so
/// long, twice.
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// Threads that open streams.
const OPENERS: usize = 32;

pub fn server() -> io::Result<()> {
    let server = Wire::mount("127.0.0.1:0")
        .max_streams(LIMIT)
        .handler_limit(LIMIT)
        .keep_alive_interval(KEEP_ALIVE)
        .stream("echo", |stream| {
            let bytes = message(stream)?;
            stream.write_message(&bytes)?;
            // The stream's end, whenever that is.
            stream.next_message().map(drop)
        })
        .build()?;
    server.start()?;
    process::tell(server.local_addr().expect("it listens"))?;
    for _rest in process::commands() {
        rest()?;
    }
    Ok(())
}

/// Does what it is told: `use`s so many streams and closes each, or `hold`s so
/// many at once.
pub fn client(addr: &str) -> io::Result<()> {
    let client = Wire::join(addr)
        .handshake_timeout(6 * PATIENCE)
        .keep_alive_interval(KEEP_ALIVE)
        .build()?;
    client.start()?;
    let session = client.wait_session(PATIENCE)?;
    process::tell("connected")?;
    for command in process::commands() {
        let (word, count) = command.split_once(' ').unwrap_or((&command, "0"));
        let count = count.parse().expect("a number");
        match word {
            "rest" => rest()?,
            "use" => {
                open(&session, count, |stream| stream.close().unwrap());
                process::tell("used")?;
            }
            _ => {
                let held = open(&session, count, |stream| stream);
                process::tell(format!("{} held at once", held.len()))?;
            }
        }
    }
    Ok(())
}

/// Opens so many streams, and has a message go there and back on each.
fn open<T: Send>(session: &Session, count: usize, then: impl Fn(Stream) -> T + Sync) -> Vec<T> {
    let opened = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while opened.fetch_add(1, Ordering::Relaxed) < count {
            let stream = session.open_stream("echo").unwrap();
            stream.write_message(&[7; 64]).unwrap();
            assert_eq!(message(&stream).unwrap(), [7; 64]);
            done.push(then(stream));
        }
        done
    };
    thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS).map(|_| scope.spawn(work)).collect();
        let openers = openers.into_iter();
        openers.flat_map(|opener| opener.join().unwrap()).collect()
    })
}

fn rest() -> io::Result<()> {
    process::tell(figures::at_rest())
}
