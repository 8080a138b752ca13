//! TLS over TCP, on two threads.
//!
//! rustls has one object for both directions; one thread reads here while
//! another writes. Two locks, in this order:
//!
//! - *W*, [`Shared::outgoing`]: ciphertext that is yet to be written. Its
//!   holder encrypts and sends, so that what is encrypted first goes first. The
//!   writing half holds it over its system calls. The reading half only tries
//!   it, for what rustls wants to tell the peer (alerts): so it never waits for
//!   a peer that takes nothing.
//! - *C*, inside of [`records::Sender`] and [`records::Receiver`]: the rustls
//!   connection, for work in memory alone.
//!
//! Whoever holds W while something falls due sees to it on letting go.

mod handshake;
mod outgoing;
mod reader;
mod records;
mod writer;

use self::{outgoing::Outgoing, reader::TlsReader, writer::TlsWriter};
use super::{Closer, Halves, Transport};
use crate::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering, fence},
};
use rustls::Connection;
use socket2::{SockAddr, Socket};
use std::{fmt, io, net::Shutdown, sync::Arc};

/// A TCP connection with TLS on it, after its handshake.
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
        // As with TCP, there may be none any more.
        let addr = |addr: io::Result<SockAddr>| addr.ok().and_then(|addr| addr.as_socket());
        let local_addr = addr(self.socket.local_addr());
        let peer_addr = addr(self.socket.peer_addr());
        let (sender, receiver) = records::split(self.connection);
        let shared = Arc::new(Shared {
            socket: self.socket,
            outgoing: Mutex::new(Outgoing::new(sender)),
            due: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            failure: Mutex::default(),
        });
        Ok(Halves {
            reader: Box::new(TlsReader::new(Arc::clone(&shared), receiver)),
            writer: Box::new(TlsWriter::new(Arc::clone(&shared))),
            closer: Arc::new(TlsCloser(shared)),
            local_addr,
            peer_addr,
        })
    }
}

/// What the two halves share.
struct Shared {
    socket: Socket,
    /// The lock W.
    outgoing: Mutex<Outgoing>,
    /// Receiving has made something due that is not yet sent.
    due: AtomicBool,
    /// This side has cut the connection.
    cut: AtomicBool,
    /// Why the connection failed, where sending what was due met that: the
    /// kernel reports it once, and later calls fail with less.
    failure: Mutex<Option<io::Error>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Has what is due sent, by whoever holds W if it is held. Every holder
    /// calls this when it has let go.
    fn send_due(&self) {
        loop {
            // Either this sees the flag, or whoever set it after finds W free:
            // the flag is set before this fence's like, and W tried after it.
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
                // What does not fit is kept, and sent with the next write.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The next read or write returns it.
                Err(error) => drop(self.failure.lock().get_or_insert(error)),
                Ok(()) => {}
            }
        }
    }

    /// Why the connection failed, for a call that failed with `error`.
    fn cause(&self, error: io::Error) -> io::Error {
        // A peer that has ended the connection takes nothing more: the end
        // itself says more.
        let failure = self.failure.lock().take();
        let first = failure.filter(|first| first.kind() != io::ErrorKind::BrokenPipe);
        first.unwrap_or(error)
    }
}

#[derive(Debug)]
struct TlsCloser(Arc<Shared>);

impl Closer for TlsCloser {
    fn shutdown(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        // Fails when the connection is gone already, which is what was asked.
        let _ = self.0.socket.shutdown(Shutdown::Both);
    }
}
