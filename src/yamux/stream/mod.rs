//! A stream as its user has it.

use super::{
    core::{Core, RecvHalf, SendHalf},
    error::Error,
    frame::{Flags, Header, StreamId},
    outbox::Pushed,
    segment::{MAX_PAYLOAD, Segment},
    shared::{Handle, Shared, sending::wait_for},
    state::{RecvState, ResetBy, SendState},
    table::Gone,
};
use crate::{
    sync::{Mutex, MutexGuard},
    time::deadline,
    transport::Wait,
};
use std::{
    fmt,
    io::{self, Read, Write},
    net::Shutdown,
    sync::Arc,
    time::{Duration, Instant},
};

/// An ordered, two-way stream of bytes inside a [`Connection`](super::Connection).
///
/// `Read` and `Write` are there for `&Stream` too, so that one thread may read
/// while another writes; [`try_clone`](Self::try_clone) gives a second handle.
/// A write waits while the peer's window is used up, a read while nothing has
/// come; both end with an error when the stream is reset or the connection
/// ends. What had come before that is read first.
///
/// Dropping the last handle closes the stream as it does a `TcpStream`: the
/// peer sees its end. What the peer was sending then is thrown away; if it
/// goes on for more than a window, the stream is reset.
#[derive(Clone)]
pub struct Stream {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    handle: Arc<Handle>,
    timeouts: Mutex<Timeouts>,
}

#[derive(Clone, Copy, Default)]
struct Timeouts {
    read: Option<Duration>,
    write: Option<Duration>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(core: Arc<Core>, handle: Arc<Handle>) -> Self {
        Self {
            inner: Arc::new(Inner {
                core,
                handle,
                timeouts: Mutex::default(),
            }),
        }
    }

    /// The stream's number in its connection.
    pub fn id(&self) -> StreamId {
        self.inner.core.id
    }

