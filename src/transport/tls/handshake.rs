//! The handshake, which one thread does under a deadline.

use super::{TlsStream, records::take_records};
use crate::{
    sync,
    tls::{TlsClient, TlsError, TlsServer},
    transport::{Wait, tcp},
};
use rustls::{ClientConnection, Connection, ServerConnection};
use socket2::Socket;
use std::{
    io::{self, IoSlice, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

/// The most unread bytes that are thrown away behind a failed handshake.
const DISCARD: usize = 64 * 1024;

impl TlsStream {
    /// Does the handshake of the side that dialled. `host` is the dialled
    /// address without its port, a name or an IP address, IPv6 without
    /// brackets.
    ///
    /// Blocks until the handshake is done, or until `deadline`, however the
    /// peer goes about it. Sets `TCP_NODELAY`, and takes both timeouts off the
    /// socket.
    ///
    /// With TLS 1.3 this succeeds before the server has looked at the client's
    /// certificate: its refusal is the first read's error.
    ///
    /// # Errors
    ///
    /// When the host is no name that could be checked, one side does not
    /// accept the other, the connection breaks, or the deadline passes. The
    /// peer is told why, if it takes that without waiting.
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
        Self::shake_hands(stream, connection.into(), deadline)
    }

    /// Does the handshake of the side that accepted; as [`client`](Self::client)
    /// otherwise.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn server(
        stream: TcpStream,
        config: &TlsServer,
        deadline: Instant,
    ) -> Result<Self, TlsError> {
        let connection = ServerConnection::new(Arc::clone(config.config()));
        let connection = connection.map_err(TlsError::Config)?;
        Self::shake_hands(stream, connection.into(), deadline)
    }

    fn shake_hands(
        stream: TcpStream,
        connection: Connection,
        deadline: Instant,
    ) -> Result<Self, TlsError> {
        let mut this = Self {
            socket: stream.into(),
            connection,
        };
        this.prepare().map_err(TlsError::from_handshake_io)?;
        let outcome = this.until_done(deadline);
        if outcome.is_err() {
            this.part();
        }
        outcome?;
        this.socket
            .set_read_timeout(None)
            .and_then(|()| this.socket.set_write_timeout(None))
            .map_err(TlsError::from_handshake_io)?;
        // A write of any size is to be encrypted in one go.
        this.connection.set_buffer_limit(None);
        Ok(this)
    }

    fn prepare(&self) -> io::Result<()> {
        self.socket.set_tcp_nodelay(true)?;
        self.socket.set_nonblocking(false)
    }

    fn until_done(&mut self, deadline: Instant) -> Result<(), TlsError> {
        let mut socket = Timed {
            socket: &self.socket,
            deadline,
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
                let ended = io::ErrorKind::UnexpectedEof;
                return Err(TlsError::from_handshake_io(ended.into()));
            }
            let processed = self.connection.process_new_packets();
            processed.map_err(TlsError::Handshake)?;
        }
    }

    /// Sends the alert that says why the handshake failed, as far as that goes
    /// without waiting.
    fn part(&mut self) {
        // None of this matters to the caller, who has the first error.
        let _ = self.try_part();
    }

    fn try_part(&mut self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        let mut alert = Vec::new();
        take_records(&mut self.connection, &mut alert)?;
        tcp::send(&self.socket, &[IoSlice::new(&alert)], Wait::Block)?;
        self.socket.shutdown(Shutdown::Write)?;
        // Closing with unread data resets the connection, and with some
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

/// A socket on which no call lasts beyond a deadline.
struct Timed<'a> {
    socket: &'a Socket,
    deadline: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(sync::now());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Less would be cut to nothing, which stands for ever.
        Ok(left.max(Duration::from_millis(1)))
    }
}

/// For calls that look at the deadline each time.
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
        uninterrupted(|| {
            self.socket.set_read_timeout(Some(self.left()?))?;
            self.socket.read(buf).map_err(tcp::timeout_error)
        })
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
