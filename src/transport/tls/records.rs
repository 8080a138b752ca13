//! Encryption and decryption of records, on two threads.

use crate::sync::Mutex;
use rustls::Connection;
use std::{
    io::{self, IoSlice, Read, Write},
    sync::Arc,
};

/// Splits a connection into a part that encrypts and a part that decrypts. They
/// share it under a lock.
pub(super) fn split(connection: Connection) -> (Encryptor, Decryptor) {
    let connection = Arc::new(Mutex::new(connection));
    let receiver = Decryptor {
        connection: Arc::clone(&connection),
        failure: None,
        has_due: false,
    };
    (Encryptor(connection), receiver)
}

/// The encrypting part of a connection.
pub(super) struct Encryptor(Arc<Mutex<Connection>>);

impl Encryptor {
    /// Encrypts the slices, appends the records to `out`, and returns how many
    /// bytes of plaintext were encrypted. Records that were due go first.
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

    /// Appends a close_notify. Nothing may be encrypted afterwards, although rustls
    /// would allow it.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut connection = self.0.lock();
        connection.send_close_notify();
        take_records(&mut connection, out)
    }

    /// Appends the records that became due while receiving.
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

/// The decrypting part of a connection.
pub(super) struct Decryptor {
    connection: Arc<Mutex<Connection>>,
    /// Why decryption failed; returned once the plaintext before it has been read.
    failure: Option<rustls::Error>,
    /// Whether rustls has records for the peer.
    pub(super) has_due: bool,
}

/// The outcome of decryption.
pub(super) enum Decrypted {
    /// This many bytes, at least one.
    Plain(usize),
    /// No plaintext: all ciphertext is used up.
    Nothing,
    /// The peer's close_notify.
    End,
}

impl Decryptor {
    /// Decrypts into `buf`, which must not be empty, and removes the used ciphertext
    /// from the front of `input`.
    pub(super) fn decrypt(&mut self, input: &mut &[u8], buf: &mut [u8]) -> io::Result<Decrypted> {
        let mut connection = self.connection.lock();
        loop {
            // This comes first because rustls accepts no ciphertext while it holds
            // plaintext, and the handshake may have left some.
            match connection.reader().read(buf) {
                Ok(0) => return Ok(Decrypted::End),
                Ok(count) => return Ok(Decrypted::Plain(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if let Some(failure) = &self.failure {
                return Err(io::Error::new(io::ErrorKind::InvalidData, failure.clone()));
            }
            // rustls treats an empty slice as the end of the connection.
            if input.is_empty() {
                return Ok(Decrypted::Nothing);
            }
            connection.read_tls(input)?;
            self.failure = connection.process_new_packets().err();
            self.has_due |= connection.wants_write();
        }
    }
}
