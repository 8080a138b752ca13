//! Two ends of a TLS connection over loopback.

use super::{PATIENCE, support::narrow};
use socket2::Socket;
use std::{
    io::{self, IoSlice},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::Instant,
};
use wirenet::{
    TlsClient, TlsError, TlsServer, load_certificates,
    transport::{Halves, ReadHalf, TlsStream, Transport, Wait},
};

pub fn certs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certs")
}

pub fn ca() -> PathBuf {
    certs().join("ca.pem")
}

pub fn server() -> TlsServer {
    TlsServer::new(load_certificates("server", certs()).unwrap()).unwrap()
}

pub fn client() -> TlsClient {
    TlsClient::with_ca(ca()).unwrap()
}

pub fn both() -> (TlsClient, TlsServer) {
    (client(), server())
}

/// A connected pair of sockets: the dialling and the accepting one.
pub fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    (near, far)
}

/// The same, with the smallest buffers that the system allows.
pub fn narrow_sockets() -> (TcpStream, TcpStream) {
    // With the usual segments of loopback, the window can settle below the size of one
    // segment: then Linux sends five segments a second.
    #[cfg(unix)]
    let set = |socket: &Socket| socket.set_tcp_mss(536);
    #[cfg(not(unix))]
    let set = |_: &Socket| Ok(());
    narrow::sockets(set).unwrap()
}

pub fn patience() -> Instant {
    Instant::now() + PATIENCE
}

pub type Outcome = Result<TlsStream, TlsError>;

/// Runs both handshakes. Returns both outcomes.
pub fn shake_hands(
    (near, far): (TcpStream, TcpStream),
    (client, server): (TlsClient, TlsServer),
    host: &str,
) -> (Outcome, Outcome) {
    thread::scope(|scope| {
        let far = scope.spawn(|| TlsStream::server(far, &server, patience()));
        let near = TlsStream::client(near, &client, host, patience());
        (near, far.join().unwrap())
    })
}

/// The same, over new sockets.
pub fn meet(both: (TlsClient, TlsServer)) -> (Outcome, Outcome) {
    shake_hands(sockets(), both, "127.0.0.1")
}

/// An open connection: the client's end and the server's.
pub fn streams(both: (TlsClient, TlsServer)) -> (TlsStream, TlsStream) {
    let (near, far) = meet(both);
    (near.unwrap(), far.unwrap())
}

/// The same, split into halves.
pub fn ends(both: (TlsClient, TlsServer)) -> (End, End) {
    let (near, far) = streams(both);
    (End::new(near), End::new(far))
}

/// One end of a connection, with timeouts.
pub struct End(pub Halves);

impl End {
    pub fn new(stream: TlsStream) -> Self {
        let mut halves = stream.split().unwrap();
        halves.reader.set_timeout(Some(PATIENCE)).unwrap();
        halves.writer.set_timeout(Some(PATIENCE)).unwrap();
        Self(halves)
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.0.writer.write(&[IoSlice::new(rest)], Wait::Block)?;
            rest = &rest[count..];
        }
        self.0.writer.flush(Wait::Block)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    pub fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        read(&mut *self.0.reader, buf)
    }

    /// The next `count` bytes.
    pub fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            let read = self.read(&mut bytes[filled..]).unwrap();
            assert_ne!(read, 0, "the connection ended after {filled} bytes");
            filled += read;
        }
        bytes
    }

    pub fn expect(&mut self, bytes: &[u8]) {
        assert_eq!(self.receive(bytes.len()), bytes);
    }

    /// The bytes before the end, and how they end.
    pub fn receive_all(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = Vec::new();
        let mut buf = vec![0; 10_000];
        loop {
            match self.read(&mut buf) {
                Ok(0) => return (bytes, Ok(())),
                Ok(count) => bytes.extend_from_slice(&buf[..count]),
                Err(error) => return (bytes, Err(error)),
            }
        }
    }

    pub fn finish(&mut self) {
        self.0.writer.finish(Wait::Block).unwrap();
    }
}

/// A transport of these halves.
pub struct Ready(pub Halves);

impl Transport for Ready {
    fn split(self) -> io::Result<Halves> {
        Ok(self.0)
    }
}

/// Reads again if less than a record had arrived.
pub fn read(half: &mut dyn ReadHalf, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match half.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
