//! What encrypts and what decrypts, for two threads.

use crate::sync::Mutex;
use rustls::Connection;
use std::{
    io::{self, IoSlice, Read, Write},
    sync::Arc,
};

/// Takes a connection apart into what encrypts and what decrypts; here both
/// share it under a lock.
pub(super) fn split(connection: Connection) -> (Sender, Receiver) {
    let connection = Arc::new(Mutex::new(connection));
    let receiver = Receiver {
        connection: Arc::clone(&connection),
        failure: None,
        has_due: false,
    };
    (Sender(connection), receiver)
}

/// What encrypts.
pub(super) struct Sender(Arc<Mutex<Connection>>);

impl Sender {
    /// Encrypts what the slices hold, appends the records to `out`, and says
    /// how much plaintext that was. What was due goes first.
    pub(super) fn encrypt(
        &mut self,
        slices: &[IoSlice<'_>],
        out: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let mut connection = self.0.lock();
        let taken = connection.writer().write_vectored(slices)?;
        take_records(&mut connection, out)?;
        Ok(taken)
    }

    /// Appends a close_notify, after which nothing may be encrypted (rustls
    /// would do it).
    pub(super) fn close(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut connection = self.0.lock();
        connection.send_close_notify();
        take_records(&mut connection, out)
    }

    /// Appends what receiving has made due.
    pub(super) fn take_due(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        take_records(&mut self.0.lock(), out)
    }
}

pub(super) fn take_records(connection: &mut Connection, out: &mut Vec<u8>) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(out)?;
    }
    Ok(())
}

/// What decrypts.
pub(super) struct Receiver {
    connection: Arc<Mutex<Connection>>,
    /// What ended it, once what came before has been read.
    failure: Option<rustls::Error>,
    /// There is something for the peer.
    pub(super) has_due: bool,
}

/// What ciphertext came to.
pub(super) enum Decrypted {
    /// So many bytes, at least one.
    Plain(usize),
    /// Nothing: all the ciphertext is used up.
    Nothing,
    /// The peer's close_notify.
    End,
}

impl Receiver {
    /// Decrypts into `buf`, which is not empty, and takes what that uses off
    /// the front of `input`.
    pub(super) fn decrypt(&mut self, input: &mut &[u8], buf: &mut [u8]) -> io::Result<Decrypted> {
        let mut connection = self.connection.lock();
        loop {
            // First, because rustls takes no more while it holds plaintext,
            // and the handshake may have left some.
            match connection.reader().read(buf) {
                Ok(0) => return Ok(Decrypted::End),
                Ok(count) => return Ok(Decrypted::Plain(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if let Some(failure) = &self.failure {
                return Err(io::Error::new(io::ErrorKind::InvalidData, failure.clone()));
            }
            // rustls would take an empty slice for the end of the connection.
            if input.is_empty() {
                return Ok(Decrypted::Nothing);
            }
            connection.read_tls(input)?;
            self.failure = connection.process_new_packets().err();
            self.has_due |= connection.wants_write();
        }
    }
}
