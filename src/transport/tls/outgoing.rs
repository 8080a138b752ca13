//! Outgoing records: encrypted, and buffered in order until they are sent.

use super::records::Encryptor;
use crate::transport::{Wait, tcp};
use socket2::Socket;
use std::{
    io::{self, IoSlice},
    net::Shutdown,
};

/// The most bytes of plaintext that a record carries.
const RECORD: usize = 16 * 1024;

/// The most slices, and the most bytes of plaintext, that are encrypted in one
/// call: a full frame and the small frames around it, in whole records.
const SLICES: usize = 16;
const BATCH: usize = 5 * RECORD;

/// The capacity that the buffer keeps while it is idle, in bytes.
const IDLE_OUTPUT: usize = 1024;

/// The state that the lock W protects.
pub(super) struct OutgoingRecords {
    encryptor: Encryptor,
    /// Ciphertext in the order in which it was encrypted.
    kept: Vec<u8>,
    /// How many bytes of `kept` are written. Invariant: less than `kept.len()`, or
    /// both are 0.
    sent: usize,
    phase: OutgoingPhase,
}

/// The state of the outgoing direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutgoingPhase {
    Open,
    /// Only `kept` is still to be sent, which ends with a close_notify.
    Closing,
    Finished,
}

impl OutgoingRecords {
    pub(super) fn new(encryptor: Encryptor) -> Self {
        Self {
            encryptor,
            kept: Vec::new(),
            sent: 0,
            phase: OutgoingPhase::Open,
        }
    }

    pub(super) fn write(
        &mut self,
        socket: &Socket,
        slices: &[IoSlice<'_>],
        wait: Wait,
    ) -> io::Result<usize> {
        if self.phase != OutgoingPhase::Open {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.send(socket, wait)?;
        let (batch, count) = batch(slices);
        let taken = self.encryptor.encrypt(&batch[..count], &mut self.kept)?;
        // These bytes count as accepted. If the socket is full, the next call waits.
        match self.send(socket, Wait::Never) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    pub(super) fn finish(&mut self, socket: &Socket, wait: Wait) -> io::Result<()> {
        if self.phase == OutgoingPhase::Open {
            self.encryptor.close(&mut self.kept)?;
            self.phase = OutgoingPhase::Closing;
        }
        self.send(socket, wait)?;
        if self.phase == OutgoingPhase::Closing {
            socket.shutdown(Shutdown::Write)?;
            self.phase = OutgoingPhase::Finished;
        }
        Ok(())
    }

    pub(super) fn send_due(&mut self, socket: &Socket) -> io::Result<()> {
        self.encryptor.take_due(&mut self.kept)?;
        self.send(socket, Wait::Never)
    }

    /// Sends `kept`.
    fn send(&mut self, socket: &Socket, wait: Wait) -> io::Result<()> {
        while self.sent < self.kept.len() {
            let rest = [IoSlice::new(&self.kept[self.sent..])];
            match tcp::send_again(socket, &rest, wait)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.sent += count,
            }
        }
        self.kept.clear();
        self.sent = 0;
        Ok(())
    }

    /// Sends `kept` and frees its memory, when no more data follows for now.
    pub(super) fn flush(&mut self, socket: &Socket, wait: Wait) -> io::Result<()> {
        self.send(socket, wait)?;
        if self.kept.capacity() > IDLE_OUTPUT {
            self.kept = Vec::new();
        }
        Ok(())
    }
}

/// Returns the first slices, as many as are encrypted in one call, and their
/// number.
fn batch<'a>(slices: &'a [IoSlice<'_>]) -> ([IoSlice<'a>; SLICES], usize) {
    let mut batch = [IoSlice::new(&[]); SLICES];
    let (mut count, mut room) = (0, BATCH);
    for (slot, slice) in batch.iter_mut().zip(slices) {
        let piece = &slice[..slice.len().min(room)];
        *slot = IoSlice::new(piece);
        room -= piece.len();
        count += 1;
        if room == 0 {
            break;
        }
    }
    (batch, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batched(lens: &[usize]) -> Vec<usize> {
        let bytes = vec![0; lens.iter().copied().max().unwrap_or(0)];
        let slices: Vec<_> = lens
            .iter()
            .map(|len| IoSlice::new(&bytes[..*len]))
            .collect();
        let (batch, count) = batch(&slices);
        batch[..count].iter().map(|slice| slice.len()).collect()
    }

    #[test]
    fn a_batch_is_the_front_of_the_slices_up_to_its_limits() {
        assert!(batched(&[]).is_empty());
        assert_eq!(batched(&[12, 0, 30]), [12, 0, 30]);
        assert_eq!(batched(&[BATCH, 1]), [BATCH]);
        assert_eq!(batched(&[BATCH - 10, 12, 3]), [BATCH - 10, 10]);
        assert_eq!(batched(&[1; SLICES + 1]), [1; SLICES]);
    }
}
