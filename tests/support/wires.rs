//! Wires in this process: a server and a client with a session, and what tests need
//! with them.

use super::{PATIENCE, tls};
use crossbeam_channel::{Receiver, unbounded};
use std::{
    io,
    net::SocketAddr,
    thread::{self, JoinHandle},
};
use wirenet::{Builder, Error, OpError, Operation, Session, ShutdownError, Stream, Wire};

/// A server, a client, and the session between them. Both wires are closed when this is
/// dropped.
pub struct Link {
    pub client: Wire,
    pub server: Wire,
    /// The client's end of the session.
    pub near: Session,
    /// The server's end of it.
    pub far: Session,
}

impl Link {
    /// Connects a server and a client with the options of `server` and `client`.
    pub fn new(
        server: impl FnOnce(Builder) -> Builder,
        client: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let selected = tls::is_selected();
        let server = server(tls::server(mounting(), selected));
        let server = server.build().unwrap();
        server.start().unwrap();
        let addr = server.local_addr().expect("it listens");
        let client = client(tls::client(Wire::join(addr), selected));
        let client = client.build().unwrap();
        client.start().unwrap();
        Self {
            near: client.wait_session(PATIENCE).unwrap(),
            far: server.wait_session(PATIENCE).unwrap(),
            server,
            client,
        }
    }

    /// Connects a client and a server with one handler.
    pub fn serving(
        name: &str,
        handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::new(|server| server.stream(name, handler), |client| client)
    }
}

/// A server on a free port of this machine.
pub fn mounting() -> Builder {
    Wire::mount("127.0.0.1:0")
}

/// A client of this server.
pub fn joining(server: &Wire) -> Builder {
    Wire::join(addr_of(server))
}

/// A side of a link without options.
pub fn as_it_is(builder: Builder) -> Builder {
    builder
}

/// A handler that sends one message back.
pub fn echo(stream: &mut Stream) -> io::Result<()> {
    let bytes = message(stream)?;
    stream.write_message(&bytes)
}

/// Asserts that a message is echoed on a stream called `echo`.
pub fn assert_echoes(session: &Session) {
    let stream = session.open_stream("echo").unwrap();
    stream.write_message(b"there and back").unwrap();
    assert_eq!(message(&stream).unwrap(), b"there and back");
}

/// Starts a wire.
pub fn started(builder: Builder) -> Wire {
    let wire = builder.build().unwrap();
    wire.start().unwrap();
    wire
}

/// Starts a wire on a thread of its own.
pub fn starting(wire: &Wire) -> JoinHandle<Result<(), Error>> {
    let wire = wire.clone();
    thread::spawn(move || wire.start())
}

/// Closes a wire on a thread of its own.
pub fn closing(wire: &Wire) -> JoinHandle<Result<(), ShutdownError>> {
    let wire = wire.clone();
    thread::spawn(move || wire.close())
}

pub fn addr_of(server: &Wire) -> SocketAddr {
    server.local_addr().expect("it listens")
}

/// Makes a server send its new sessions to a channel.
pub fn announcing(server: Builder) -> (Builder, Receiver<Session>) {
    let (opened, sessions) = unbounded();
    let announce = move |session: &Session| opened.send(session.clone()).unwrap();
    (server.on_session_open(announce), sessions)
}

/// A reported error: its operation and its cause.
pub type Told = (Operation, String);

/// An error handler, and the errors that are reported to it.
pub fn errors() -> (impl Fn(&OpError) + Send + Sync + 'static, Receiver<Told>) {
    let (sender, told) = unbounded();
    let handler = move |error: &OpError| {
        // The test may no longer receive.
        let _ = sender.send((error.operation.clone(), error.cause.to_string()));
    };
    (handler, told)
}

/// Waits until the error of a handler is reported. Returns the name of the stream and
/// the cause.
pub fn told_of_handler(told: &Receiver<Told>) -> (String, String) {
    loop {
        match told.recv_timeout(PATIENCE).expect("a reported error") {
            (Operation::Handler(name), cause) => return (name, cause),
            _ => continue,
        }
    }
}

/// Whether a read or a write returns this kind of error when its connection is lost.
pub fn means_broken(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// Reads the next message of `stream`.
pub fn message(mut stream: &Stream) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    io::copy(&mut stream, &mut message)?;
    Ok(message)
}
