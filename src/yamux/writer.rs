//! The writing half of a connection, with the frames that are being written.

use super::{
    capacity::GiveBack,
    queue::{self, IDLE_CONTROL, Queue},
    segment::Segment,
};
use crate::transport::{Wait, WriteHalf};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

/// How many buffers one system call takes.
const SLICES: usize = 8;

/// The writer of a connection. The thread that holds it has the writing role. Takes
/// all frames out of the queue, and writes them in as few system calls as possible.
#[derive(Debug)]
pub(super) struct OutboxWriter {
    half: Box<dyn WriteHalf>,
    control: Vec<u8>,
    /// How many bytes of `control` are written.
    control_sent: usize,
    data: VecDeque<Segment>,
    /// Whether our direction of the connection has ended.
    finished: bool,
}

impl OutboxWriter {
    pub(super) fn new(half: Box<dyn WriteHalf>) -> Self {
        Self {
            half,
            control: Vec::new(),
            control_sent: 0,
            data: queue::segments(),
            finished: false,
        }
    }

    /// Takes over all queued frames. Everything taken before must be written.
    pub(super) fn load(&mut self, queue: &mut Queue) {
        debug_assert_eq!(self.pending(), 0);
        self.control.clear();
        self.control_sent = 0;
        queue.swap(&mut self.control, &mut self.data);
    }

    /// Frees the memory that the writer does not need. Everything must be written.
    pub(super) fn give_back(&mut self) {
        debug_assert_eq!(self.pending(), 0);
        self.control_sent = 0;
        self.control.clear();
        self.control.give_back(IDLE_CONTROL);
        queue::give_back(&mut self.data);
    }

    /// Returns how many bytes were taken over and are not yet written.
    pub(super) fn pending(&self) -> usize {
        let data: usize = self.data.iter().map(Segment::len).sum();
        self.control.len() - self.control_sent + data
    }

    /// Writes the frames that were taken over. Returns `false` if the transport is
    /// full.
    pub(super) fn write(&mut self, wait: Wait) -> io::Result<bool> {
        fits(self.write_slices(wait), wait)
    }

    /// Ends our direction. Returns `false` if the transport is full.
    pub(super) fn finish(&mut self, wait: Wait) -> io::Result<bool> {
        self.finished = fits(self.half.finish(wait), wait)?;
        Ok(self.finished)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    fn write_slices(&mut self, wait: Wait) -> io::Result<()> {
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            let control = &self.control[self.control_sent..];
            let data = self.data.iter().map(Segment::data);
            for bytes in std::iter::once(control).chain(data) {
                if !bytes.is_empty() && count < SLICES {
                    slices[count] = IoSlice::new(bytes);
                    count += 1;
                }
            }
            if count == 0 {
                self.data.clear();
                return self.half.flush(wait);
            }
            match self.half.write(&slices[..count], wait) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        let control = written.min(self.control.len() - self.control_sent);
        self.control_sent += control;
        written -= control;
        while let Some(front) = self.data.front_mut() {
            let piece = written.min(front.len());
            front.consume(piece);
            written -= piece;
            if !front.is_empty() {
                break;
            }
            self.data.pop_front();
        }
    }
}

/// Maps the error of a transport that would have to wait to `false`.
fn fits(outcome: io::Result<()>, wait: Wait) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && wait == Wait::Never => Ok(false),
        Err(error) => Err(error),
    }
}
