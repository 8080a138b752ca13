//! TLS over TCP, used by two threads.
//!
//! rustls has one object for both directions, but one thread reads here while
//! another writes. There are two locks, taken in this order:
//!
//! - *W*, [`TlsShared::outgoing`]: ciphertext that is not yet written. Its holder
//!   encrypts and sends, so that records are sent in the order in which they were
//!   encrypted. The writing half holds it during its system calls. The reading
//!   half only tries it, to send the alerts of rustls, so that it never waits for
//!   a peer that does not read.
//! - *C*, inside [`records::Encryptor`] and [`records::Decryptor`]: the rustls
//!   connection, held only for work in memory.
//!
//! If something must be sent while another thread holds W, that thread sends it
//! after it has released W.

mod handshake;
mod outgoing;
mod reader;
mod records;
mod writer;

use self::{outgoing::OutgoingRecords, reader::TlsReader, writer::TlsWriter};
use super::{Closer, Halves, Transport, canonical};
use crate::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering, fence},
};
use rustls::Connection;
use socket2::{SockAddr, Socket};
use std::{fmt, io, net::Shutdown, sync::Arc};

/// A TLS connection over TCP, after its handshake.
///
/// Created by [`TlsStream::client`] or [`TlsStream::server`].
pub struct TlsStream {
    socket: Socket,
    connection: Connection,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Transport for TlsStream {
    fn split(self) -> io::Result<Halves> {
        // As with TCP, the socket may no longer have addresses.
        let addr = |addr: io::Result<SockAddr>| addr.ok()?.as_socket().map(canonical);
        let local_addr = addr(self.socket.local_addr());
        let peer_addr = addr(self.socket.peer_addr());
        let (encryptor, decryptor) = records::split(self.connection);
        let shared = Arc::new(TlsShared {
            socket: self.socket,
            outgoing: Mutex::new(OutgoingRecords::new(encryptor)),
            due: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            failure: Mutex::default(),
        });
        Ok(Halves {
            reader: Box::new(TlsReader::new(Arc::clone(&shared), decryptor)),
            writer: Box::new(TlsWriter::new(Arc::clone(&shared))),
            closer: Arc::new(TlsCloser(shared)),
            local_addr,
            peer_addr,
        })
    }
}

/// The state that the two halves share.
struct TlsShared {
    socket: Socket,
    /// The lock W.
    outgoing: Mutex<OutgoingRecords>,
    /// Whether rustls has records for the peer that are not yet sent.
    due: AtomicBool,
    /// Whether [`Closer::shutdown`] was called.
    cut: AtomicBool,
    /// Why the connection failed, if sending what was due returned that error: the
    /// kernel reports it once, and later calls return less specific errors.
    failure: Mutex<Option<io::Error>>,
}

impl fmt::Debug for TlsShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsShared")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl TlsShared {
    /// Sends the records that are due, or leaves them to the holder of W. Every
    /// holder calls this after it has released W.
    fn send_due(&self) {
        loop {
            // Either this thread sees the flag, or the thread that sets it later
            // finds W free: that thread sets the flag before this fence, and tries
            // W after it.
            fence(Ordering::SeqCst);
            if !self.due.load(Ordering::SeqCst) {
                return;
            }
            let Some(mut outgoing) = self.outgoing.try_lock() else {
                return;
            };
            self.due.store(false, Ordering::SeqCst);
            let sent = outgoing.send_due(&self.socket);
            drop(outgoing);
            match sent {
                // Bytes that the socket did not accept are sent with the next write.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The next read or write returns the error.
                Err(error) => drop(self.failure.lock().get_or_insert(error)),
                Ok(()) => {}
            }
        }
    }

    /// Returns why the connection failed, for a call that failed with `error`.
    fn cause(&self, error: io::Error) -> io::Error {
        // A broken pipe only shows that the connection has ended; `error` is more
        // specific.
        let failure = self.failure.lock().take();
        let first = failure.filter(|first| first.kind() != io::ErrorKind::BrokenPipe);
        first.unwrap_or(error)
    }
}

#[derive(Debug)]
struct TlsCloser(Arc<TlsShared>);

impl Closer for TlsCloser {
    fn shutdown(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        // Fails only if the connection has already ended.
        let _ = self.0.socket.shutdown(Shutdown::Both);
    }
}
