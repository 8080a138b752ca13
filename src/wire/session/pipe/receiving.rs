//! From the stream to the socket, on the thread that called.

use super::{
    sending::Sent,
    shared::{
        BUFFER, Failure, Piped, READING_SOCKET, READING_STREAM, SOCKET_FAILED, Shared,
        WRITING_STREAM,
    },
};
use crate::{
    sync::{Receiver, SendMutexGuard, atomic::Ordering},
    transport::{Wait, send},
    wire::session::{
        polling::{Input, try_read},
        receiving::IncomingMessages,
        stream_inner::StreamInner,
    },
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use socket2::Socket;
use std::{
    io::{self, IoSlice},
    net::Shutdown,
    ops::Range,
    os::fd::AsFd,
    sync::Arc,
};

/// How a pipe has ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both directions have ended, or the socket's peer has closed the socket.
    InOrder,
    /// The stream's peer has closed the stream, after its data.
    StreamGone,
}

/// Where the calling thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Inside the data.
    Copying,
    /// After the end of the data.
    Ended,
    /// After the end of the stream.
    Gone,
}

/// The direction from the stream to the socket, and the end of the pipe.
pub(super) struct Receiving<'a> {
    socket: &'a Socket,
    stream: &'a StreamInner,
    recv: SendMutexGuard<'a, IncomingMessages>,
    pub(super) shared: Arc<Shared>,
    /// Receives the outcome of the sending thread.
    sending: Receiver<Sent>,
    /// The outcome, once it was received.
    sent: Option<Sent>,
    buf: Vec<u8>,
    /// The part of `buf` that is still to be written to the socket.
    pending: Range<usize>,
    received: u64,
    position: Position,
    /// Whether both directions of the socket have been shut down, by either side. From then
    /// on, `poll` returns at once.
    hung_up: bool,
}

impl<'a> Receiving<'a> {
    pub(super) fn new(
        socket: &'a Socket,
        stream: &'a StreamInner,
        recv: SendMutexGuard<'a, IncomingMessages>,
        shared: Arc<Shared>,
        sending: Receiver<Sent>,
    ) -> Self {
        Self {
            socket,
            stream,
            recv,
            shared,
            sending,
            sent: None,
            buf: vec![0; BUFFER],
            pending: 0..0,
            received: 0,
            position: Position::Copying,
            hung_up: false,
        }
    }

    /// Copies until the pipe has ended.
    pub(super) fn run(&mut self) -> Result<End, Failure> {
        loop {
            if let Some(end) = self.proceed()? {
                return Ok(end);
            }
            // Any event from here on ends the wait.
            self.shared.alarm.arm();
            if let Some(end) = self.proceed()? {
                return Ok(end);
            }
            self.wait()?;
        }
    }

    /// Does all that can be done without waiting. Returns whether the pipe has ended.
    fn proceed(&mut self) -> Result<Option<End>, Failure> {
        loop {
            // Fails as long as the sending thread runs.
            if let Ok(mut sent) = self.sending.try_recv() {
                let failure = sent.failure.take();
                self.sent = Some(sent);
                failure.map_or(Ok(()), Err)?;
            }
            let moved = match self.position {
                Position::Copying if self.pending.is_empty() => self.read()?,
                Position::Copying => self.write()?,
                Position::Ended => self.read_on()?,
                Position::Gone => false,
            };
            let has_sent = self.sent.is_some();
            match self.position {
                // No peer would receive what is still to come.
                Position::Copying if has_sent && self.hung_up && !moved => {
                    return Ok(Some(End::InOrder));
                }
                Position::Ended | Position::Gone if has_sent => return Ok(Some(End::InOrder)),
                Position::Gone if !self.shared.sent_all.load(Ordering::SeqCst) => {
                    return Ok(Some(End::StreamGone));
                }
                Position::Copying | Position::Ended | Position::Gone => {}
            }
            if !moved {
                return Ok(None);
            }
        }
    }

    fn read(&mut self) -> Result<bool, Failure> {
        let input = try_read(self.stream, &mut self.recv, &mut self.buf);
        match input.map_err(Failure::of(READING_STREAM))? {
            Input::Bytes(count) => self.pending = 0..count,
            Input::End => {
                self.shared.received_all.store(true, Ordering::SeqCst);
                let ended = self.socket.shutdown(Shutdown::Write);
                ended.map_err(|error| match error.kind() {
                    // It was connected, so its peer has reset it.
                    io::ErrorKind::NotConnected => socket_was_reset(),
                    _ => Failure::of("cannot end the socket's data")(error),
                })?;
                self.position = Position::Ended;
            }
            Input::Nothing => return Ok(false),
        }
        Ok(true)
    }

