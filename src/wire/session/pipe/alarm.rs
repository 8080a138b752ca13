//! Wakes a thread that waits in `poll`.

use crate::yamux::{Armed, Wake};
use std::{io, os::fd::BorrowedFd};

/// Wakes one thread that waits in `poll` for a descriptor and for something else.
///
/// The thread [arms](Self::arm) the alarm, checks whether what it waits for has happened,
/// and only then polls [`fd`](Self::fd).
#[derive(Debug)]
pub(super) struct Alarm {
    armed: Armed,
    signal: signal::Signal,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            armed: Armed::default(),
            signal: signal::Signal::new()?,
        })
    }

    /// Makes the next call of [`wake`](Wake::wake) end a poll.
    pub(super) fn arm(&self) {
        self.armed.arm();
    }

    /// Returns the descriptor to poll for input.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.signal.fd()
    }

    /// Lets the next poll wait again, after one that did not.
    pub(super) fn clear(&self) {
        self.signal.clear();
    }
}

impl Wake for Alarm {
    fn wake(&self) {
        if self.armed.take() {
            self.signal.set();
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod signal {
    use rustix::event::{EventfdFlags, eventfd};
    use std::{
        io,
        os::fd::{AsFd, BorrowedFd, OwnedFd},
    };

    #[derive(Debug)]
    pub(super) struct Signal(OwnedFd);

    impl Signal {
        pub(super) fn new() -> io::Result<Self> {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            Ok(Self(eventfd(0, flags)?))
        }

        pub(super) fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        pub(super) fn set(&self) {
            // Fails only if the counter is full: the signal is set.
            let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
        }

        pub(super) fn clear(&self) {
            // Fails only if the signal is not set.
            let _ = rustix::io::read(&self.0, &mut [0; 8]);
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod signal {
    use std::{
        io::{self, Read, Write},
        os::{
            fd::{AsFd, BorrowedFd},
            unix::net::UnixStream,
        },
    };

    #[derive(Debug)]
    pub(super) struct Signal {
        receiver: UnixStream,
        sender: UnixStream,
    }

    impl Signal {
        pub(super) fn new() -> io::Result<Self> {
            let (receiver, sender) = UnixStream::pair()?;
            receiver.set_nonblocking(true)?;
            sender.set_nonblocking(true)?;
            Ok(Self { receiver, sender })
        }

        pub(super) fn fd(&self) -> BorrowedFd<'_> {
            self.receiver.as_fd()
        }

        pub(super) fn set(&self) {
            // Fails only if the buffer is full: the signal is set.
            let _ = (&self.sender).write(&[1]);
        }

        pub(super) fn clear(&self) {
            // Each signal is one byte, and few are set before they are cleared. Fails only
            // if none is set.
            let _ = (&self.receiver).read(&mut [0; 64]);
        }
    }
}
