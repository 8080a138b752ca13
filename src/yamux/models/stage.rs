//! A connection whose peer is played by the model, frame by frame.

use crate::{
    sync::{Mutex, thread},
    transport::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf, memory},
    yamux::{
        Acceptor, Config, Connection, Error, Incoming, Reader, Role, Stream, StreamId,
        frame::{Decoder, Event, Header},
    },
};
use std::{
    collections::VecDeque,
    io::{self, IoSlice, Write},
    sync::Arc,
};

/// Enough for all that most models send.
pub(super) const ROOMY: usize = 1 << 20;

pub(super) struct Stage {
    pub(super) connection: Connection,
    pub(super) reader: Box<Reader>,
    /// Streams that the peer has opened.
    pub(super) arrived: Arc<Mutex<VecDeque<Incoming>>>,
    pub(super) peer: Peer,
}

/// What the peer does, by hand.
pub(super) struct Peer {
    pub(super) hears: Hears,
    pub(super) says: Says,
}

pub(super) struct Hears(Box<dyn ReadHalf>);

pub(super) struct Says {
    half: Box<dyn WriteHalf>,
    closer: Arc<dyn Closer>,
}

/// A frame that the peer has got.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) header: Header,
    pub(super) body: Vec<u8>,
}

/// A config without pings of the connection's own.
pub(super) fn config() -> Config {
    Config::default().keep_alive(None)
}

/// A connection over a transport that holds `capacity` bytes each way.
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
        peer: Peer::new(theirs),
    }
}

/// A client's connection with one stream, number 1, of which the peer knows.
pub(super) fn client() -> (Stage, Stream) {
    let stage = stage(Role::Client, config(), ROOMY);
    let stream = stage.connection.open().unwrap();
    (stage, stream)
}

/// The number of [`client`]'s stream.
pub(super) const STREAM: StreamId = StreamId(1);

/// Reads the connection until it ends.
pub(super) fn run(mut reader: Box<Reader>) -> thread::JoinHandle<Result<(), Error>> {
    thread::spawn(move || reader.run())
}

impl Peer {
    pub(super) fn new(end: memory::End) -> Self {
        let Halves {
            reader,
            writer,
            closer,
            ..
        } = end.split().unwrap();
        Self {
            hears: Hears(reader),
            says: Says {
                half: writer,
                closer,
            },
        }
    }
}

impl Hears {
    /// Bytes that have come; empty at the end, also where that is a cut.
    pub(super) fn some(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 80 * 1024];
        let count = self.0.read(&mut bytes).unwrap_or(0);
        bytes.truncate(count);
        bytes
    }

    /// All frames up to the end of the connection; one that was cut is not
    /// among them.
    pub(super) fn until_the_end(mut self) -> Vec<Frame> {
        let mut frames = Frames::default();
        loop {
            let bytes = self.some();
            if bytes.is_empty() {
                return frames.whole();
            }
            frames.take(&bytes);
        }
    }
}

impl Says {
    /// Sends a frame; nobody hears it if the connection has ended.
    pub(super) fn frame(&mut self, header: Header, body: &[u8]) {
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
        self.frame(Header::data(stream, body.len() as u32), body);
    }

    /// Says no more.
    pub(super) fn finish(&mut self) {
        let _ = self.half.finish(Wait::Block);
    }

    /// Vanishes.
    pub(super) fn cut(&self) {
        self.closer.shutdown();
    }
}

/// Puts frames together.
#[derive(Default)]
pub(super) struct Frames {
    decoder: Decoder,
    frames: Vec<Frame>,
}

impl Frames {
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(event) = self.decoder.next(&mut bytes).unwrap() {
            match event {
                Event::Header(header) => self.frames.push(Frame {
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

    /// Whether a frame with such a header has come.
    pub(super) fn any(&self, such: impl Fn(Header) -> bool) -> bool {
        self.frames.iter().any(|frame| such(frame.header))
    }

    pub(super) fn whole(mut self) -> Vec<Frame> {
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

/// What a stream's user is told by an error.
pub(super) fn cause(error: io::Error) -> Error {
    let inner = error.into_inner().expect("an error of ours");
    *inner.downcast().expect("an error of ours")
}

/// The bytes of all Data frames of a stream, in their order.
pub(super) fn bytes_of(frames: &[Frame], stream: StreamId) -> Vec<u8> {
    let of_stream = frames.iter().filter(|frame| frame.header.stream == stream);
    of_stream
        .flat_map(|frame| frame.body.iter().copied())
        .collect()
}
