//! Transports that are assembled from parts, to observe how they are used.

use crossbeam_channel::Sender;
use std::{
    convert::Infallible,
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use wirenet::transport::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf};

/// A transport of these parts.
pub struct Assembled(pub Halves);

impl Transport for Assembled {
    fn split(self) -> io::Result<Halves> {
        Ok(self.0)
    }
}

/// A writer that fails once `refused` is set.
#[derive(Debug)]
pub struct Refusable {
    pub refused: Arc<AtomicBool>,
    pub half: Box<dyn WriteHalf>,
}

impl WriteHalf for Refusable {
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        if self.refused.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.half.write(slices, wait)
    }

    fn finish(&mut self, wait: Wait) -> io::Result<()> {
        self.half.finish(wait)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.half.set_timeout(timeout)
    }
}

/// A writer that cannot end its direction.
#[derive(Debug)]
pub struct Endless(pub Box<dyn WriteHalf>);

impl WriteHalf for Endless {
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        self.0.write(slices, wait)
    }

    fn can_finish(&self) -> bool {
        false
    }

    fn finish(&mut self, wait: Wait) -> io::Result<()> {
        self.0.flush(wait)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_timeout(timeout)
    }
}

/// A reader that reports its timeouts.
#[derive(Debug)]
pub struct Reporting {
    pub half: Box<dyn ReadHalf>,
    pub timeouts: Sender<Option<Duration>>,
}

impl ReadHalf for Reporting {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.half.read(buf)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        // The test may no longer receive.
        let _ = self.timeouts.try_send(timeout);
        self.half.set_timeout(timeout)
    }
}

/// A part of a transport, and a handle that stands for its descriptor.
#[derive(Debug)]
pub struct Held<T> {
    part: T,
    _descriptor: Sender<Infallible>,
}

impl<T> Held<T> {
    pub fn new(part: T, descriptor: &Sender<Infallible>) -> Self {
        Self {
            part,
            _descriptor: descriptor.clone(),
        }
    }
}

impl ReadHalf for Held<Box<dyn ReadHalf>> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.part.read(buf)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.part.set_timeout(timeout)
    }
}

impl WriteHalf for Held<Box<dyn WriteHalf>> {
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        self.part.write(slices, wait)
    }

    fn finish(&mut self, wait: Wait) -> io::Result<()> {
        self.part.finish(wait)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.part.set_timeout(timeout)
    }
}

impl Closer for Held<Arc<dyn Closer>> {
    fn shutdown(&self) {
        self.part.shutdown();
    }
}
