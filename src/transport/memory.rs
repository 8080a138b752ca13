//! Two connected ends inside one process. Their buffers are bounded, so that they
//! block as sockets do.

use super::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf};
use crate::{
    sync::{Condvar, Mutex, MutexGuard},
    time::deadline,
};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

/// Creates a connected pair. Each direction buffers up to `capacity` bytes, at
/// least one.
///
/// # Examples
///
/// ```
/// use wirenet::transport::{Transport, Wait, memory};
/// use std::io::IoSlice;
///
/// let (a, b) = memory::pair(16);
/// let (mut a, mut b) = (a.split()?, b.split()?);
/// a.writer.write(&[IoSlice::new(b"hello")], Wait::Block)?;
/// let mut buf = [0; 8];
/// assert_eq!(b.reader.read(&mut buf)?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "duplex")]
#[doc(alias = "pipe")]
pub fn pair(capacity: usize) -> (End, End) {
    let one = Arc::new(Pipe::new(capacity.max(1)));
    let two = Arc::new(Pipe::new(capacity.max(1)));
    let end = |incoming: &Arc<Pipe>, outgoing: &Arc<Pipe>| End {
        incoming: Arc::clone(incoming),
        outgoing: Arc::clone(outgoing),
    };
    (end(&one, &two), end(&two, &one))
}

/// One end of a [`pair`].
#[derive(Debug)]
pub struct End {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

impl Transport for End {
    fn split(self) -> io::Result<Halves> {
        Ok(Halves {
            reader: Box::new(PipeReader {
                pipe: Arc::clone(&self.incoming),
                timeout: None,
            }),
            writer: Box::new(PipeWriter {
                pipe: Arc::clone(&self.outgoing),
                timeout: None,
            }),
            closer: Arc::new(self),
            local_addr: None,
            peer_addr: None,
        })
    }
}

impl Closer for End {
    fn shutdown(&self) {
        self.incoming.close();
        self.outgoing.close();
    }
}

#[derive(Debug)]
struct Pipe {
    capacity: usize,
    state: Mutex<PipeState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    closed: bool,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits until `ready` returns true, or until the timeout.
    fn wait(
        &self,
        timeout: Option<Duration>,
        ready: impl Fn(&PipeState) -> bool,
    ) -> io::Result<MutexGuard<'_, PipeState>> {
        let deadline = timeout.map(deadline);
        let mut state = self.state.lock();
        while !ready(&state) {
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() && !ready(&state) {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                }
            }
        }
        Ok(state)
    }
}

#[derive(Debug)]
struct PipeReader {
    pipe: Arc<Pipe>,
    timeout: Option<Duration>,
}

impl ReadHalf for PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let ready = |state: &PipeState| state.closed || !state.bytes.is_empty();
        let mut state = self.pipe.wait(self.timeout, ready)?;
        let count = io::Read::read(&mut state.bytes, buf)?;
        drop(state);
        self.pipe.changed.notify_all();
        Ok(count)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }
}

#[derive(Debug)]
struct PipeWriter {
    pipe: Arc<Pipe>,
    timeout: Option<Duration>,
}

impl WriteHalf for PipeWriter {
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        let capacity = self.pipe.capacity;
        let timeout = match wait {
            Wait::Block => self.timeout,
            Wait::Never => Some(Duration::ZERO),
        };
        let ready = |state: &PipeState| state.closed || state.bytes.len() < capacity;
        let mut state = self.pipe.wait(timeout, ready)?;
        if state.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let before = state.bytes.len();
        for slice in slices {
            let room = capacity - state.bytes.len();
            state.bytes.extend(&slice[..slice.len().min(room)]);
        }
        let count = state.bytes.len() - before;
        drop(state);
        self.pipe.changed.notify_all();
        Ok(count)
    }

    fn finish(&mut self, _wait: Wait) -> io::Result<()> {
        self.pipe.close();
        Ok(())
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }
}
