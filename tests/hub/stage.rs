//! A hub, its clients, and scripted peers.

use crate::support::{
    PATIENCE,
    encoding::{FEATURES, request},
    peer::Peer,
    tls,
};
use socket2::{Domain, Socket, Type};
use std::{io, net::SocketAddr, time::Duration};
use wirenet::{Builder, Refusal, Session, Stream, Wire};

/// The window of a stream that was just opened.
pub const INITIAL_WINDOW: usize = 262_144;

/// How long a close waits for streams that do not end.
const CLOSE: Duration = Duration::from_millis(200);

pub struct Hub {
    pub wire: Wire,
    pub addr: String,
}

/// A client and its session.
pub struct Client {
    pub wire: Wire,
    pub session: Session,
}

impl Hub {
    pub fn new() -> Self {
        Self::with(|hub| hub)
    }

    /// All hubs of these tests are made here.
    pub fn with(set: impl FnOnce(Builder) -> Builder) -> Self {
        let hub = tls::server(Wire::hub("127.0.0.1:0"), tls::is_selected());
        let hub = hub.session_close_timeout(CLOSE);
        let wire = set(hub).build().unwrap();
        wire.start().unwrap();
        let addr = wire.local_addr().expect("it listens").to_string();
        Self { wire, addr }
    }

    pub fn client(&self) -> Builder {
        client_of(&self.addr)
    }

    pub fn join(&self, set: impl FnOnce(Builder) -> Builder) -> Client {
        start(set(self.client())).unwrap()
    }

    /// A client that offers no names.
    pub fn caller(&self) -> Client {
        self.join(|client| client)
    }

    /// A client that offers one name.
    pub fn owner(
        &self,
        name: &str,
        handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Client {
        self.join(|client| client.identification(name, "").stream(name, handler))
    }

    /// A scripted peer with a session that offers these names.
    pub fn peer(&self, identification: &str, names: &[&str]) -> Peer {
        self.peer_with(identification, names, |_| Ok(()))
    }

    /// The same, over a socket that is `set` before it connects.
    pub fn peer_with(
        &self,
        identification: &str,
        names: &[&str],
        set: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> Peer {
        peer_at(&self.addr, identification, names, set)
    }

    /// A scripted peer that announces no features, as go-wirenet does not.
    pub fn old_peer(&self, identification: &str, names: &[&str]) -> Peer {
        let mut peer = connect(&self.addr, |_| Ok(()));
        peer.ask(&request(identification, names));
        peer
    }

    /// An old peer that has requested a session, and has no answer yet.
    pub fn asking_peer(&self, identification: &str, names: &[&str]) -> Peer {
        let mut peer = connect(&self.addr, |_| Ok(()));
        peer.begin_ask(&request(identification, names));
        peer
    }

    /// The hub's end of a client's session. The hub may register it a little
    /// after the client.
    pub fn end_of(&self, client: &Client) -> Session {
        let mut end = None;
        let is_open = eventually(|| {
            end = self.wire.session(client.session.id());
            end.is_some()
        });
        assert!(is_open);
        end.expect("it was found")
    }

    /// Waits until the hub has `count` sessions. Returns whether it does in time.
    pub fn sessions_are(&self, count: usize) -> bool {
        eventually(|| self.wire.sessions().len() == count)
    }
}

/// A client of the hub at an address. It does not reconnect.
pub fn client_of(addr: &str) -> Builder {
    tls::client(Wire::join(addr), tls::is_selected())
        .session_close_timeout(CLOSE)
        .retry_max(0)
}

pub fn start(builder: Builder) -> Result<Client, wirenet::Error> {
    let wire = builder.build()?;
    wire.start()?;
    let session = wire.wait_session(PATIENCE)?;
    Ok(Client { wire, session })
}

impl Client {
    /// Opens a stream. The error is the refusal.
    pub fn open(&self, name: &str) -> Result<Stream, Refusal> {
        self.session.open_stream(name).map_err(refusal)
    }

    /// Opens a stream and sends a message. Returns the message that comes back.
    pub fn ask(&self, name: &str, question: &[u8]) -> io::Result<Vec<u8>> {
        let stream = self.session.open_stream(name)?;
        stream.write_message(question)?;
        crate::support::wires::message(&stream)
    }
}

/// A scripted peer that has a session with the hub at an address.
pub fn peer_at(
    addr: &str,
    identification: &str,
    names: &[&str],
    set: impl FnOnce(&Socket) -> io::Result<()>,
) -> Peer {
    let request = [&request(identification, names)[..], &FEATURES].concat();
    let mut peer = connect(addr, set);
    let answer = peer.ask(&request);
    // The id and the features of the hub, and no error.
    assert_eq!(answer, [&request[..18], &FEATURES].concat());
    peer
}

/// A scripted peer without a session, over a socket that is `set` before it
/// connects.
pub fn connect(addr: &str, set: impl FnOnce(&Socket) -> io::Result<()>) -> Peer {
    let addr: SocketAddr = addr.parse().unwrap();
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
    set(&socket).unwrap();
    socket.connect(&addr.into()).unwrap();
    Peer::over(socket.into(), tls::is_selected())
}

/// Opens a stream through the hub. Returns its ids at the caller and at the
/// owner.
pub fn relay(caller: &mut Peer, owner: &mut Peer, name: &str) -> (u32, u32) {
    let near = caller.call(name);
    let far = owner.accept_next();
    caller.expect_accepted(near);
    (near, far)
}

pub fn refusal(error: wirenet::Error) -> Refusal {
    match error {
        wirenet::Error::Refused { refusal, .. } => refusal,
        other => panic!("not refused, but: {other}"),
    }
}

/// Sends each message back.
pub fn echo(stream: &mut Stream) -> io::Result<()> {
    while stream.next_message()? {
        let message = crate::support::wires::message(stream)?;
        stream.write_message(&message)?;
    }
    Ok(())
}

/// Polls `done` until it returns true. Returns whether it did in time.
pub fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !done() {
        if std::time::Instant::now() >= deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}
