//! A server follows a log of a client. When it restarts, no line is lost or repeated.

use super::{Outcome, PATIENCE};
use std::{
    fs::{self, File},
    io::{self, BufRead, Seek, SeekFrom, Write},
    net::TcpListener,
    path::Path,
    thread,
    time::Duration,
};
use wirenet::{Stream, Wire};

/// Sends the lines of a log from the offset in the first message.
fn send(stream: &mut Stream, log: &Path) -> io::Result<()> {
    let offset = stream.read_message(20)?.unwrap_or_default();
    let offset = String::from_utf8_lossy(&offset).parse();
    let mut log = File::open(log)?;
    log.seek(SeekFrom::Start(offset.map_err(io::Error::other)?))?;
    // A program would wait for more lines here, until `stream.peer_has_ended()`.
    io::copy(&mut log, stream).map(drop)
}

/// Runs a server until it has received `count` more lines of a client's log.
fn run_server(addr: &str, lines: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let server = Wire::mount(addr).build()?;
    server.start()?;
    let stream = server.wait_session(PATIENCE)?.open_stream("log")?;
    stream.write_message(lines.len().to_string().as_bytes())?;
    let mut reader = stream.reader();
    for _ in 0..count {
        reader.read_until(b'\n', lines)?;
    }
    Ok(())
    // The server stops here, because its only handle is dropped.
}

#[test]
fn a_log_is_followed_over_restarts_of_the_server() -> Outcome {
    let mut log = tempfile::NamedTempFile::new()?;
    for number in 0..300 {
        writeln!(log, "line {number}")?;
    }
    // A free port, which both servers use.
    let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let path = log.path().to_owned();
    let client = Wire::join(&*addr)
        .retry_wait(Duration::from_millis(1), Duration::from_millis(20))
        .stream("log", move |stream| send(stream, &path))
        .build()?;
    let running = client.clone();
    let thread = thread::spawn(move || running.connect());

    let mut lines = Vec::new();
    for _ in 0..3 {
        run_server(&addr, &mut lines, 100)?;
    }
    assert_eq!(lines, fs::read(log.path())?);

    client.close()?;
    thread.join().expect("the thread does not panic")?;
    Ok(())
}