    /// A second handle to the same stream.
    ///
    /// # Errors
    ///
    /// None today; a `Result` as [`std::net::TcpStream::try_clone`] has it.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// How long a read waits; `None`, the default, is for ever. Holds for all
    /// handles of the stream, from their next read on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.timeouts.lock().read = not_zero(timeout)?;
        Ok(())
    }

    /// How long a write waits; `None`, the default, is for as long as the
    /// connection lives. Holds for all handles of the stream, from their next
    /// write on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a timeout of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.timeouts.lock().write = not_zero(timeout)?;
        Ok(())
    }

    /// Ends one direction or both, for all handles of the stream.
    ///
    /// `Write` sends a FIN: the peer reads what was written before, and then
    /// the end; reading goes on. `Read` throws away what comes: reads fail
    /// from now on. Ending a direction again does nothing. Does not block.
    ///
    /// # Errors
    ///
    /// None today: a stream that has ended otherwise needs no shutdown.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.inner.stop_receiving();
        }
        if how != Shutdown::Read {
            self.inner.finish_sending();
        }
        Ok(())
    }

    /// Ends both directions; see [`shutdown`](Self::shutdown). Has no result that a
    /// caller could ignore.
    pub(crate) fn end(&self) {
        self.inner.stop_receiving();
        self.inner.finish_sending();
    }

    /// Ends both directions at once: the peer gets an error, and what it has
    /// not read yet may be lost. Does not block.
    pub fn reset(&self) {
        self.inner.handle.shared.reset(&self.inner.core);
    }

    /// Ends both directions at once, so that the peer takes what it got for
    /// truncated: by a reset, unless the connection
    /// [avoids them](super::Connection::avoid_resets); then by `cut_short`, data
    /// that promises more, and a FIN. Whoever writes leaves credit for `cut_short`.
    /// Does not block.
    pub(crate) fn break_off(&self, cut_short: &[u8]) {
        let shared = &self.inner.handle.shared;
        shared.break_off(&self.inner.core, cut_short);
    }

    /// Whether both directions have ended.
    pub fn is_closed(&self) -> bool {
        self.inner.core.is_gone()
    }

    /// Takes the oldest bytes out of the inbox, without copying; waits for
    /// some. `None` at the stream's end.
    pub(crate) fn read_segment(&self) -> Result<Option<Segment>, Error> {
        let deadline = self.inner.timeouts.lock().read.map(deadline);
        self.inner.receive(deadline, |recv| recv.inbox.pop())
    }

    /// The same, by a given deadline.
    pub(crate) fn read_segment_by(&self, deadline: Instant) -> Result<Option<Segment>, Error> {
        self.inner.receive(Some(deadline), |recv| recv.inbox.pop())
    }

    /// The same, without waiting: `None` when there is nothing yet.
    pub(crate) fn try_read_segment(&self) -> Option<Segment> {
        let mut recv = self.inner.core.recv.lock();
        let segment = recv.inbox.pop()?;
        self.inner.give_credit(recv, segment.len());
        Some(segment)
    }

    /// Has a write that waits for credit return once the peer has sent
    /// something, or no more.
    pub(crate) fn await_input(&self, awaited: bool) {
        self.inner.core.await_input(awaited);
    }

    /// Whether the peer has sent something since that was awaited, or since
    /// the last call.
    pub(crate) fn take_input(&self) -> bool {
        self.inner.core.take_input()
    }

    /// Sends one Data frame. `plan` is told the credit and says how many bytes
    /// the frame is to carry, 0 to wait for more credit; `fill` appends them.
    /// `Ok(0)`: input has come that was [awaited](Self::await_input).
    pub(crate) fn send_frame(
        &self,
        plan: impl Fn(usize) -> usize,
        fill: impl FnMut(&mut Segment, usize),
    ) -> Result<usize, Error> {
        let deadline = self.inner.timeouts.lock().write.map(deadline);
        self.send_frame_by(deadline, plan, fill)
    }

    fn send_frame_by(
        &self,
        deadline: Option<Instant>,
        plan: impl Fn(usize) -> usize,
        fill: impl FnMut(&mut Segment, usize),
    ) -> Result<usize, Error> {
        let sent = self.inner.send_frame(deadline, plan, fill);
        if sent.is_err() {
            // The room that this thread may have been let into is for others.
            self.inner.handle.shared.outbox.pass_on();
        }
        sent
    }

    /// Sends `bytes` by a given deadline, in as few frames as they need.
    pub(crate) fn send_all_by(&self, mut bytes: &[u8], deadline: Instant) -> Result<(), Error> {
        while !bytes.is_empty() {
            let sent = self.send_some(bytes, Some(deadline))?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Sends one frame with as much of `bytes` as there is credit for.
    fn send_some(&self, bytes: &[u8], deadline: Option<Instant>) -> Result<usize, Error> {
        let limit = bytes.len().min(MAX_PAYLOAD);
        self.send_frame_by(
            deadline,
            |credit| credit.min(limit),
            |segment, count| segment.put(&bytes[..count]),
        )
    }

    /// Queues `bytes`, which fit one frame, to leave with what is sent next;
    /// `false` if that would need waiting.
    pub(crate) fn try_queue(&self, bytes: &[u8]) -> bool {
        let core = &self.inner.core;
        let mut send = core.send.lock();
        if send.state != SendState::Open || (send.window.credit() as usize) < bytes.len() {
            return false;
        }
        let header = Header::data(core.id, bytes.len() as u32);
        let outbox = &self.inner.handle.shared.outbox;
        let queued = outbox.try_queue(header, bytes.len(), |segment| segment.put(bytes));
        if queued {
            send.window.take(bytes.len() as u32);
        }
        queued
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.handle.shared
    }

    /// Whether the peer has ended its direction, and all of it was read.
    pub(crate) fn has_ended(&self) -> bool {
        let recv = self.inner.core.recv.lock();
        recv.inbox.is_empty() && recv.state.is_done()
    }

    /// Tells the peer that the stream is accepted; leaves with what is sent
    /// next.
    pub(crate) fn acknowledge(&self) {
        if self.inner.core.is_gone() {
            return;
        }
        let header = Header::window_update(self.id(), Flags::ACK, 0);
        self.inner.handle.shared.outbox.push_owed(header);
    }

    /// Sends what was queued before.
    pub(crate) fn flush_queued(&self) {
        self.inner.handle.shared.flush(Wait::Never);
    }
}

impl Inner {
    /// Waits until `take` finds something in the inbox, and gives the peer
    /// credit for it; `None` at the stream's end.
    fn receive<T: Received>(
        &self,
        deadline: Option<Instant>,
        mut take: impl FnMut(&mut RecvHalf) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut recv = self.core.recv.lock();
        loop {
            if let Some(taken) = take(&mut recv) {
                self.give_credit(recv, taken.count());
                return Ok(Some(taken));
            }
            match recv.state {
                _ if recv.stopped => return Err(Error::StreamClosed),
                RecvState::Open | RecvState::Stopped => {}
                RecvState::Finished => return Ok(None),
                RecvState::Reset(by) => {
                    drop(recv);
                    return Err(self.reset_error(by));
                }
            }
            match deadline {
                None => self.core.readable.wait(&mut recv),
                Some(deadline) => {
                    let timed_out = self
                        .core
                        .readable
                        .wait_until(&mut recv, deadline)
                        .timed_out();
                    if timed_out && recv.waits() {
                        return Err(Error::TimedOut);
                    }
                }
            }
        }
    }

    fn give_credit(&self, mut recv: MutexGuard<'_, RecvHalf>, count: usize) {
        let shared = &self.handle.shared;
        let update = recv.consumed(count, || shared.tuning());
        drop(recv);
        if let Some(delta) = update {
            shared.update_window(self.core.id, delta);
        }
    }

    fn send_frame(
        &self,
        deadline: Option<Instant>,
        plan: impl Fn(usize) -> usize,
        mut fill: impl FnMut(&mut Segment, usize),
    ) -> Result<usize, Error> {
        let shared = &self.handle.shared;
        loop {
            let mut send = self.core.send.lock();
            self.check_sending(&send)?;
            let count = plan(send.window.credit() as usize);
            if count == 0 && self.core.input_has_arrived() {
                shared.outbox.pass_on();
                return Ok(0);
            }
            if count == 0 {
                shared.outbox.pass_on();
                self.wait_credit(&mut send, deadline, &plan)?;
                continue;
            }
            let pushed = self.push_frame(&mut send, count, &mut fill);
            drop(send);
            if self.after_push(pushed, wait_for(deadline)) {
                return Ok(count);
            }
            shared.wait_room(deadline)?;
        }
    }

    /// Queues a frame within the credit. Under the lock of the sending half, so
    /// that a FIN comes after.
    fn push_frame(
        &self,
        send: &mut SendHalf,
        count: usize,
        fill: impl FnOnce(&mut Segment, usize),
    ) -> Pushed {
        let header = Header::data(self.core.id, count as u32);
        let outbox = &self.handle.shared.outbox;
        let pushed = outbox.try_push(header, count, |segment| fill(segment, count));
        if !matches!(pushed, Pushed::Not) {
            send.window.take(count as u32);
        }
        pushed
    }

    /// Writes, if that fell to this thread; says whether the frame was queued.
    fn after_push(&self, pushed: Pushed, wait: Wait) -> bool {
        let shared = &self.handle.shared;
        match pushed {
            Pushed::Not => return false,
            Pushed::Queued => {}
            Pushed::Relieve => shared.flush(wait),
            Pushed::Role(writer) => shared.drain(writer, wait),
        }
        true
    }

    fn wait_credit(
        &self,
        send: &mut MutexGuard<'_, SendHalf>,
        deadline: Option<Instant>,
        plan: impl Fn(usize) -> usize,
    ) -> Result<(), Error> {
        while plan(send.window.credit() as usize) == 0 && !self.core.input_has_arrived() {
            self.check_sending(send)?;
            match deadline {
                None => self.core.writable.wait(send),
                Some(deadline) => {
                    if self.core.writable.wait_until(send, deadline).timed_out() {
                        return Err(Error::TimedOut);
                    }
                }
            }
        }
        Ok(())
    }

    fn check_sending(&self, send: &SendHalf) -> Result<(), Error> {
        match send.state {
            SendState::Open => Ok(()),
            SendState::Finished => Err(Error::StreamClosed),
            SendState::Reset(by) => Err(self.reset_error(by)),
        }
    }

    fn reset_error(&self, by: ResetBy) -> Error {
        match by {
            ResetBy::Us => Error::Reset,
            ResetBy::Peer => Error::ResetByPeer,
            ResetBy::Connection => self.handle.shared.end_error(),
        }
    }

    fn finish_sending(&self) {
        let shared = &self.handle.shared;
        let mut send = self.core.send.lock();
        let first = send.state.finish();
        if first {
            let fin = Header::window_update(self.core.id, Flags::FIN, 0);
            shared.outbox.push(fin);
        }
        drop(send);
        if first {
            // Another thread's write fails rather than wait for credit.
            self.core.writable.notify_all();
            if self.core.send_done() {
                shared.forget(&self.core, Gone::InOrder);
            }
            shared.flush(Wait::Never);
            self.retire_if_done();
        }
    }

    fn stop_receiving(&self) {
        let shared = &self.handle.shared;
        let update = self.core.recv.lock().stop(|| shared.tuning());
        self.core.readable.notify_all();
        if let Some(delta) = update {
            shared.update_window(self.core.id, delta);
        }
        self.retire_if_done();
    }

    /// Whoever wants neither to send nor to receive uses the stream no more.
    fn retire_if_done(&self) {
        let sending = self.core.send.lock().state == SendState::Open;
        let receiving = !self.core.recv.lock().stopped;
        if !sending && !receiving {
            self.handle.shared.retire(&self.core);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.core.relay().is_some() {
            // It is not ours any more.
            return;
        }
        self.finish_sending();
        self.stop_receiving();
    }
}

/// What was taken out of an inbox.
trait Received {
    fn count(&self) -> usize;
}

impl Received for usize {
    fn count(&self) -> usize {
        *self
    }
}

impl Received for Segment {
    fn count(&self) -> usize {
        self.len()
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let deadline = self.inner.timeouts.lock().read.map(deadline);
        let read = self.inner.receive(deadline, |recv| {
            (!recv.inbox.is_empty()).then(|| recv.inbox.read(buf))
        })?;
        Ok(read.unwrap_or(0))
    }
}

impl Write for &Stream {
    /// Takes as much as the peer's window has room for, up to 64 KiB, and
    /// sends it at once.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let deadline = self.inner.timeouts.lock().write.map(deadline);
        Ok(self.send_some(buf, deadline)?)
    }

    /// Does nothing: what was written is on its way.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn not_zero(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    if timeout == Some(Duration::ZERO) {
        let message = "a timeout of zero: use None to wait for ever";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(timeout)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::{
        transport::memory,
        yamux::{Config, Connection, INITIAL_WINDOW},
    };
    use crossbeam_channel::unbounded;
    use std::thread;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Calls of a plan until the thread waits: one before it does, and one as it
    /// begins to.
    const CALLS: usize = 2;

    #[test]
    fn a_write_that_waits_for_credit_fails_at_once_when_its_stream_is_broken_off() {
        for avoids_resets in [true, false] {
            let (ours, _theirs) = memory::pair(1 << 20);
            let connection = Connection::client(ours, Config::default()).unwrap();
            if avoids_resets {
                connection.avoid_resets();
            }
            let stream = connection.open().unwrap();
            let kept = &[1, 0, 0, 0];
            let usable = INITIAL_WINDOW as usize - kept.len();
            (&stream).write_all(&vec![0; usable]).unwrap();
            let (called, calls) = unbounded();
            let writer = thread::spawn({
                let stream = stream.clone();
                move || {
                    let plan = |_: usize| {
                        called.send(()).unwrap();
                        0
                    };
                    stream.send_frame(plan, |_, _| {})
                }
            });
            for _ in 0..CALLS {
                calls.recv_timeout(PATIENCE).unwrap();
            }
            // Needs the lock that the writer has until it waits.
            stream.break_off(kept);
            let error = writer.join().unwrap().unwrap_err();
            assert!(matches!(error, Error::Reset), "{error:?}");
        }
    }
}
