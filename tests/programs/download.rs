//! A download that continues where it was interrupted.

use super::{Outcome, PATIENCE};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use wirenet::{Session, Stream, Wire};

/// Sends the file from the offset in the first message.
fn send(stream: &mut Stream, path: &Path) -> io::Result<()> {
    let offset = stream.read_message(20)?.unwrap_or_default();
    let offset = String::from_utf8_lossy(&offset).parse();
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset.map_err(io::Error::other)?))?;
    io::copy(&mut file, stream).map(drop)
}

/// Receives what is missing. After an error, everything that was received is in the file.
fn receive(session: &Session, path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut stream = session.open_stream("file")?;
    stream.write_message(file.metadata()?.len().to_string().as_bytes())?;
    io::copy(&mut stream, &mut file).map(drop)
}

#[test]
fn an_interrupted_download_continues_where_it_was_interrupted() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (original, copy) = (folder.path().join("original"), folder.path().join("copy"));
    let content: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number / 7) as u8)
        .collect();
    fs::write(&original, &content)?;

    let server = Wire::mount("127.0.0.1:0").build()?;
    server.start()?;
    let interrupted = AtomicBool::new(false);
    let path = original.clone();
    let client = Wire::join(server.local_addr().unwrap())
        .retry_wait(Duration::from_millis(1), Duration::from_millis(10))
        .stream("file", move |stream| {
            if !interrupted.swap(true, Ordering::Relaxed) {
                // The connection breaks in the middle of the first download.
                stream.read_message(20)?;
                io::copy(&mut File::open(&path)?.take(1_000_000), stream)?;
                stream.session().abort();
            }
            send(stream, &path)
        })
        .build()?;
    client.start_within(PATIENCE)?;

    let mut tries = 0;
    while let Err(error) = receive(&server.wait_session(PATIENCE)?, &copy) {
        tries += 1;
        assert!(tries < 10, "{error}");
        assert!(fs::metadata(&copy)?.len() > 0, "a part was received");
    }
    assert_eq!(fs::read(copy)?, content);
    Ok(())
}
