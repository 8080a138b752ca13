//! The reading half of a TLS connection.

use super::{
    TlsShared,
    records::{Decrypted, Decryptor},
};
use crate::transport::{ReadHalf, tcp};
use socket2::Socket;
use std::{
    fmt,
    io::{self, Read},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// The size of the buffer for ciphertext, of an idle and of a busy connection, in
/// bytes.
const IDLE_INPUT: usize = 1024;
const BUSY_INPUT: usize = 64 * 1024;

pub(super) struct TlsReader {
    shared: Arc<TlsShared>,
    decryptor: Decryptor,
    input: Input,
}

impl fmt::Debug for TlsReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReader")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl ReadHalf for TlsReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if let Some(count) = self.take_decrypted(buf)? {
            return Ok(count);
        }
        self.receive()?;
        // Less than a record was received. The caller checks its deadline, so that
        // a peer that sends byte by byte cannot block it.
        let count = self.take_decrypted(buf)?;
        count.ok_or_else(|| io::ErrorKind::Interrupted.into())
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(tcp::nonzero);
        self.shared.socket.set_read_timeout(timeout)
    }
}

impl TlsReader {
    pub(super) fn new(shared: Arc<TlsShared>, decryptor: Decryptor) -> Self {
        Self {
            shared,
            decryptor,
            input: Input::new(IDLE_INPUT),
        }
    }

    /// Decrypts buffered ciphertext. Returns the number of bytes, which is 0 at the
    /// end, or `None` if more ciphertext is needed.
    fn take_decrypted(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let outcome = self.decrypt(buf);
        if std::mem::take(&mut self.decryptor.has_due) {
            self.shared.due.store(true, Ordering::SeqCst);
            self.shared.send_due();
        }
        Ok(match outcome? {
            Decrypted::Plain(count) => Some(count),
            Decrypted::End => Some(0),
            Decrypted::Nothing => None,
        })
    }

    /// Decrypts buffered ciphertext until it is used up or `buf` is full.
    fn decrypt(&mut self, buf: &mut [u8]) -> io::Result<Decrypted> {
        let mut filled = 0;
        while filled < buf.len() {
            let mut rest = self.input.data();
            let before = rest.len();
            let outcome = self.decryptor.decrypt(&mut rest, &mut buf[filled..]);
            let used = before - rest.len();
            self.input.consume(used);
            match outcome {
                Ok(Decrypted::Plain(count)) => filled += count,
                // The next call returns the end or the error again.
                _ if filled > 0 => break,
                outcome => return outcome,
            }
        }
        Ok(Decrypted::Plain(filled))
    }

    /// Waits for ciphertext.
    fn receive(&mut self) -> io::Result<()> {
        let outcome = self.input.fill(&self.shared.socket);
        match outcome.map_err(tcp::interrupted_as_timeout) {
            Ok(count) if count > 0 => Ok(()),
            // This side ended the connection, so this is not a truncation by the peer.
            _ if self.shared.cut.load(Ordering::SeqCst) => {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Ok(_) => Err(self.shared.cause(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection ended without a TLS close_notify",
            ))),
            Err(error) => {
                if error.kind() == io::ErrorKind::WouldBlock {
                    self.input.trim();
                }
                Err(error)
            }
        }
    }
}

/// Received ciphertext.
struct Input {
    buf: Box<[u8]>,
    start: usize,
    /// Invariant: `start <= end <= buf.len()`.
    end: usize,
}

impl Input {
    fn new(capacity: usize) -> Self {
        Self {
            buf: vec![0; capacity].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    fn data(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// Frees memory. The buffer must be empty.
    fn trim(&mut self) {
        if self.buf.len() > IDLE_INPUT {
            *self = Self::new(IDLE_INPUT);
        }
    }

    /// Reads once. The buffer must be empty; it grows if the last read filled it.
    fn fill(&mut self, mut socket: &Socket) -> io::Result<usize> {
        debug_assert!(self.data().is_empty());
        if self.end == self.buf.len() && self.end < BUSY_INPUT {
            *self = Self::new(BUSY_INPUT);
        }
        let count = socket.read(&mut self.buf)?;
        self.start = 0;
        self.end = count;
        Ok(count)
    }
}
