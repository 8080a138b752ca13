//! What goes to the peer: encrypted, and kept in order until it is sent.

use super::records::Sender;
use crate::transport::{Wait, tcp};
use socket2::Socket;
use std::{
    io::{self, IoSlice},
    net::Shutdown,
};

/// The most plaintext that a record carries.
const RECORD: usize = 16 * 1024;

/// The most slices, and plaintext, that are encrypted in one go: a full frame
/// and what comes along with it, in whole records.
const SLICES: usize = 16;
const BATCH: usize = 5 * RECORD;

/// What a buffer for outgoing ciphertext may keep allocated while it is idle.
const IDLE_OUTPUT: usize = 1024;

/// What the lock W is held for.
pub(super) struct Outgoing {
    sender: Sender,
    /// Ciphertext in the order in which it was encrypted.
    kept: Vec<u8>,
    /// Bytes of `kept` that are written. Invariant: fewer than it holds, or
    /// both are 0.
    sent: usize,
    phase: Phase,
}

/// How far this side's direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing follows but what is kept, with a close_notify at its end.
    Closing,
    Finished,
}

impl Outgoing {
    pub(super) fn new(sender: Sender) -> Self {
        Self {
            sender,
            kept: Vec::new(),
            sent: 0,
            phase: Phase::Open,
        }
    }

    pub(super) fn write(
        &mut self,
        socket: &Socket,
        slices: &[IoSlice<'_>],
        wait: Wait,
    ) -> io::Result<usize> {
        if self.phase != Phase::Open {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.send(socket, wait)?;
        let (batch, count) = batch(slices);
        let taken = self.sender.encrypt(&batch[..count], &mut self.kept)?;
        // Taken is taken: the waiting, if any, is for the next call.
        match self.send(socket, Wait::Never) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    pub(super) fn finish(&mut self, socket: &Socket, wait: Wait) -> io::Result<()> {
        if self.phase == Phase::Open {
            self.sender.close(&mut self.kept)?;
            self.phase = Phase::Closing;
        }
        self.send(socket, wait)?;
        if self.phase == Phase::Closing {
            socket.shutdown(Shutdown::Write)?;
            self.phase = Phase::Finished;
        }
        Ok(())
    }

    pub(super) fn send_due(&mut self, socket: &Socket) -> io::Result<()> {
        self.sender.take_due(&mut self.kept)?;
        self.send(socket, Wait::Never)
    }

    /// Sends what is kept.
    fn send(&mut self, socket: &Socket, wait: Wait) -> io::Result<()> {
        while self.sent < self.kept.len() {
            let rest = [IoSlice::new(&self.kept[self.sent..])];
            match tcp::send_uncut(socket, &rest, wait)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.sent += count,
            }
        }
        self.kept.clear();
        self.sent = 0;
        Ok(())
    }

    /// Sends what is kept, when nothing follows for now: gives memory back.
    pub(super) fn flush(&mut self, socket: &Socket, wait: Wait) -> io::Result<()> {
        self.send(socket, wait)?;
        if self.kept.capacity() > IDLE_OUTPUT {
            self.kept = Vec::new();
        }
        Ok(())
    }
}

/// The front of the slices, as much as is encrypted in one go, and how many
/// slices that is.
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
    fn a_batch_is_the_front_of_what_there_is_up_to_its_limit() {
        assert!(batched(&[]).is_empty());
        assert_eq!(batched(&[12, 0, 30]), [12, 0, 30]);
        assert_eq!(batched(&[BATCH, 1]), [BATCH]);
        assert_eq!(batched(&[BATCH - 10, 12, 3]), [BATCH - 10, 10]);
        assert_eq!(batched(&[1; SLICES + 1]), [1; SLICES]);
    }
}
