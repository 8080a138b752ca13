//! How a session is opened: the client sends a request on the connection's first
//! stream, the server answers it, and both close that stream.
//!
//! - `ask`: the client's part.
//! - `answer`: the server's part.
//! - `judge`: how the server decides about a request.
//! - `foreign`: which other protocol a peer speaks instead.
//!
//! The thread that runs the handshake drives the connection's reader itself, and
//! becomes the reader thread of the session. No other thread reads the connection.

mod answer;
mod ask;
mod foreign;
mod judge;

use self::foreign::{explain, sides};
use crate::{
    error::{Error, Malformed},
    foreign::Foreign,
    protobuf::PayloadError,
    sync::{self, Mutex},
    transport::Halves,
    wire::{
        session::frame::{self, Frame, FrameKind},
        state::wire_state::WireState,
    },
    yamux::{self, Acceptor, Connection, ConnectionReader, Incoming, Role},
};
use std::{collections::VecDeque, io, sync::Arc, time::Instant};

/// The streams that a server may have opened before its client has read that the
/// session is established: as many as may be unacknowledged.
const EARLY_STREAMS: usize = 256;

/// A connection on which a session is being opened.
pub(crate) struct Handshake<'a> {
    wire: &'a WireState,
    pub(crate) connection: Connection,
    pub(crate) reader: Box<ConnectionReader>,
    role: Role,
    early: Arc<Mutex<EarlyStreams>>,
    deadline: Instant,
    /// On a server, the identification in the client's request, once it has been read.
    pub(crate) client_identification: Vec<u8>,
    /// What the program's code said about a refusal. Only this side reports it.
    detail: Option<Box<str>>,
}

/// Streams that the peer opens before the session is established. A client opens one,
/// for its request. A server may open others as soon as it has accepted the session,
/// and they can arrive together with its answer.
struct EarlyStreams {
    waiting: VecDeque<Incoming>,
    /// How many more are admitted.
    left: usize,
    /// Gets the streams that arrive after the session is established.
    next: Option<Acceptor>,
}

impl EarlyStreams {
    fn admit(&mut self, stream: Incoming) -> bool {
        let Some(left) = self.left.checked_sub(1) else {
            return false;
        };
        self.left = left;
        self.waiting.push_back(stream);
        true
    }
}

/// Keeps a stream until the session is established. Returns whether it was admitted.
fn admit(early: &Mutex<EarlyStreams>, stream: Incoming) -> bool {
    let mut early = early.lock();
    match early.next.clone() {
        None => early.admit(stream),
        // The session was established just before this call.
        Some(next) => {
            drop(early);
            next.offer(stream)
        }
    }
}

/// What a client waited for, if its server has not sent a byte.
fn silent_server(server: &str) -> String {
    format!("answer from {server}, which accepted the connection (is it a wirenet server?),")
}

impl<'a> Handshake<'a> {
    pub(crate) fn new(
        wire: &'a WireState,
        halves: Halves,
        role: Role,
        deadline: Instant,
    ) -> io::Result<Self> {
        let early = Arc::new(Mutex::new(EarlyStreams {
            waiting: VecDeque::new(),
            left: match role {
                Role::Server => 1,
                Role::Client => EARLY_STREAMS,
            },
            next: None,
        }));
        let admitting = Arc::clone(&early);
        let acceptor = Acceptor::new(move |stream| admit(&admitting, stream));
        let config = Arc::clone(&wire.connection);
        let (connection, mut reader) = Connection::driven(halves, role, config, acceptor)?;
        reader.keep_first_bytes();
        if role == Role::Server {
            reader.limit_preauth();
        }
        Ok(Self {
            wire,
            connection,
            reader,
            role,
            early,
            deadline,
            client_identification: Vec::new(),
            detail: None,
        })
    }

    /// Takes the next stream that the peer has opened.
    fn next_early(&self) -> Option<Incoming> {
        self.early.lock().waiting.pop_front()
    }

    /// Takes the streams that the peer has opened so far. From now on `next` gets the
    /// peer's streams, because the session is established.
    pub(crate) fn forward_early(&self, next: &Acceptor) -> VecDeque<Incoming> {
        let mut early = self.early.lock();
        early.next = Some(next.clone());
        std::mem::take(&mut early.waiting)
    }

