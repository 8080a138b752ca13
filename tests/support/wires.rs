//! A server and a client in this process, with a session between them.

use super::{PATIENCE, tls};
use crossbeam_channel::{Receiver, unbounded};
use std::{io, net::SocketAddr};
use wirenet::{Builder, OpError, Operation, Session, Stream, Wire};

/// Both sides of a session; closes both wires when it is dropped.
pub struct Link {
    pub client: Wire,
    pub server: Wire,
    /// The client's end of the session.
    pub near: Session,
    /// The server's end of it.
    pub far: Session,
}

impl Link {
    /// With a server and a client that `server` and `client` have set up.
    pub fn new(
        server: impl FnOnce(Builder) -> Builder,
        client: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let selected = tls::is_selected();
        let server = server(tls::server(mounting(), selected));
        let server = server.build().unwrap();
        server.start().unwrap();
        let addr = server.local_addr().expect("it listens");
        let client = client(tls::client(Wire::join(addr.to_string()), selected));
        let client = client.build().unwrap();
        client.start().unwrap();
        Self {
            near: client.wait_session(PATIENCE).unwrap(),
            far: server.wait_session(PATIENCE).unwrap(),
            server,
            client,
        }
    }

    /// With one handler, which the server has.
    pub fn serving(
        name: &str,
        handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::new(|server| server.stream(name, handler), |client| client)
    }
}

/// A server on this machine.
pub fn mounting() -> Builder {
    Wire::mount("127.0.0.1:0")
}

/// A client of this server.
pub fn joining(server: &Wire) -> Builder {
    Wire::join(addr_of(server).to_string())
}

/// As a link's side that has no options.
pub fn as_it_is(builder: Builder) -> Builder {
    builder
}

/// A handler that sends back a message.
pub fn echo(stream: &mut Stream) -> io::Result<()> {
    let bytes = message(stream)?;
    stream.write_message(&bytes)
}

/// Has a message go there and back.
pub fn assert_echoes(session: &Session) {
    let stream = session.open_stream("echo").unwrap();
    stream.write_message(b"there and back").unwrap();
    assert_eq!(message(&stream).unwrap(), b"there and back");
}

/// A wire that is up.
pub fn started(builder: Builder) -> Wire {
    let wire = builder.build().unwrap();
    wire.start().unwrap();
    wire
}

pub fn addr_of(server: &Wire) -> SocketAddr {
    server.local_addr().expect("it listens")
}

/// Has a server say which sessions stand.
pub fn announcing(server: Builder) -> (Builder, Receiver<Session>) {
    let (stands, standing) = unbounded();
    let announce = move |session: &Session| stands.send(session.clone()).unwrap();
    (server.on_session_open(announce), standing)
}

/// What an error handler was told: of what, and why.
pub type Told = (Operation, String);

/// An error handler, and what it is told.
pub fn errors() -> (impl Fn(&OpError) + Send + Sync + 'static, Receiver<Told>) {
    let (sender, told) = unbounded();
    let handler = move |error: &OpError| {
        // What comes after the test has seen enough is of no interest.
        let _ = sender.send((error.operation.clone(), error.cause.to_string()));
    };
    (handler, told)
}

/// Waits until the error handler is told of a handler's end, and gives the
/// stream's name and the cause.
pub fn told_of_handler(told: &Receiver<Told>) -> (String, String) {
    loop {
        match told
            .recv_timeout(PATIENCE)
            .expect("the error handler is told")
        {
            (Operation::Handler(name), cause) => return (name, cause),
            _ => continue,
        }
    }
}

/// Whether an error is of a kind that a broken connection gives, be it noticed
/// by a read or by a write.
pub fn means_broken(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// The next message of `stream`, whole.
pub fn message(mut stream: &Stream) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    io::copy(&mut stream, &mut message)?;
    Ok(message)
}
