//! The byte connection that [`yamux`](crate::yamux) runs over.
//!
//! A [`Transport`] splits into a half that one thread reads, a half that the holder
//! of the writing role writes, and a [`Closer`] with which any thread can end both.
//! It knows nothing about frames.
//!
//! | transport | for |
//! |---|---|
//! | [`std::net::TcpStream`] | TCP |
//! | `TlsStream` | TLS over TCP |
//! | `UnixStream` of std | Unix sockets |
//! | `Pipes` | child processes, standard input and output, pipes, terminals; Unix only |
//! | [`memory::pair`] | two ends inside one process, for tests and examples |
//!
//! # A transport of your own
//!
//! Implement [`Transport`], [`ReadHalf`], [`WriteHalf`] and [`Closer`]. What a connection
//! relies on:
//!
//! - **Timeouts.** Reads have one, for keepalive and to notice a close. Writes have one too,
//!   to notice a peer that reads nothing. If the system's reads and writes have no timeouts,
//!   wait in `poll` on the descriptor first, as `Pipes` does.
//! - **Waking.** [`Closer::shutdown`] ends blocked reads and writes.
//! - **Half-close.** After [`WriteHalf::finish`] the peer reads the end of this
//!   direction, while the other one stays open. A close then waits until the peer ends
//!   its direction. A half that cannot do this must say so with
//!   [`WriteHalf::can_finish`]; otherwise each close takes the whole write timeout.

use std::{
    fmt,
    io::{self, IoSlice},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

mod best_effort;
pub mod memory;
#[cfg(unix)]
mod pipes;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use best_effort::best_effort;
#[cfg(unix)]
pub use pipes::Pipes;
pub(crate) use tcp::canonical;
#[cfg(unix)]
pub(crate) use tcp::send;
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

    /// Returns whether [`finish`](Self::finish) can end this direction while the other
    /// one stays open. Default: `true`. Asked once, before anything is written.
    ///
    /// A half that cannot do that must say so: for example, a pseudoterminal, a serial
    /// line, or a standard output that the process keeps open. When a connection over such a
    /// half closes, the peer does not notice, so the connection cannot wait until the peer
    /// closes as well. Instead it asks the peer, with a ping after all data, whether
    /// everything has arrived, and shuts the transport down when the answer comes.
    fn can_finish(&self) -> bool {
        true
    }

    /// Flushes, and ends this direction: the peer reads everything that was
    /// written, and then the end. Nothing may be written afterwards. Only flushes if
    /// [`can_finish`](Self::can_finish) is `false`.
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
    ///
    /// The peer must read an end once both halves are dropped, at the latest. If a read
    /// cannot be woken, it must at least respect its timeout, which is 15 seconds or less:
    /// until it returns, the connection's reader thread and the half stay.
    fn shutdown(&self);
}
