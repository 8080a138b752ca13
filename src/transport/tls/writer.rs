//! The writing half of a TLS connection.

use super::{TlsShared, outgoing::OutgoingRecords};
use crate::transport::{Wait, WriteHalf, tcp};
use socket2::Socket;
use std::{
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

#[derive(Debug)]
pub(super) struct TlsWriter(Arc<TlsShared>);

impl TlsWriter {
    pub(super) fn new(shared: Arc<TlsShared>) -> Self {
        Self(shared)
    }

    fn with_outgoing<T>(
        &self,
        work: impl FnOnce(&mut OutgoingRecords, &Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        let outcome = work(&mut self.0.outgoing.lock(), &self.0.socket);
        self.0.send_due();
        outcome.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => error,
            _ => self.0.cause(error),
        })
    }
}

impl WriteHalf for TlsWriter {
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        self.with_outgoing(|outgoing, socket| outgoing.write(socket, slices, wait))
    }

    fn flush(&mut self, wait: Wait) -> io::Result<()> {
        self.with_outgoing(|outgoing, socket| outgoing.flush(socket, wait))
    }

    fn finish(&mut self, wait: Wait) -> io::Result<()> {
        self.with_outgoing(|outgoing, socket| outgoing.finish(socket, wait))
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(tcp::nonzero);
        self.0.socket.set_write_timeout(timeout)
    }
}
