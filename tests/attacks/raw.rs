//! The attacker's connection: bytes, over TCP or TLS.

use crate::support::{
    PATIENCE,
    frames::{FIN, Frame, GO_AWAY, SYN},
    hand::{field, layer_2},
};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

pub enum Raw {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Raw {
    pub fn over(socket: TcpStream, is_tls: bool) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        match is_tls {
            true => Self::shake_hands(socket),
            false => Self::Tcp(socket),
        }
    }

    /// What a client sends first over TLS.
    #[cfg(feature = "tls")]
    pub fn client_hello() -> Vec<u8> {
        let mut hello = Vec::new();
        Self::tls_client().write_tls(&mut hello).unwrap();
        hello
    }

    #[cfg(feature = "tls")]
    fn shake_hands(mut socket: TcpStream) -> Self {
        let mut tls = Self::tls_client();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        Self::Tls(Box::new(rustls::StreamOwned::new(tls, socket)))
    }

    #[cfg(feature = "tls")]
    fn tls_client() -> rustls::ClientConnection {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_file("certs/ca.pem").unwrap();
        roots.add(ca).unwrap();
        let provider = rustls::crypto::ring::default_provider().into();
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "127.0.0.1".try_into().unwrap();
        rustls::ClientConnection::new(config.into(), name).unwrap()
    }

    #[cfg(not(feature = "tls"))]
    fn shake_hands(_: TcpStream) -> Self {
        unreachable!("no place has TLS")
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => &tls.sock,
        }
    }

    /// Sends these one by one, so long apart, until the other side has ended the
    /// connection; says how many it took.
    pub fn trickle(&mut self, bytes: &[u8], apart: Duration) -> usize {
        self.socket().set_read_timeout(Some(apart)).unwrap();
        for (sent, byte) in bytes.iter().cycle().enumerate() {
            if self
                .write_all(&[*byte])
                .and_then(|()| self.flush())
                .is_err()
            {
                return sent;
            }
            match self.read(&mut [0; 256]) {
                Ok(count) if count > 0 => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return sent,
            }
        }
        unreachable!("it cycles")
    }

    pub fn send(&mut self, frames: &[Frame]) -> io::Result<()> {
        let frames: Vec<_> = frames.iter().map(Frame::encode).collect();
        self.write_all(&frames.concat())?;
        self.flush()
    }

    /// Asks for a session, with these fields in the request.
    pub fn ask(&mut self, fields: &[u8]) -> io::Result<()> {
        let request = Frame::data(1, layer_2(0x32, "openSession", fields));
        self.send(&[Frame::flags(1, SYN), request, Frame::flags(1, FIN)])
    }

    /// Gets a session of this id, with whatever else the request has; gives the
    /// payload of the answer.
    pub fn join(&mut self, id: [u8; 16], fields: &[u8]) -> Vec<u8> {
        let request = [&field(1, &id), fields].concat();
        self.ask(&request).unwrap();
        self.answer().unwrap()
    }

    /// The same, where it may not be let in.
    pub fn try_join(&mut self, id: [u8; 16]) -> io::Result<Vec<u8>> {
        self.ask(&field(1, &id))?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        loop {
            let frame = Frame::read(&mut *self)?;
            let frame = frame.ok_or(io::ErrorKind::UnexpectedEof)?;
            answer.extend(&frame.body);
            if frame.kind == GO_AWAY {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if frame.stream == 1 && frame.has(FIN) {
                return Ok(answer.split_off(12 + "confirmSession".len()));
            }
        }
    }

    /// Reads until the other side has ended the connection; gives what came.
    /// Fails when it does not.
    pub fn until_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let ended = self.read_to_end(&mut bytes);
        if let Err(error) = ended {
            // What was sent when it had closed already resets it; and TLS that
            // is cut says so.
            use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
            let ends = [BrokenPipe, ConnectionReset, UnexpectedEof];
            assert!(ends.contains(&error.kind()), "{error}");
        }
        bytes
    }
}

impl Read for Raw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buf),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Raw {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(buf),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.flush(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.flush(),
        }
    }
}
