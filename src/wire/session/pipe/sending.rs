//! From the socket to the stream.

use super::shared::{BUFFER, Failure, READING_SOCKET, Shared, WRITING_STREAM};
use crate::{
    spawn::spawn,
    sync::{Receiver, atomic::Ordering, bounded},
    user_code::caught,
    wire::session::stream::Stream,
    yamux::Wake,
};
use socket2::Socket;
use std::{
    io::{self, Read, Write},
    sync::Arc,
};

/// What the sending thread has done.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) bytes: u64,
    pub(super) failure: Option<Failure>,
}

/// The direction from the socket to the stream.
pub(super) struct Sending {
    pub(super) socket: Arc<Socket>,
    pub(super) stream: Stream,
    pub(super) shared: Arc<Shared>,
    pub(super) is_tcp: bool,
}

impl Sending {
    /// Starts the sending thread. It sends its outcome, and sets the alarm.
    pub(super) fn start(self) -> io::Result<Receiver<Sent>> {
        let (sender, receiver) = bounded(1);
        let shared = Arc::clone(&self.shared);
        let thread = self.stream.inner.raw.thread("pipe");
        spawn(thread, move || {
            let sent = caught(|| {
                // When this returns, the thread holds neither the socket nor the stream.
                let mut sending = self;
                let mut bytes = 0;
                let failure = sending.run(&mut bytes).err();
                Sent { bytes, failure }
            });
            let sent = sent.unwrap_or_else(|panicked| Sent {
                bytes: 0,
                failure: Some(Failure::of("a thread failed")(io::Error::other(panicked))),
            });
            // Fails only if nobody waits for it.
            let _ = sender.try_send(sent);
            shared.wake();
        })?;
        Ok(receiver)
    }

    /// Copies until the data ends, and adds up the bytes in `sent`.
    fn run(&mut self, sent: &mut u64) -> Result<(), Failure> {
        let mut buf = vec![0; BUFFER];
        loop {
            let count = match (&*self.socket).read(&mut buf) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::of(READING_SOCKET)(error)),
            };
            let written = self.stream.write_all(&buf[..count]);
            written.map_err(Failure::of(WRITING_STREAM))?;
            *sent += count as u64;
        }
        if self.was_reset() {
            let reset = io::ErrorKind::ConnectionReset;
            return Err(Failure::of(READING_SOCKET)(reset.into()));
        }
        // Before `finish`, after which the peer may close the stream. If `finish` fails, so
        // does the pipe.
        self.shared.sent_all.store(true, Ordering::SeqCst);
        let finished = self.stream.finish();
        finished.map_err(Failure::of("cannot end the message on the stream"))
    }

    /// Returns whether what looks like the end of the data is a reset. The system reports a
    /// reset only once, perhaps to the other thread. But then the socket no longer has a peer
    /// address, although it has not been shut down for writing. Whether it has been is checked
    /// last, because the end of the other direction removes the address, too.
    fn was_reset(&self) -> bool {
        self.is_tcp
            && self.socket.peer_addr().is_err()
            && !self.shared.received_all.load(Ordering::SeqCst)
    }
}
