//! The TLS handshake, which one thread does under a deadline.

use super::{TlsStream, records::take_records};
use crate::{
    sync,
    tls::{TlsClient, TlsError, TlsServer},
    transport::{Wait, best_effort, tcp},
};
use rustls::{ClientConnection, Connection, ServerConnection};
use socket2::Socket;
use std::{
    io::{self, IoSlice, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

/// The most unread bytes to discard after a failed handshake.
const DISCARD: usize = 64 * 1024;

impl TlsStream {
    /// Does the handshake of the dialling side. `host` is the dialled address
    /// without its port: a name or an IP address, IPv6 without brackets.
    ///
    /// Blocks until the handshake is complete, or at most until `deadline`,
    /// whatever the peer does. Sets `TCP_NODELAY`, and clears both timeouts of the
    /// socket.
    ///
    /// With TLS 1.3, this succeeds before the server has checked the client's
    /// certificate. If the server refuses it, the first read returns that error.
    ///
    /// # Errors
    ///
    /// When `host` is not a name that can be checked, when one side does not
    /// accept the other, when the connection fails, or when the deadline passes.
    /// The peer gets an alert with the reason, if the socket accepts it without
    /// waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{net::{TcpListener, TcpStream}, thread, time::{Duration, Instant}};
    /// use wirenet::{TlsClient, TlsServer, load_certificates, transport::TlsStream, yamux::Connection};
    ///
    /// # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
    /// # let certs = folder.path();
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let addr = listener.local_addr()?;
    /// let deadline = Instant::now() + Duration::from_secs(10);
    ///
    /// let certificates = load_certificates("server", certs)?;
    /// let fingerprint = certificates.fingerprint();
    /// let config = TlsServer::new(certificates)?;
    /// let server = thread::spawn(move || -> std::io::Result<Connection> {
    ///     let tls = TlsStream::server(listener.accept()?.0, &config, deadline)?;
    ///     Ok(Connection::server(tls, Default::default())?)
    /// });
    ///
    /// let config = TlsClient::pinned(fingerprint);
    /// let tls = TlsStream::client(TcpStream::connect(addr)?, &config, "localhost", deadline)?;
    /// let client = Connection::client(tls, Default::default())?;
    /// # client.close();
    /// # server.join().unwrap()?.close();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "connect")]
    pub fn client(
        stream: TcpStream,
        config: &TlsClient,
        host: &str,
        deadline: Instant,
    ) -> Result<Self, TlsError> {
        let peer = stream
            .peer_addr()
            .map_or(Ipv4Addr::UNSPECIFIED.into(), |addr| addr.ip());
        let name = config.name_for(host, peer)?;
        let connection = ClientConnection::new(Arc::clone(config.config()), name);
        let connection = connection.map_err(TlsError::Config)?;
        Self::shake_hands(stream, connection.into(), "server", deadline)
    }

    /// Does the handshake of the accepting side; otherwise like
    /// [`client`](Self::client).
    ///
    /// # Errors
    ///
    /// As with [`client`](Self::client).
    #[doc(alias = "accept")]
    pub fn server(
        stream: TcpStream,
        config: &TlsServer,
        deadline: Instant,
    ) -> Result<Self, TlsError> {
        let connection = ServerConnection::new(Arc::clone(config.config()));
        let connection = connection.map_err(TlsError::Config)?;
        Self::shake_hands(stream, connection.into(), "client", deadline)
    }

    /// `peer` is what errors call the peer.
    fn shake_hands(
        stream: TcpStream,
        connection: Connection,
        peer: &'static str,
        deadline: Instant,
    ) -> Result<Self, TlsError> {
        let mut this = Self {
            socket: stream.into(),
            connection,
        };
        this.prepare().map_err(TlsError::from_handshake_io)?;
        let outcome = this.until_done(peer, deadline);
        if outcome.is_err() {
            this.send_alert();
        }
        outcome?;
        this.socket
            .set_read_timeout(None)
            .and_then(|()| this.socket.set_write_timeout(None))
            .map_err(TlsError::from_handshake_io)?;
        // Writes of any size are encrypted in one call.
        this.connection.set_buffer_limit(None);
        Ok(this)
    }

    fn prepare(&self) -> io::Result<()> {
        best_effort("TCP_NODELAY", self.socket.set_tcp_nodelay(true));
        self.socket.set_nonblocking(false)
    }

    fn until_done(&mut self, peer: &'static str, deadline: Instant) -> Result<(), TlsError> {
        let mut socket = Timed {
            socket: &self.socket,
            deadline,
            beginning: Beginning::default(),
        };
        loop {
            while self.connection.wants_write() {
                let written = self.connection.write_tls(&mut socket);
                written.map_err(TlsError::from_handshake_io)?;
            }
            if !self.connection.is_handshaking() {
                return Ok(());
            }
            let read = self.connection.read_tls(&mut socket);
            if read.map_err(TlsError::from_handshake_io)? == 0 {
                let ended = io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed it");
                return Err(TlsError::from_handshake_io(ended));
            }
            let processed = self.connection.process_new_packets();
            processed
                .map_err(|error| TlsError::from_handshake(error, peer, socket.beginning.get()))?;
        }
    }

    /// Sends the alert with the reason why the handshake failed, if that is
    /// possible without waiting.
    fn send_alert(&mut self) {
        // The caller returns the error of the handshake, which matters more.
        let _ = self.try_send_alert();
    }

    fn try_send_alert(&mut self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        let mut alert = Vec::new();
        take_records(&mut self.connection, &mut alert)?;
        tcp::send(&self.socket, &[IoSlice::new(&alert)], Wait::Block)?;
        self.socket.shutdown(Shutdown::Write)?;
        // Closing a socket with unread data resets the connection, and on some
        // systems the alert is lost.
        let mut discarded = 0;
        while discarded < DISCARD {
            match (&self.socket).read(&mut [0; 1024])? {
                0 => break,
                count => discarded += count,
            }
        }
        Ok(())
    }
}

/// A socket whose calls end by a deadline.
struct Timed<'a> {
    socket: &'a Socket,
    deadline: Instant,
    beginning: Beginning,
}

/// The first bytes that the peer sent, which show whether it speaks TLS.
struct Beginning {
    bytes: [u8; 64],
    len: usize,
}

impl Default for Beginning {
    fn default() -> Self {
        let (bytes, len) = ([0; 64], 0);
        Self { bytes, len }
    }
}

impl Beginning {
    fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn add(&mut self, received: &[u8]) {
        for (place, byte) in self.bytes[self.len..].iter_mut().zip(received) {
            *place = *byte;
            self.len += 1;
        }
    }
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(sync::now());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(tcp::nonzero(left))
    }
}

/// Repeats a call while signals interrupt it. The call checks the deadline.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let outcome = uninterrupted(|| {
            self.socket.set_read_timeout(Some(self.left()?))?;
            self.socket.read(buf).map_err(tcp::timeout_error)
        });
        // The caller gets the error.
        if let Ok(count) = outcome {
            self.beginning.add(&buf[..count]);
        }
        outcome
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        uninterrupted(|| {
            self.socket.set_write_timeout(Some(self.left()?))?;
            tcp::send(self.socket, &[IoSlice::new(buf)], Wait::Block)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
