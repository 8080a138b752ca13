//! The reading half.

use super::{
    Shared,
    records::{Decrypted, Receiver},
};
use crate::transport::{ReadHalf, tcp};
use socket2::Socket;
use std::{
    fmt,
    io::{self, Read},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// The buffer for ciphertext of a connection on which little happens, and of
/// one on which much does.
const IDLE_INPUT: usize = 1024;
const BUSY_INPUT: usize = 64 * 1024;

pub(super) struct TlsReader {
    shared: Arc<Shared>,
    receiver: Receiver,
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
        // Less than a record came: the caller knows how long it still has, so
        // that a peer that trickles does not hold it up.
        let count = self.take_decrypted(buf)?;
        count.ok_or_else(|| io::ErrorKind::Interrupted.into())
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(tcp::not_for_ever);
        self.shared.socket.set_read_timeout(timeout)
    }
}

impl TlsReader {
    pub(super) fn new(shared: Arc<Shared>, receiver: Receiver) -> Self {
        Self {
            shared,
            receiver,
            input: Input::new(IDLE_INPUT),
        }
    }

    /// What the ciphertext at hand comes to: bytes, 0 at the end, or nothing.
    fn take_decrypted(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let outcome = self.decrypt(buf);
        if std::mem::take(&mut self.receiver.has_due) {
            self.shared.due.store(true, Ordering::SeqCst);
            self.shared.send_due();
        }
        Ok(match outcome? {
            Decrypted::Plain(count) => Some(count),
            Decrypted::End => Some(0),
            Decrypted::Nothing => None,
        })
    }

    /// Decrypts as much as the ciphertext at hand has and `buf` holds.
    fn decrypt(&mut self, buf: &mut [u8]) -> io::Result<Decrypted> {
        let mut filled = 0;
        while filled < buf.len() {
            let mut rest = self.input.data();
            let before = rest.len();
            let outcome = self.receiver.decrypt(&mut rest, &mut buf[filled..]);
            let used = before - rest.len();
            self.input.consume(used);
            match outcome {
                Ok(Decrypted::Plain(count)) => filled += count,
                // An end, or a failure, will still be there.
                _ if filled > 0 => break,
                outcome => return outcome,
            }
        }
        Ok(Decrypted::Plain(filled))
    }

    /// Waits for ciphertext.
    fn receive(&mut self) -> io::Result<()> {
        let outcome = self.input.fill(&self.shared.socket);
        match outcome.map_err(tcp::read_error) {
            Ok(count) if count > 0 => Ok(()),
            // Not a truncation: the peer may have had more to say.
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

/// Ciphertext as it came.
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

    /// Gives memory back; called when nothing is in it.
    fn trim(&mut self) {
        if self.buf.len() > IDLE_INPUT {
            *self = Self::new(IDLE_INPUT);
        }
    }

    /// Reads once, when all that was read before is used up; with more room,
    /// if that had filled all there was.
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