    fn write(&mut self) -> Result<bool, Failure> {
        let pending = IoSlice::new(&self.buf[self.pending.clone()]);
        match send(self.socket, &[pending], Wait::Never) {
            Ok(count) => {
                self.pending.start += count;
                self.received += count as u64;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match self.stream.raw.reset_cause() {
                    Some(cause) => {
                        let cause = cause.on_stream(&self.stream.name);
                        Err(Failure::of(READING_STREAM)(cause.into()))
                    }
                    None => Ok(false),
                }
            }
            Err(error) => Err(Failure::of("cannot write to the socket")(error)),
        }
    }

    /// Waits for the end of the stream, after that of the data.
    fn read_on(&mut self) -> Result<bool, Failure> {
        let input = try_read(self.stream, &mut self.recv, &mut [0; 1]);
        match input.map_err(Failure::of(READING_STREAM))? {
            Input::Bytes(_) => {
                let text = "the peer sent another message after the end of the data";
                let another = io::Error::new(io::ErrorKind::InvalidData, text);
                Err(Failure::of(READING_STREAM)(another))
            }
            Input::End => {
                // An empty message is ignored.
                if !self.stream.was_finished() {
                    self.position = Position::Gone;
                }
                Ok(true)
            }
            Input::Nothing => Ok(false),
        }
    }

    /// Waits until the alarm is set, or the socket has failed, or is ready for bytes that are
    /// pending.
    fn wait(&mut self) -> Result<(), Failure> {
        let wanted = match self.pending.is_empty() {
            true => PollFlags::empty(),
            false => PollFlags::OUT,
        };
        let alarm = self.shared.alarm.fd();
        let mut both = [
            PollFd::from_borrowed_fd(alarm, PollFlags::IN),
            PollFd::from_borrowed_fd(self.socket.as_fd(), wanted),
        ];
        let fds = match self.hung_up {
            true => &mut both[..1],
            false => &mut both[..],
        };
        loop {
            match poll(fds, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(Failure::of("cannot wait")(error.into())),
            }
        }
        let [alarm, socket] = both.map(|fd| fd.revents());
        if !alarm.is_empty() {
            self.shared.alarm.clear();
        }
        if socket.intersects(PollFlags::ERR | PollFlags::NVAL) {
            return Err(socket_was_reset());
        }
        self.hung_up |= socket.contains(PollFlags::HUP);
        Ok(())
    }

    /// Waits for the end of the sending thread, and returns the result of the pipe.
    pub(super) fn result(self, ended: Result<End, Failure>) -> Result<Piped, Failure> {
        // The sending thread sends its outcome whatever happens.
        let outcome = self.sent.or_else(|| self.sending.recv().ok());
        let Sent { bytes, failure } = outcome.unwrap_or_default();
        match (ended, failure) {
            // Bytes that were read from the socket are lost.
            (Ok(End::StreamGone), Some(failure)) if failure.is(WRITING_STREAM) => {
                let text = "the peer has closed the stream";
                let gone = io::Error::new(io::ErrorKind::BrokenPipe, text);
                Err(Failure::of(WRITING_STREAM)(gone))
            }
            (Ok(_), _) => Ok(Piped {
                sent: bytes,
                received: self.received,
            }),
            (Err(found), failure) if found.is(SOCKET_FAILED) => {
                // The system has reported the cause to one of the threads, or still will.
                match (failure, self.socket.take_error()) {
                    (Some(failure), _) if failure.is(READING_SOCKET) => Err(failure),
                    // EPIPE is the error of a reset after the end of the peer's data.
                    (_, Ok(Some(error))) if error.kind() != io::ErrorKind::BrokenPipe => {
                        Err(Failure::of(SOCKET_FAILED)(error))
                    }
                    _ => Err(found),
                }
            }
            (Err(found), _) => Err(found),
        }
    }
}

/// Returns the failure of a socket that is no longer connected. [`Receiving::result`] finds
/// the cause.
fn socket_was_reset() -> Failure {
    Failure::of(SOCKET_FAILED)(io::ErrorKind::ConnectionReset.into())
}
