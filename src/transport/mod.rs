//! The byte connection that [`yamux`](crate::yamux) runs over.
//!
//! A [`Transport`] splits into a half that one thread reads, a half that the holder
//! of the writing role writes, and a [`Closer`] with which any thread can end both.
//! It knows nothing about frames. [`std::net::TcpStream`] is TCP, `TlsStream` is
//! TLS over TCP, and [`memory::pair`] creates two connected ends inside one
//! process, for tests and examples.

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

pub(crate) use tcp::canonical;
#[cfg(feature = "tls")]
pub use tls::TlsStream;

/// An ordered, reliable, two-way byte connection.
pub trait Transport: Send + 'static {
    /// Splits the connection into its halves.
    ///
    /// # Errors
    ///
    /// When the system refuses, for example because the socket is not connected.
    fn split(self) -> io::Result<Halves>;
}

/// The parts of a [`Transport`].
#[derive(Debug)]
pub struct Halves {
    /// Used only by the connection's reader thread.
    pub reader: Box<dyn ReadHalf>,
    /// Used only by the thread that holds the writing role.
    pub writer: Box<dyn WriteHalf>,
    /// Ends the connection from any thread.
    pub closer: Arc<dyn Closer>,
    /// The local address, if there is one.
    pub local_addr: Option<SocketAddr>,
    /// The peer's address, if there is one.
    pub peer_addr: Option<SocketAddr>,
}

/// The receiving half.
pub trait ReadHalf: Send + fmt::Debug {
    /// Waits for bytes, and reads up to `buf.len()` of them. Returns `Ok(0)` when
    /// the peer has ended its direction.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing was received before the timeout
    /// or a signal; [`io::ErrorKind::Interrupted`] when the bytes that were
    /// received yield no data yet. The caller may read again after these. Any
    /// other error is final, and ends the connection. That includes
    /// [`io::ErrorKind::TimedOut`], which the system returns when the peer has
    /// stopped acknowledging data.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Sets how long [`read`](Self::read) waits. With `None`, the default, it waits
    /// forever.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()>;
}

/// Whether a write may wait for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The write waits until it has accepted at least one byte, or until the write
    /// timeout.
    Block,
    /// The write does not wait.
    Never,
}

/// The sending half.
pub trait WriteHalf: Send + fmt::Debug {
    /// Writes from the slices in order, and returns how many bytes were accepted.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when no byte could be accepted: now, with
    /// [`Wait::Never`], or during the whole write timeout, with [`Wait::Block`].
    /// Any other error is final, including [`io::ErrorKind::TimedOut`].
    /// [`io::ErrorKind::BrokenPipe`] means that the peer or [`Closer::shutdown`]
    /// has ended the connection; data that the peer sent before may still be read.
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize>;

    /// Sends the bytes that [`write`](Self::write) has accepted and buffered. TLS
    /// buffers encrypted bytes that the socket did not accept; a transport that
    /// buffers nothing needs no flush.
    ///
    /// # Errors
    ///
    /// As with `write`; after [`io::ErrorKind::WouldBlock`] it may be called
    /// again.
    fn flush(&mut self, wait: Wait) -> io::Result<()> {
        // Nothing is buffered.
        let _ = wait;
        Ok(())
    }

    /// Flushes, and ends this direction: the peer reads everything that was
    /// written, and then the end. Nothing may be written afterwards.
    ///
    /// # Errors
    ///
    /// As with `write`; after [`io::ErrorKind::WouldBlock`] it may be called
    /// again.
    fn finish(&mut self, wait: Wait) -> io::Result<()>;

    /// Sets how long a blocking write may go without progress. With `None`, it
    /// waits forever.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()>;
}

/// Ends a connection from any thread.
pub trait Closer: Send + Sync + fmt::Debug {
    /// Ends both directions immediately, and wakes the threads that are blocked in
    /// them. Never blocks; further calls do nothing.
    fn shutdown(&self);
}
