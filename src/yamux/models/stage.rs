//! A connection whose peer is scripted by the model, frame by frame.
//!
//! The fuzzer's peer never waits. The halves of this peer block, each on a thread
//! of its own.

use crate::{
    sync::{Mutex, thread},
    transport::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf, memory},
    yamux::{
        Acceptor, Config, Connection, ConnectionReader, Error, Incoming, Role, Stream, StreamId,
        frame::{Decoder, Event, Header},
    },
};
use std::{
    collections::VecDeque,
    io::{self, IoSlice, Write},
    sync::Arc,
    time::Duration,
};

/// A capacity that is large enough for everything that most models send.
pub(super) const ROOMY: usize = 1 << 20;

pub(super) struct Stage {
    pub(super) connection: Connection,
    pub(super) reader: Box<ConnectionReader>,
    /// The streams that the peer has opened.
    pub(super) arrived: Arc<Mutex<VecDeque<Incoming>>>,
    pub(super) peer: ScriptedPeer,
}

/// The scripted peer.
pub(super) struct ScriptedPeer {
    pub(super) receiver: PeerReceiver,
    pub(super) sender: PeerSender,
}

pub(super) struct PeerReceiver(Box<dyn ReadHalf>);

pub(super) struct PeerSender {
    half: Box<dyn WriteHalf>,
    closer: Arc<dyn Closer>,
}

/// A frame that the peer received.
#[derive(Debug)]
pub(super) struct PeerFrame {
    pub(super) header: Header,
    pub(super) body: Vec<u8>,
}

/// Returns a config that sends no pings by itself.
pub(super) fn config() -> Config {
    Config::default().keep_alive(None)
}

/// Makes a connection over a transport that buffers `capacity` bytes in each
/// direction.
pub(super) fn stage(role: Role, config: Config, capacity: usize) -> Stage {
    let (ours, theirs) = memory::pair(capacity);
    let arrived = Arc::new(Mutex::new(VecDeque::new()));
    let arriving = Arc::clone(&arrived);
    let acceptor = Acceptor::new(move |incoming| {
        arriving.lock().push_back(incoming);
        true
    });
    let driven = Connection::driven(ours.split().unwrap(), role, Arc::new(config), acceptor);
    let (connection, reader) = driven.unwrap();
    Stage {
        connection,
        reader,
        arrived,
        peer: ScriptedPeer::new(theirs),
    }
}

/// A transport that cannot end one direction.
pub(super) struct Endless(pub(super) memory::End);

#[derive(Debug)]
struct EndlessWriter(Box<dyn WriteHalf>);

impl Transport for Endless {
    fn split(self) -> io::Result<Halves> {
        let mut halves = self.0.split()?;
        halves.writer = Box::new(EndlessWriter(halves.writer));
        Ok(halves)
    }
}

impl WriteHalf for EndlessWriter {
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        self.0.write(slices, wait)
    }

    fn can_finish(&self) -> bool {
        false
    }

    fn finish(&mut self, wait: Wait) -> io::Result<()> {
        self.0.flush(wait)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_timeout(timeout)
    }
}

/// Makes the connection of a client with one stream, whose SYN is sent.
pub(super) fn client() -> (Stage, Stream) {
    let stage = stage(Role::Client, config(), ROOMY);
    let stream = stage.connection.open().unwrap();
    (stage, stream)
}

/// The id of [`client`]'s stream.
pub(super) const STREAM: StreamId = StreamId(1);

/// Runs the reader on a thread, until the connection ends.
pub(super) fn run(mut reader: Box<ConnectionReader>) -> thread::JoinHandle<Result<(), Error>> {
    thread::spawn(move || reader.run())
}

impl ScriptedPeer {
    pub(super) fn new(end: memory::End) -> Self {
        let Halves {
            reader,
            writer,
            closer,
            ..
        } = end.split().unwrap();
        Self {
            receiver: PeerReceiver(reader),
            sender: PeerSender {
                half: writer,
                closer,
            },
        }
    }
}

impl PeerReceiver {
    /// Waits for bytes. They are empty at the end of the connection, graceful or not.
    pub(super) fn read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 80 * 1024];
        let count = self.0.read(&mut bytes).unwrap_or(0);
        bytes.truncate(count);
        bytes
    }

    /// Receives all whole frames up to the end of the connection.
    pub(super) fn read_to_end(mut self) -> Vec<PeerFrame> {
        let mut frames = Frames::default();
        loop {
            let bytes = self.read();
            if bytes.is_empty() {
                return frames.whole();
            }
            frames.take(&bytes);
        }
    }
}

impl PeerSender {
    /// Sends a frame. It is lost if the connection has ended.
    pub(super) fn send(&mut self, header: Header, body: &[u8]) {
        let frame = [&header.encode(), body].concat();
        let mut rest = &frame[..];
        while !rest.is_empty() {
            match self.half.write(&[IoSlice::new(rest)], Wait::Block) {
                Ok(count) => rest = &rest[count..],
                Err(_) => return,
            }
        }
    }

    pub(super) fn data(&mut self, stream: StreamId, body: &[u8]) {
        self.send(Header::data(stream, body.len() as u32), body);
    }

    /// Ends this direction.
    pub(super) fn finish(&mut self) {
        let _ = self.half.finish(Wait::Block);
    }

    /// Ends the connection abruptly.
    pub(super) fn cut(&self) {
        self.closer.shutdown();
    }
}

/// Assembles frames.
#[derive(Default)]
pub(super) struct Frames {
    decoder: Decoder,
    frames: Vec<PeerFrame>,
}

impl Frames {
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(event) = self.decoder.next(&mut bytes).unwrap() {
            match event {
                Event::Header(header) => self.frames.push(PeerFrame {
                    header,
                    body: Vec::new(),
                }),
                Event::Body(body) => {
                    let last = self.frames.last_mut().expect("a header came before");
                    last.body.extend_from_slice(body);
                }
            }
        }
    }

    /// Returns whether a frame with such a header was received.
    pub(super) fn any(&self, such: impl Fn(Header) -> bool) -> bool {
        self.frames.iter().any(|frame| such(frame.header))
    }

    /// Returns the frames whose body is complete.
    pub(super) fn whole(mut self) -> Vec<PeerFrame> {
        self.frames
            .retain(|frame| frame.body.len() == frame.header.body_len() as usize);
        self.frames
    }
}

/// Writes all of `bytes`.
pub(super) fn send_all(stream: &Stream, bytes: &[u8]) -> Result<(), Error> {
    let mut stream = stream;
    stream.write_all(bytes).map_err(cause)
}

/// Returns the error of this crate inside an I/O error.
pub(super) fn cause(error: io::Error) -> Error {
    let inner = error.into_inner().expect("an error of ours");
    *inner.downcast().expect("an error of ours")
}

/// Returns the bytes of a stream's Data frames, in their order.
pub(super) fn bytes_of(frames: &[PeerFrame], stream: StreamId) -> Vec<u8> {
    let of_stream = frames.iter().filter(|frame| frame.header.stream == stream);
    of_stream
        .flat_map(|frame| frame.body.iter().copied())
        .collect()
}