    /// Sends a frame. Waits for room until the deadline.
    fn send(&self, stream: &yamux::Stream, frame: &Frame) -> Result<(), Error> {
        let sent = stream.send_all_by(&frame.encode(), self.deadline);
        sent.map_err(|error| match error {
            yamux::Error::TimedOut(_) => self.timed_out(),
            error => error.into(),
        })
    }

    /// Receives a frame. Waits for it until the deadline. Each side sends one frame on this
    /// stream: whatever follows it is discarded.
    fn read_frame(&mut self, stream: &yamux::Stream) -> Result<Frame, Error> {
        let mut decoder = frame::FrameDecoder::default();
        loop {
            while let Some(segment) = stream.try_read_segment() {
                let found = decoder.next(&mut segment.data()).map_err(malformed)?;
                if let Some(frame) = found {
                    return Ok(frame);
                }
            }
            if stream.has_ended() {
                return Err(malformed(Malformed::EndedEarly));
            }
            self.turn()?;
        }
    }

    /// Reads from the connection once. Waits until the deadline.
    fn turn(&mut self) -> Result<(), Error> {
        let left = self.deadline.saturating_duration_since(sync::now());
        if left.is_zero() {
            return Err(self.timed_out());
        }
        // Whether the read timed out does not matter: the next turn checks the clock.
        self.reader.turn(left).map(drop).map_err(Error::from)
    }

    fn timed_out(&self) -> Error {
        let is_silent = self.reader.first_bytes().is_empty();
        let what = match self.role {
            Role::Client if is_silent => silent_server(&self.peer()).into(),
            Role::Client => format!("session handshake with {}", self.peer()).into(),
            Role::Server => "session handshake".into(),
        };
        Error::TimedOut {
            what,
            timeout: self.wire.options.handshake_timeout,
            cause: None,
        }
    }

    /// Returns what errors call the peer. A server gets its address, because a client's
    /// errors contain it nowhere else.
    fn peer(&self) -> String {
        let (peer, _) = sides(self.role);
        match self.wire.server_addr() {
            Some(addr) => format!("the {peer} at {addr}"),
            None => format!("the {peer}"),
        }
    }

    /// Returns whether the peer has left before its first byte: a health check, or a port
    /// scan.
    pub(crate) fn peer_left_silently(&self, error: &Error) -> bool {
        self.reader.first_bytes().is_empty() && is_departure(error)
    }

    /// Adds the probable reason to the error of this handshake, if the peer's first bytes
    /// show it.
    #[cold]
    #[inline(never)]
    pub(crate) fn explain(&self, error: Error) -> Error {
        let (role, first) = (self.role, self.reader.first_bytes());
        let peer = self.peer();
        match &error {
            Error::Connection(_) | Error::TimedOut { .. } => {}
            Error::Malformed {
                cause: Malformed::Frame(_) | Malformed::UnexpectedFrame,
                ..
            } => {
                let text = format!(
                    "{error}; does {peer} speak yamux without wirenet's session handshake?"
                );
                return error.explained(text);
            }
            _ => return error,
        }
        if let Some(foreign) = Foreign::recognize(first) {
            return error.explained(explain(foreign, &peer, role, first));
        }
        if role == Role::Client && self.peer_left_silently(&error) {
            let text = format!(
                "{peer} ended the connection during the session handshake; does it need TLS, or \
                 is it not a wirenet server?"
            );
            return error.explained(text);
        }
        error
    }
}

/// Returns whether the peer has ended or reset the connection.
pub(super) fn is_departure(error: &Error) -> bool {
    use yamux::Error::{ClosedByPeer, EndedByPeer, Io};
    match error {
        Error::Connection(EndedByPeer | ClosedByPeer) => true,
        Error::Connection(Io(error)) => is_reset(error),
        _ => false,
    }
}

/// Returns whether the error of a socket means that the peer has reset the connection.
pub(super) fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
    )
}

fn parse<M>(
    frame: &Frame,
    kind: FrameKind,
    decode: fn(&[u8]) -> Result<M, PayloadError>,
) -> Result<M, Error> {
    if frame.kind != kind {
        return Err(malformed(Malformed::UnexpectedFrame));
    }
    decode(&frame.payload).map_err(malformed)
}

fn malformed(cause: impl Into<Malformed>) -> Error {
    Error::malformed("session handshake", cause)
}

/// Truncates a text to be sent to at most `limit` bytes, between two characters.
pub(crate) fn truncated(mut text: String, limit: usize) -> String {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
