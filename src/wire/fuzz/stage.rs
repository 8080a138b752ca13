//! A wire without sockets: connections on the in-memory transport, with a peer
//! played by hand at the other end.

use crate::{
    fuzz::Script,
    transport::ReadHalf,
    wire::{
        session::{
            frame::{Frame, Kind},
            stream::Stream,
        },
        state::{
            error_context::ErrorContext, handlers::Handlers, lookup::Find, opening::Pending,
            options::Options, registry::Names, wire_state::WireState,
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

/// The names of the wire's own handlers, and some that it has none for.
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

/// A wire with handlers that do a little of each.
pub(super) fn wire(names: Names, find: Find) -> Arc<WireState> {
    let options = Options {
        validator: Some(Box::new(|_, _, token| match token == REFUSED {
            true => Err("a token that is refused".into()),
            false => Ok(()),
        })),
        on_error: Some(Box::new(|_| {})),
        identification: b"me".to_vec(),
        max_streams: 6,
        // Less than for a stream that would be held, whose opening is not answered.
        window_budget: Some(yamux::INITIAL_WINDOW as usize - 1),
        is_in_lockstep: true,
        // Nothing is woken by the clock.
        handshake_timeout: Duration::from_secs(3600),
        write_timeout: Duration::from_secs(3600),
        keep_alive: false,
        handler_limit: 8,
        ..Options::default()
    };
    let handlers = Handlers::default();
    let insert = |name: &str, handler: fn(&mut Stream) -> io::Result<()>| {
        let inserted = handlers.insert(name.into(), Arc::new(handler));
        inserted.expect("a name that can be");
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
        stream.write_message(&[7; 3000])
    });
    insert("sink", |stream| {
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    insert("fail", |_| Err(io::ErrorKind::Other.into()));
    WireState::new(options, handlers, names, find)
}

/// A place among the handshakes, which a server keeps by their sockets.
pub(super) fn begin_handshake(wire: &Arc<WireState>) -> Pending {
    static SOCKET: LazyLock<TcpStream> = LazyLock::new(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None);
        socket.expect("a socket").into()
    });
    let pending = wire.begin_handshake(&SOCKET, &ErrorContext::default());
    pending.unwrap_or_else(|error| panic!("{error}"))
}

/// Fails if something of a run is left, or does not come to its end.
pub(super) fn assert_at_rest(wire: &WireState) {
    let deadline = crate::time::deadline(AT_ONCE);
    assert_eq!(wire.threads.join(deadline), 0, "a handler does not end");
    assert_eq!(wire.pool.busy(), 0, "a place for a handler is lost");
    assert!(wire.is_empty(), "a session is left, or a name");
}

/// Reads what the peer sends, and has it send the next part when it has read
/// all before; after the last, the peer leaves.
#[derive(Debug)]
pub(super) struct Prompted {
    pub(super) half: Box<dyn ReadHalf>,
    pub(super) peer: Arc<Mutex<Peer>>,
    pub(super) parts: VecDeque<Part>,
    /// Bytes that one read gives at most.
    pub(super) size: usize,
}

#[derive(Debug)]
pub(super) enum Part {
    Bytes(Vec<u8>),
    /// An answer to the client's request, with its id where there is none.
    Confirm(Box<crate::wire::session::hello::OpenSessionResponse>),
}

impl Part {
    /// ErrorContext how long it is.
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

    /// Whoever reads never waits.
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
        // Fails where the connection has ended already.
        let _ = peer.write(&bytes);
    }
}

/// The id in a client's request.
fn asked_id(peer: &Peer) -> Vec<u8> {
    let mut came = peer.streams.get(&1).map_or(&[][..], |seen| &seen.came);
    let frame = crate::wire::session::frame::Decoder::default().next(&mut came);
    let frame = frame
        .expect("a frame of the protocol")
        .expect("a whole one");
    let request = crate::wire::session::hello::OpenSessionRequest::decode(&frame.payload);
    request.expect("a request").sid
}

/// A Data frame of yamux.
pub(super) fn in_stream(id: u32, flags: u16, body: &[u8]) -> Vec<u8> {
    yamux_frame(0, flags, id, body.len() as u32, body)
}

/// A Window Update of yamux.
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

/// A frame that opens a stream, or answers that.
pub(super) fn wire_frame(kind: Kind, command: &str, payload: &[u8]) -> Vec<u8> {
    Frame {
        kind,
        command: command.into(),
        payload: payload.into(),
    }
    .encode()
}

/// Bytes that the script chooses, few or many.
pub(super) fn some_bytes(script: &mut Script<'_>) -> Vec<u8> {
    let len = script.byte();
    match len {
        // As long as no field may be, or just so.
        255 => vec![b'x'; 300_000],
        254 => vec![b'x'; 4097],
        253 => vec![b'x'; 4096],
        252 => vec![b'x'; 256],
        251 => vec![b'x'; 255],
        _ => (0..len % 24).map(|_| script.byte()).collect(),
    }
}

/// A message of the protocol's layer 3, or its beginning.
pub(super) fn some_chunks(script: &mut Script<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let payload = some_bytes(script);
    crate::wire::session::chunk::encode(&payload, |piece| bytes.extend_from_slice(piece));
    if script.byte() & 1 == 0 {
        bytes.extend(crate::wire::session::chunk::END);
    }
    bytes
}
