//! A scripted TLS peer, made with rustls itself. It can do what wirenet never does, and
//! sees the records that arrive.

use super::{PATIENCE, fixtures, pair::End};
use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, TcpStream},
    sync::Arc,
    thread,
};
use wirenet::{
    TlsClient, TlsServer,
    tls::rustls::{ClientConnection, Connection, ServerConfig, ServerConnection, crypto::ring},
    transport::TlsStream,
};

pub struct RustlsPeer {
    pub socket: TcpStream,
    pub tls: Connection,
}

impl RustlsPeer {
    fn new(socket: TcpStream, tls: Connection) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, tls }
    }

    /// A client. Its handshake has not begun.
    pub fn client(socket: TcpStream) -> Self {
        let config = Arc::new(fixtures::client_config(ring::default_provider()));
        let name = IpAddr::from(Ipv4Addr::LOCALHOST).into();
        let tls = ClientConnection::new(config, name);
        Self::new(socket, tls.unwrap().into())
    }

    /// A server. Its handshake has not begun.
    pub fn server(socket: TcpStream, config: Arc<ServerConfig>) -> Self {
        Self::new(socket, ServerConnection::new(config).unwrap().into())
    }

    /// Does the handshake, but does not send the last flight.
    pub fn begin(&mut self) {
        loop {
            if !self.tls.is_handshaking() {
                return;
            }
            let records = self.records();
            self.send(&records);
            self.receive().unwrap();
        }
    }

    pub fn shake_hands(&mut self) {
        self.begin();
        let records = self.records();
        self.send(&records);
    }

    /// The records that rustls has to send.
    pub fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    pub fn encrypt(&mut self, plain: &[u8]) -> Vec<u8> {
        self.tls.set_buffer_limit(None);
        self.tls.writer().write_all(plain).unwrap();
        self.records()
    }

    pub fn send(&mut self, records: &[u8]) {
        self.socket.write_all(records).unwrap();
    }

    /// Reads from the socket once.
    fn receive(&mut self) -> io::Result<()> {
        self.tls.read_tls(&mut self.socket)?;
        let processed = self.tls.process_new_packets();
        processed.map_err(io::Error::other)?;
        Ok(())
    }

    /// The bytes before the end, and how they end.
    pub fn receive_all(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = Vec::new();
        let outcome = loop {
            let mut buf = [0; 4096];
            match self.tls.reader().read(&mut buf) {
                Ok(0) => break Ok(()),
                Ok(count) => bytes.extend_from_slice(&buf[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(error) = self.receive() {
                        // Records that arrived before the error.
                        let _ = self.tls.reader().read_to_end(&mut bytes);
                        break Err(error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        (bytes, outcome)
    }

    pub fn expect(&mut self, bytes: &[u8]) {
        let mut received = vec![0; bytes.len()];
        let mut filled = 0;
        while filled < received.len() {
            match self.tls.reader().read(&mut received[filled..]) {
                Ok(count) => filled += count,
                Err(_) => self.receive().unwrap(),
            }
        }
        assert_eq!(received, bytes);
    }
}

/// A scripted client, and the server's end of its connection.
pub fn with_server((near, far): (TcpStream, TcpStream), server: TlsServer) -> (RustlsPeer, End) {
    thread::scope(|scope| {
        let far = scope.spawn(move || TlsStream::server(far, &server, super::pair::patience()));
        let mut peer = RustlsPeer::client(near);
        peer.shake_hands();
        (peer, End::new(far.join().unwrap().unwrap()))
    })
}

/// The client's end of a connection, and its scripted server.
pub fn with_client((near, far): (TcpStream, TcpStream), client: TlsClient) -> (End, RustlsPeer) {
    thread::scope(|scope| {
        let near = scope
            .spawn(move || TlsStream::client(near, &client, "127.0.0.1", super::pair::patience()));
        let config = fixtures::server_config(ring::default_provider());
        let mut peer = RustlsPeer::server(far, Arc::new(config));
        peer.shake_hands();
        (End::new(near.join().unwrap().unwrap()), peer)
    })
}
