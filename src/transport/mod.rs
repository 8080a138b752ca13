//! Bytes in, bytes out: what a connection runs over.
//!
//! A [`Transport`] comes apart into a half that one thread reads, a half that
//! whoever holds the writing role writes, and a [`Closer`] that any thread may
//! call to wake both. It knows nothing of frames. TCP is
//! [`std::net::TcpStream`] itself, `TlsStream` is TLS over it; [`memory::pair`]
//! makes two connected ends inside one process, for tests and examples.

use std::{
    fmt,
    io::{self, IoSlice},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

pub mod memory;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "tls")]
pub use tls::TlsStream;

/// An ordered, reliable, two-way byte connection.
pub trait Transport: Send + 'static {
    /// Takes the connection apart.
    ///
    /// # Errors
    ///
    /// When the system refuses, for example because the socket is not
    /// connected.
    fn split(self) -> io::Result<Halves>;
}

/// What a [`Transport`] comes apart into.
#[derive(Debug)]
pub struct Halves {
    /// Read by the connection's reader thread alone.
    pub reader: Box<dyn ReadHalf>,
    /// Written by the thread that holds the writing role alone.
    pub writer: Box<dyn WriteHalf>,
    /// Ends the connection from any thread.
    pub closer: Arc<dyn Closer>,
    /// This end's address, where there is one.
    pub local_addr: Option<SocketAddr>,
    /// The other end's address, where there is one.
    pub peer_addr: Option<SocketAddr>,
}

/// The receiving half.
pub trait ReadHalf: Send + fmt::Debug {
    /// Waits for bytes and reads what is there, at most `buf.len()`.
    /// `Ok(0)` says that the peer has ended its direction.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing came before the timeout, or
    /// before a signal; [`io::ErrorKind::Interrupted`] when what came is not yet
    /// of use: after these, reading may go on. Any other is final, and is why
    /// the connection ended. That includes [`io::ErrorKind::TimedOut`], the
    /// system's word for a connection whose peer acknowledges nothing any more.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// How long [`read`](Self::read) waits; `None`, the default, is for ever.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()>;
}

/// Whether a write may wait for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until at least one byte is taken, or the write timeout passes.
    Block,
    /// Not at all.
    Never,
}

/// The sending half.
pub trait WriteHalf: Send + fmt::Debug {
    /// Writes from the slices in order and says how many bytes were taken.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`]: with [`Wait::Never`], nothing could be
    /// taken now; with [`Wait::Block`], nothing could be taken for the whole
    /// write timeout. Any other is final, [`io::ErrorKind::TimedOut`] too.
    /// [`io::ErrorKind::BrokenPipe`] means that the connection was ended before,
    /// by the peer or by [`Closer::shutdown`]: what the peer sent up to there
    /// may still be read.
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize>;

    /// Sends on what [`write`](Self::write) has taken and kept back, where a
    /// transport does that (TLS keeps what is encrypted and did not fit).
    ///
    /// # Errors
    ///
    /// As with `write`; after [`io::ErrorKind::WouldBlock`] it may be called
    /// again.
    fn flush(&mut self, wait: Wait) -> io::Result<()> {
        // Nothing is kept back here, so there is nothing to wait for.
        let _ = wait;
        Ok(())
    }

    /// Ends this direction, after a flush: the peer reads all that was written,
    /// and then the end. Nothing is written after it.
    ///
    /// # Errors
    ///
    /// As with `write`; after [`io::ErrorKind::WouldBlock`] it may be called
    /// again.
    fn finish(&mut self, wait: Wait) -> io::Result<()>;

    /// How long a blocking write may make no progress; `None` is for ever.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()>;
}

/// Ends a connection from outside of its two halves.
pub trait Closer: Send + Sync + fmt::Debug {
    /// Ends both directions at once, and wakes whoever is blocked in them.
    /// Never blocks; calling it again does nothing.
    fn shutdown(&self);
}
