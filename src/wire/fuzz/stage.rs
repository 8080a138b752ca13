//! A wire without sockets: its connections use the in-memory transport, with a scripted
//! peer at the other end.

use crate::{
    fuzz::Script,
    transport::ReadHalf,
    wire::{
        session::{
            frame::{Frame, FrameKind},
            session::Session,
            stream::Stream,
        },
        state::{
            access::validator, admitted::Find, error_context::ErrorContext, handlers::Handlers,
            options::Options, registry::Registry, session_opening::Pending, wire_state::WireState,
        },
    },
    yamux::{
        self,
        fuzz::{AT_ONCE, Peer},
    },
};
use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};
use std::{
    collections::VecDeque,
    io::{self, Read},
    net::TcpStream,
    sync::{Arc, LazyLock},
    time::Duration,
};

/// The token that the validator refuses.
pub(super) const REFUSED: &[u8] = b"no";

/// The names of the wire's handlers, and some for which it has none.
pub(super) const NAMES: [&str; 8] = [
    "echo",
    "source",
    "sink",
    "fail",
    "",
    "nobody",
    "confirmSession",
    "openSession",
];

/// Returns a wire with handlers that echo, send, receive and fail.
pub(super) fn wire(registry: fn(usize) -> Registry<Session>, find: Find) -> Arc<WireState> {
    let options = Options {
        validator: Some(validator(|_, _, token| match token == REFUSED {
            true => Err("a token that is refused".into()),
            false => Ok(()),
        })),
        on_error: Some(Box::new(|_| {})),
        identification: b"me".to_vec(),
        max_streams: 6,
        // Less than the window of one stream whose opening is not answered.
        window_budget: Some(yamux::INITIAL_WINDOW as usize - 1),
        is_in_lockstep: true,
        // So long that no timeout expires.
        handshake_timeout: Duration::from_secs(3600),
        write_timeout: Duration::from_secs(3600),
        keep_alive: false,
        handler_limit: 8,
        ..Options::default()
    };
    let handlers = Handlers::default();
    let insert = |name: &str, handler: fn(&mut Stream) -> io::Result<()>| {
        let inserted = handlers.insert(name.into(), Arc::new(handler));
        inserted.expect("a valid name");
    };
    insert("echo", |stream| {
        while stream.next_message()? {
            let mut message = Vec::new();
            stream.read_to_end(&mut message)?;
            stream.write_message(&message)?;
        }
        Ok(())
    });
    insert("source", |stream| {
        stream.write_message(b"")?;
        stream.write_message([7; 3000])
    });
    insert("sink", |stream| {
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    insert("fail", |_| Err(io::ErrorKind::Other.into()));
    WireState::new(options, handlers, registry, find, None)
}

/// Begins a handshake. A server keeps the sockets of its handshakes; this one is unused.
pub(super) fn begin_handshake(wire: &Arc<WireState>) -> Pending {
    static SOCKET: LazyLock<TcpStream> = LazyLock::new(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None);
        socket.expect("a socket").into()
    });
    let pending = wire.begin_handshake(&SOCKET, &ErrorContext::default());
    pending.unwrap_or_else(|error| panic!("{error}"))
}

/// Panics if any state of a run is left, or does not end in time.
pub(super) fn assert_at_rest(wire: &WireState) {
    let deadline = crate::time::deadline(AT_ONCE);
    assert_eq!(
        wire.threads.join(deadline).count,
        0,
        "a handler does not end"
    );
    assert_eq!(wire.pool.busy(), 0, "a handler permit is lost");
    assert!(wire.is_empty(), "a session or a name is left");
}

/// Reads what the peer sends. When everything has been read, the peer sends its next part;
/// after the last, it disconnects.
#[derive(Debug)]
pub(super) struct Prompted {
    pub(super) half: Box<dyn ReadHalf>,
    pub(super) peer: Arc<Mutex<Peer>>,
    pub(super) parts: VecDeque<Part>,
    /// The maximum number of bytes of one read.
    pub(super) size: usize,
}

#[derive(Debug)]
pub(super) enum Part {
    Bytes(Vec<u8>),
    /// An answer to the client's request. If its id is empty, that of the request is used.
    Confirm(Box<crate::wire::session::handshake_messages::OpenSessionResponse>),
}

impl Part {
    /// Returns the approximate length.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Confirm(response) => response.err.len(),
        }
    }
}

impl ReadHalf for Prompted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let size = buf.len().min(self.size);
        loop {
            match self.half.read(&mut buf[..size]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.prompt(),
                outcome => return outcome,
            }
        }
    }

    /// Reads never wait.
    fn set_timeout(&mut self, _: Option<Duration>) -> io::Result<()> {
        self.half.set_timeout(Some(Duration::ZERO))
    }
}

impl Prompted {
    fn prompt(&mut self) {
        let mut peer = self.peer.lock();
        peer.read(usize::MAX);
        let bytes = match self.parts.pop_front() {
            None => return peer.finish(),
            Some(Part::Bytes(bytes)) => bytes,
            Some(Part::Confirm(mut response)) => {
                if response.sid.is_empty() {
                    response.sid = asked_id(&peer);
                }
                let frame = response.to_frame();
                in_stream(1, 0, &frame.encode())
            }
        };
        // Fails if the connection has ended already.
        let _ = peer.write(&bytes);
    }
}

/// Returns the id in the client's request.
fn asked_id(peer: &Peer) -> Vec<u8> {
    let mut came = peer.streams.get(&1).map_or(&[][..], |seen| &seen.came);
    let frame = crate::wire::session::frame::FrameDecoder::default().next(&mut came);
    let frame = frame
        .expect("a frame of the protocol")
        .expect("a whole one");
    let request =
        crate::wire::session::handshake_messages::OpenSessionRequest::decode(&frame.payload);
    request.expect("a request").sid
}

/// Returns a Data frame of yamux.
pub(super) fn in_stream(id: u32, flags: u16, body: &[u8]) -> Vec<u8> {
    yamux_frame(0, flags, id, body.len() as u32, body)
}

/// Returns a Window Update of yamux.
pub(super) fn update(id: u32, flags: u16, delta: u32) -> Vec<u8> {
    yamux_frame(1, flags, id, delta, &[])
}

fn yamux_frame(kind: u8, flags: u16, id: u32, length: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, kind];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// Returns a frame that opens a stream, or answers its opening.
pub(super) fn wire_frame(kind: FrameKind, command: &str, payload: &[u8]) -> Vec<u8> {
    Frame {
        kind,
        command: command.into(),
        payload: payload.into(),
    }
    .encode()
}

/// Returns few or many bytes, as the script chooses.
pub(super) fn some_bytes(script: &mut Script<'_>) -> Vec<u8> {
    let len = script.byte();
    match len {
        // Lengths at the limits of fields, and beyond.
        255 => vec![b'x'; 300_000],
        254 => vec![b'x'; 4097],
        253 => vec![b'x'; 4096],
        252 => vec![b'x'; 256],
        251 => vec![b'x'; 255],
        _ => (0..len % 24).map(|_| script.byte()).collect(),
    }
}

/// Returns the chunks of a message, with or without an end mark.
pub(super) fn some_chunks(script: &mut Script<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let payload = some_bytes(script);
    let slices = [std::io::IoSlice::new(&payload)];
    crate::wire::session::chunk::encode(&slices, payload.len(), |piece| {
        bytes.extend_from_slice(piece);
    });
    if script.byte() & 1 == 0 {
        bytes.extend(crate::wire::session::chunk::END);
    }
    bytes
}
