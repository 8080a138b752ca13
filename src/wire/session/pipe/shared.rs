//! What the two threads of a pipe share, and why a pipe fails.

use super::alarm::Alarm;
use crate::{
    sync::atomic::AtomicBool,
    yamux::{self, Wake},
};
use std::{io, sync::Arc};

/// The size of the buffer of a direction, in bytes: one frame's worth of data.
pub(super) const BUFFER: usize = 64 << 10;

/// How much a pipe has copied; returned by [`Stream::pipe_with`](crate::Stream::pipe_with).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piped {
    /// The bytes that were read from the socket and sent on the stream.
    pub sent: u64,
    /// The bytes that were received on the stream and written to the socket.
    pub received: u64,
}

/// What both threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) alarm: Alarm,
    /// Whether the end of the sending direction has been sent, or is about to be.
    pub(super) sent_all: AtomicBool,
    /// Whether the end of the receiving direction has been written, or is about to be.
    pub(super) received_all: AtomicBool,
}

impl Shared {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            alarm: Alarm::new()?,
            sent_all: AtomicBool::new(false),
            received_all: AtomicBool::new(false),
        })
    }

    /// Makes the stream set the alarm.
    pub(super) fn wake_on_input(
        self: &Arc<Self>,
        stream: &yamux::Stream,
    ) -> Result<(), yamux::Error> {
        let waker: Arc<dyn Wake> = Arc::clone(self) as _;
        match stream.set_waker(Arc::downgrade(&waker)) {
            true => Ok(()),
            // Another pipe has used the stream and closed it.
            false => Err(yamux::Error::StreamClosed(yamux::AboutStream::new(
                stream.id(),
            ))),
        }
    }
}

impl Wake for Shared {
    fn wake(&self) {
        self.alarm.wake();
    }
}

/// Why a pipe has ended early.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub(super) struct Failure {
    /// What failed, and on which side.
    what: &'static str,
    #[source]
    error: io::Error,
}

impl Failure {
    /// Returns a function that turns an error into a failure.
    pub(super) fn of(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { what, error }
    }

    /// Returns whether this is what failed.
    pub(super) fn is(&self, what: &str) -> bool {
        self.what == what
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.error.kind(), failure)
    }
}

// The values of `Failure::what` that the code compares.
pub(super) const WRITING_STREAM: &str = "cannot write to the stream";
pub(super) const READING_SOCKET: &str = "cannot read from the socket";
pub(super) const READING_STREAM: &str = "cannot read from the stream";
pub(super) const SOCKET_FAILED: &str = "the socket failed";
