//! Files between two processes over loopback arrive unchanged, in both directions at
//! once, on one stream and on many.

use crate::support::{
    PATIENCE,
    checksum::Checksum,
    file, in_time,
    process::{self, Other},
};
use std::{
    fs::File,
    io::{self, Read, Seek},
    thread,
};
use wirenet::{Session, Stream, Wire};

/// Sizes around zero and around that of a chunk, and the size of a window.
const SIZES: [u64; 6] = [0, 1, 1023, 1024, 1025, 262_144];

const GIBIBYTE: u64 = 1 << 30;

/// The stream of both processes that exchanges files.
const EXCHANGE: &str = "exchange";

/// A stream of the other process, whose handler opens an exchange itself.
const CALL_BACK: &str = "call back";

/// A file to exchange: its size and its seed.
type FileRequest = (u64, u64);

/// The other process of these tests: a server that runs until its parent is done.
#[test]
fn other_process() -> io::Result<()> {
    if process::role().is_none() {
        return Ok(());
    }
    let server = Wire::mount("127.0.0.1:0")
        .stream(EXCHANGE, |stream| answer_exchange(stream))
        .stream(CALL_BACK, |stream| {
            let request = read_request(stream)?;
            ask_exchange(&stream.session().open_stream(EXCHANGE)?, request)
        })
        .build()?;
    server.start()?;
    process::tell(server.local_addr().expect("it listens"))?;
    process::wait_for_parent()?;
    server.close()?;
    Ok(())
}

/// Another process, and a session with it.
struct Peer {
    session: Session,
    _client: Wire,
    _process: Other,
}

impl Peer {
    fn start() -> Self {
        let process = Other::start("files::other_process", "server").unwrap();
        let client = Wire::join(process.told())
            .stream(EXCHANGE, |stream| answer_exchange(stream))
            .build()
            .unwrap();
        client.start().unwrap();
        Self {
            session: client.wait_session(PATIENCE).unwrap(),
            _client: client,
            _process: process,
        }
    }

    fn exchange(&self, request: FileRequest) -> io::Result<()> {
        ask_exchange(&self.session.open_stream(EXCHANGE)?, request)
    }
}

/// Requests a file, and exchanges files.
fn ask_exchange(stream: &Stream, request: FileRequest) -> io::Result<()> {
    let (size, seed) = request;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&size.to_le_bytes());
    bytes[8..].copy_from_slice(&seed.to_le_bytes());
    stream.write_message(bytes)?;
    exchange(stream, file::of_size(size, seed)?, size)?;
    assert!(!stream.next_message()?, "the stream ends with the exchange");
    Ok(())
}

fn answer_exchange(stream: &Stream) -> io::Result<()> {
    let (size, seed) = read_request(stream)?;
    exchange(stream, file::of_size(size, seed + 1)?, size)
}

fn read_request(mut stream: &Stream) -> io::Result<FileRequest> {
    let mut number = [0; 8];
    let mut next = || {
        stream.read_exact(&mut number)?;
        Ok::<_, io::Error>(u64::from_le_bytes(number))
    };
    let request = (next()?, next()?);
    let rest = io::copy(&mut stream, &mut io::sink())?;
    assert_eq!(rest, 0, "the end of the request");
    Ok(request)
}

/// Sends a file and receives one at the same time. The message after each file is its
/// checksum.
fn exchange(stream: &Stream, file: File, size: u64) -> io::Result<()> {
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(stream, file));
        let received = receive(stream, size);
        sender.join().expect("the sender does not panic")?;
        received
    })
}

fn send(mut stream: &Stream, mut file: File) -> io::Result<()> {
    let checksum = Checksum::of(&file)?;
    file.rewind()?;
    io::copy(&mut file, &mut stream)?;
    stream.finish()?;
    stream.write_message(checksum.to_le_bytes())
}

fn receive(mut stream: &Stream, size: u64) -> io::Result<()> {
    let mut checksum = Checksum::new();
    let received = io::copy(&mut stream, &mut checksum)?;
    let mut expected = [0; 8];
    stream.read_exact(&mut expected)?;
    let rest = io::copy(&mut stream, &mut io::sink())?;
    let outcome = (received, checksum.value(), rest);
    if outcome == (size, u64::from_le_bytes(expected), 0) {
        Ok(())
    } else {
        let text = format!("{size} bytes with checksum {expected:?} arrived as {outcome:?}");
        Err(io::Error::other(text))
    }
}

#[test]
fn files_of_every_size_arrive_in_both_directions_at_once() {
    in_time(|| {
        let peer = Peer::start();
        for size in SIZES {
            peer.exchange((size, size)).unwrap();
        }
    });
}

/// The files are larger than any buffer.
#[test]
fn a_gibibyte_arrives_in_both_directions_at_once() {
    in_time(|| Peer::start().exchange((GIBIBYTE, 7)).unwrap());
}

#[test]
fn the_bytes_of_sixty_four_concurrent_streams_are_not_mixed_up() {
    in_time(|| {
        let peer = Peer::start();
        thread::scope(|scope| {
            for number in 0..64 {
                let size = SIZES[number % SIZES.len()] * 5 + number as u64;
                let peer = &peer;
                scope.spawn(move || peer.exchange((size, number as u64)).unwrap());
            }
        });
    });
}

/// The side that accepted the connection opens streams while streams of the peer are open.
#[test]
fn either_side_may_open_streams() {
    in_time(|| {
        let peer = Peer::start();
        for size in SIZES {
            let stream = peer.session.open_stream(CALL_BACK).unwrap();
            let mut request = [0; 16];
            request[..8].copy_from_slice(&size.to_le_bytes());
            stream.write_message(request).unwrap();
            assert!(!stream.next_message().unwrap(), "the handler succeeded");
        }
    });
}
