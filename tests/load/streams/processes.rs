//! The server and the client of the session.

use crate::{
    figures,
    support::{PATIENCE, process, wires::message},
    waiters,
};
use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};
use wirenet::{Session, Stream, Wire};

/// More streams than any of these tests opens at once.
const LIMIT: usize = 20_000;

/// The server's keep-alive interval. The client's is shorter, so that it pings first.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
const CLIENTS_KEEP_ALIVE: Duration = Duration::from_millis(1_500);

/// The length of a large message.
const LARGE: usize = 1 << 20;

/// Threads that open streams.
const OPENERS: usize = 32;

/// More threads than either process has while streams open and close. Tests that hold
/// more at once have held as many in their warm-up.
const THREADS: usize = 4 * OPENERS;

pub fn server() -> io::Result<()> {
    waiters::grow_table(THREADS);
    let server = Wire::mount("127.0.0.1:0")
        .max_streams(LIMIT)
        .handler_limit(LIMIT)
        .keep_alive_interval(KEEP_ALIVE)
        .stream("echo", |stream| {
            while stream.next_message()? {
                let bytes = message(stream)?;
                stream.write_message(&bytes)?;
            }
            Ok(())
        })
        .build()?;
    server.start()?;
    process::tell(server.local_addr().expect("it listens"))?;
    for command in process::commands() {
        look(&command)?;
    }
    Ok(())
}

/// Runs a client with three commands: `use N` opens N streams and closes each, `hold N`
/// opens N at once, and `bulk N` sends a large message on each of N streams and reads it
/// back, on 32 at once.
pub fn client(addr: &str) -> io::Result<()> {
    waiters::grow_table(THREADS);
    let client = Wire::join(addr)
        .handshake_timeout(6 * PATIENCE)
        .keep_alive_interval(CLIENTS_KEEP_ALIVE)
        .build()?;
    client.start()?;
    let session = client.wait_session(PATIENCE)?;
    process::tell("connected")?;
    for command in process::commands() {
        let (word, count) = command.split_once(' ').unwrap_or((&command, "0"));
        let count = count.parse().expect("a number");
        match word {
            "look" | "rest" => look(word)?,
            "use" => {
                open(&session, count, |stream| stream.close().unwrap());
                process::tell("used")?;
            }
            "bulk" => {
                open(&session, count, |stream| {
                    stream.write_message(vec![7; LARGE]).unwrap();
                    assert_eq!(message(&stream).unwrap().len(), LARGE);
                });
                process::tell("echoed")?;
            }
            _ => {
                let held = open(&session, count, |stream| stream);
                process::tell(format!("{} held at once", held.len()))?;
            }
        }
    }
    Ok(())
}

/// Opens `count` streams, and has a message echoed on each.
fn open<T: Send>(session: &Session, count: usize, then: impl Fn(Stream) -> T + Sync) -> Vec<T> {
    let opened = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while opened.fetch_add(1, Ordering::Relaxed) < count {
            let stream = session.open_stream("echo").unwrap();
            stream.write_message([7; 64]).unwrap();
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

fn look(command: &str) -> io::Result<()> {
    process::tell(match command {
        "rest" => figures::at_rest(),
        _ => figures::own(),
    })
}
