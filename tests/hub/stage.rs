//! A hub and its clients, in this process.

use crate::{support::PATIENCE, transport};
use std::{io, time::Duration};
use wirenet::{Builder, Refusal, Session, Stream, Wire};

/// How long a close waits for streams that nobody is going to end.
const CLOSE: Duration = Duration::from_millis(200);

pub struct Hub {
    pub wire: Wire,
    pub addr: String,
}

/// A client with its session.
pub struct Client {
    pub wire: Wire,
    pub session: Session,
}

impl Hub {
    pub fn new() -> Self {
        Self::with(|hub| hub)
    }

    /// All hubs of these tests are made here, over the transport that the test
    /// program is about.
    pub fn with(set: impl FnOnce(Builder) -> Builder) -> Self {
        let hub = transport::hub(Wire::hub("127.0.0.1:0")).session_close_timeout(CLOSE);
        let wire = set(hub).build().unwrap();
        wire.start().unwrap();
        let addr = wire.local_addr().expect("it listens").to_string();
        Self { wire, addr }
    }

    /// All clients of these tests are made by this, and [`start`].
    pub fn client(&self) -> Builder {
        client_of(&self.addr)
    }

    pub fn join(&self, set: impl FnOnce(Builder) -> Builder) -> Client {
        start(set(self.client())).unwrap()
    }

    /// A client that offers nothing.
    pub fn caller(&self) -> Client {
        self.join(|client| client)
    }

    /// A client that serves one name.
    pub fn owner(
        &self,
        name: &str,
        handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Client {
        self.join(|client| client.identification(name, "").stream(name, handler))
    }

    /// The hub's end of a client's session, of which the client may know a
    /// little earlier.
    pub fn end_of(&self, client: &Client) -> Session {
        let mut end = None;
        let stands = eventually(|| {
            end = self.wire.session(client.session.id());
            end.is_some()
        });
        assert!(stands);
        end.expect("it stands")
    }

    /// Waits until there are so many sessions.
    pub fn sessions_are(&self, count: usize) -> bool {
        eventually(|| self.wire.sessions().len() == count)
    }
}

/// A client of the hub at an address; it does not come back by itself.
pub fn client_of(addr: &str) -> Builder {
    transport::client(Wire::join(addr))
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
    /// Opens a stream, and gives the other side's reason where it refuses.
    pub fn open(&self, name: &str) -> Result<Stream, Refusal> {
        self.session.open_stream(name).map_err(refusal)
    }

    /// Sends a message and gives the one that comes back.
    pub fn ask(&self, name: &str, question: &[u8]) -> io::Result<Vec<u8>> {
        let stream = self.session.open_stream(name)?;
        stream.write_message(question)?;
        crate::support::link::message(&stream)
    }
}

pub fn refusal(error: wirenet::Error) -> Refusal {
    match error {
        wirenet::Error::Refused { refusal, .. } => refusal,
        other => panic!("not refused, but: {other}"),
    }
}

/// Answers each message with itself.
pub fn echo(stream: &mut Stream) -> io::Result<()> {
    while stream.next_message()? {
        let message = crate::support::link::message(stream)?;
        stream.write_message(&message)?;
    }
    Ok(())
}

/// Whether something comes about that gives no sign. Looks at it again and
/// again, without a wait of a fixed length.
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
