//! The program's handle to a stream.

pub(super) mod shared_stream;

use super::{
    core::{Core, RecvHalf},
    error::Error,
    error_context::WaitedFor,
    frame::{Flags, Header, StreamId},
    outbox::{Lane, Outbox},
    segment::{MAX_PAYLOAD, Segment, total_len},
    shared::{Handle, Shared},
    state::{RecvState, SendState},
    waker::Wake,
};
use crate::{
    sync::{self, Mutex, MutexGuard, thread},
    time::deadline,
    transport::Wait,
};
pub(crate) use shared_stream::Rest;
use shared_stream::SharedStream;
use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// An ordered, two-way stream of bytes inside a [`Connection`](super::Connection).
///
/// `&Stream` implements `Read` and `Write` too, so that one thread can read while
/// another one writes; [`try_clone`](Self::try_clone) returns a second handle. A
/// write waits while the peer's window is used up, a read while no data has been
/// received. Both fail when the stream is reset or the connection ends; data that
/// was received before that is read first.
///
/// Dropping the last handle closes the stream, as it does a `TcpStream`: the peer
/// sees its end. What the peer is still sending is discarded; if that is more than
/// a window, the stream is reset.
#[derive(Clone)]
pub struct Stream {
    inner: Arc<SharedStream>,
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
            inner: Arc::new(SharedStream {
                core,
                handle,
                timeouts: Mutex::default(),
            }),
        }
    }

    /// Returns the stream's id, which is unique in its connection.
    pub fn id(&self) -> StreamId {
        self.inner.core.id
    }

    /// Returns a second handle to the same stream.
    ///
    /// # Errors
    ///
    /// None today; the signature is that of [`std::net::TcpStream::try_clone`].
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// Sets how long a read waits. `None`, the default, means forever. Applies to all
    /// handles of the stream, from their next read on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.timeouts.lock().read = not_zero(timeout)?;
        Ok(())
    }

    /// Sets how long a write waits. `None`, the default, means until the connection
    /// ends. Applies to all handles of the stream, from their next write on.
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
    /// `Write` sends a FIN: the peer reads what was written before, and then the end;
    /// reading continues. `Read` discards the data that was received and data that is
    /// still to arrive: reads fail from now on. Ending a direction again does
    /// nothing. Does not block.
    ///
    /// # Errors
    ///
    /// None today: a stream that has ended in another way needs no shutdown.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.inner.stop_receiving();
        }
        if how != Shutdown::Read {
            self.inner.finish_sending();
        }
        Ok(())
    }

    /// Sets the name of the stream, which the error of a close that cuts it contains.
    pub(crate) fn set_name(&self, name: Arc<str>) {
        self.core().set_name(name);
    }

    /// Ends both directions, as [`shutdown`](Self::shutdown) does, without a result
    /// for the caller to ignore.
    pub(crate) fn end(&self) {
        self.inner.stop_receiving();
        self.inner.finish_sending();
    }

    /// Sends a FIN. A write that waits in another thread fails.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) fn stop_sending(&self) {
        self.inner.finish_sending();
        // A writer of this stream may be waiting for room.
        self.shared().outbox.wake_all();
    }

    /// Ends both directions at once. The peer gets an error, and data that it has not
    /// yet read may be lost. Does not block.
    pub fn reset(&self) {
        self.inner.handle.shared.reset(&self.inner.core);
    }

    /// Ends both directions at once, so that the peer treats the received data as
    /// truncated: with a reset, or, if the connection [avoids
    /// resets](super::Connection::avoid_resets), with `cut_short` (data that announces
    /// more data) and a FIN. Writers leave credit for `cut_short`. Does not block.
    pub(crate) fn abort(&self, cut_short: &[u8]) {
        let shared = &self.inner.handle.shared;
        shared.abort(&self.inner.core, cut_short);
    }

    /// Returns whether both directions have ended.
    pub fn is_closed(&self) -> bool {
        self.inner.core.is_gone()
    }

    /// Returns whether the peer has ended the stream in any way, even if not everything was
    /// read.
    pub(crate) fn peer_has_ended(&self) -> bool {
        self.inner.core.peer_has_ended()
    }

    /// Waits until the peer has ended the stream in any way, or reading was ended on this
    /// side. Returns whether the peer has ended it.
    pub(crate) fn wait_peer_end(&self, deadline: Option<Instant>) -> bool {
        self.inner.core.wait_peer_end(deadline)
    }

    /// Takes the oldest bytes out of the inbox without copying. Waits until there are
    /// some. Returns `None` at the stream's end.
    pub(crate) fn read_segment(&self) -> Result<Option<Segment>, Error> {
        let recv = self.wait_readable()?;
        Ok(recv.and_then(|recv| self.take_segment(recv)))
    }

    /// Waits until there is data, for as long as the read timeout.
    fn wait_readable(&self) -> Result<Option<MutexGuard<'_, RecvHalf>>, Error> {
        let timeout = self.inner.timeouts.lock().read;
        let waited = self.inner.wait_readable(timeout.map(deadline));
        waited.map_err(|error| error.after(WaitedFor::Data, self.id(), timeout))
    }

    /// Like [`read_segment`](Self::read_segment), with a deadline.
    pub(crate) fn read_segment_by(&self, deadline: Instant) -> Result<Option<Segment>, Error> {
        let recv = self.inner.wait_readable(Some(deadline))?;
        Ok(recv.and_then(|recv| self.take_segment(recv)))
    }

    /// Like [`read_segment`](Self::read_segment), but does not wait. Returns `None`
    /// if nothing is buffered.
    pub(crate) fn try_read_segment(&self) -> Option<Segment> {
        self.take_segment(self.inner.core.recv.lock())
    }

    /// Like [`read_segment`](Self::read_segment), but returns `None` instead of waiting.
    pub(crate) fn poll_segment(&self) -> Option<Result<Option<Segment>, Error>> {
        match self.read_segment_by(sync::now()) {
            Err(Error::TimedOut(_)) => None,
            received => Some(received),
        }
    }

    /// Calls `waker` from now on whenever [`poll_segment`](Self::poll_segment) may return
    /// something else than before. Returns `false` if the stream has a waker already.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) fn set_waker(&self, waker: Weak<dyn Wake>) -> bool {
        self.inner.core.set_waker(waker)
    }

    /// Returns the error of the receiving half if it was reset, although bytes that were
    /// received before may still be unread.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) fn reset_cause(&self) -> Option<Error> {
        let state = self.inner.core.recv.lock().state;
        match state {
            RecvState::Reset(by) => Some(self.inner.reset_error(by)),
            _ => None,
        }
    }

    /// Returns how to start a thread that works for the stream.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) fn thread(&self, what: &str) -> thread::Builder {
        let config = &self.shared().config;
        thread::Builder::new()
            .name(format!("{}-{what}", config.thread_name))
            .stack_size(config.stack_size)
    }

    fn take_segment(&self, mut recv: MutexGuard<'_, RecvHalf>) -> Option<Segment> {
        let segment = recv.inbox.pop()?;
        self.inner.give_credit(recv, segment.len());
        Some(segment)
    }

    /// Sets whether a write that waits for credit returns once the peer has sent
    /// something.
    pub(crate) fn await_input(&self, awaited: bool) {
        self.inner.core.await_input(awaited);
    }

    /// Returns whether input has arrived since it was first awaited, or since the last
    /// call that returned `true`.
    pub(crate) fn take_input(&self) -> bool {
        self.inner.core.take_input()
    }

    /// Notes that the stream rests: nothing is being sent, and it may end here. If this side
    /// opened it, a connection that [closes when idle](super::Connection::close_when_idle)
    /// ends it once the peer has ended it, and does not wait for it. Each frame that is sent
    /// decides anew whether the stream rests.
    pub(crate) fn rest(&self) {
        self.inner.core.send.lock().at_rest = true;
        self.shared().end_at_rest(&self.inner.core);
    }

    /// Sends one Data frame. `plan` is called with the credit and returns how many
    /// bytes the frame is to carry, or 0 to wait for more credit; `fill` appends them, and
    /// returns whether the stream [rests](Self::rest) then. Returns `Ok(0)` when
    /// [awaited](Self::await_input) input has arrived.
    pub(crate) fn send_frame(
        &self,
        plan: impl Fn(usize) -> usize,
        fill: impl FnMut(&mut Segment, usize) -> Rest,
    ) -> Result<usize, Error> {
        let timeout = self.inner.timeouts.lock().write;
        let sent = self.send_frame_by(timeout.map(deadline), plan, fill);
        sent.map_err(|error| error.after(WaitedFor::Room, self.id(), timeout))
    }

    fn send_frame_by(
        &self,
        deadline: Option<Instant>,
        plan: impl Fn(usize) -> usize,
        fill: impl FnMut(&mut Segment, usize) -> Rest,
    ) -> Result<usize, Error> {
        let sent = self.inner.send_frame(deadline, plan, fill);
        if sent.is_err() {
            // This thread may have been woken for room that it does not use.
            self.inner.handle.shared.outbox.pass_on();
            // The frame was not sent. The peer must not mistake the end of the stream for the
            // end of the data.
            self.inner.core.send.lock().at_rest = false;
        }
        sent
    }

    /// Sends `bytes` by a given deadline, in as few frames as possible.
    pub(crate) fn send_all_by(&self, mut bytes: &[u8], deadline: Instant) -> Result<(), Error> {
        while !bytes.is_empty() {
            let sent = self.send_some(&[IoSlice::new(bytes)], Some(deadline))?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Sends one frame with as much of `slices` as there is credit for.
    fn send_some(&self, slices: &[IoSlice<'_>], deadline: Option<Instant>) -> Result<usize, Error> {
        let limit = total_len(slices).min(MAX_PAYLOAD);
        self.send_frame_by(
            deadline,
            |credit| credit.min(limit),
            |segment, count| {
                segment.put_slices(slices, count);
                Rest::Busy
            },
        )
    }

    /// Queues `bytes`, which must fit into one frame, without flushing. Returns
    /// `false` if that would have to wait.
    pub(crate) fn try_queue(&self, bytes: &[u8]) -> bool {
        self.queue(bytes, |outbox, header| outbox.try_push_data(header, bytes))
    }

    /// Like [`try_queue`](Self::try_queue) for a few bytes that the stream ends with: does
    /// not need room. Returns `false` if there is no credit, or the direction has ended.
    pub(crate) fn queue_last(&self, bytes: &[u8]) -> bool {
        self.queue(bytes, |outbox, header| {
            outbox.push_data(header, bytes);
            true
        })
    }

    fn queue(&self, bytes: &[u8], push: impl FnOnce(&Outbox, Header) -> bool) -> bool {
        let core = &self.inner.core;
        let mut send = core.send.lock();
        if send.state != SendState::Open || (send.window.credit() as usize) < bytes.len() {
            return false;
        }
        let header = Header::data(core.id, bytes.len() as u32);
        let queued = push(&self.inner.handle.shared.outbox, header);
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

    /// Returns whether the peer has ended its direction, and all of it was read.
    pub(crate) fn has_ended(&self) -> bool {
        let recv = self.inner.core.recv.lock();
        recv.inbox.is_empty() && recv.state.is_done()
    }

    /// Queues the ACK that tells the peer that the stream is accepted, without
    /// flushing.
    pub(crate) fn acknowledge(&self) {
        if self.inner.core.is_gone() {
            return;
        }
        let header = Header::window_update(self.id(), Flags::ACK, 0);
        self.inner.handle.shared.outbox.push(Lane::Answer, header);
    }

    /// Sends the frames that were queued before.
    pub(crate) fn flush_queued(&self) {
        self.inner.handle.shared.flush(Wait::Never);
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let Some(mut recv) = self.wait_readable()? else {
            return Ok(0);
        };
        let count = recv.inbox.read(buf);
        self.inner.give_credit(recv, count);
        Ok(count)
    }
}

impl Write for &Stream {
    /// Writes as much as the peer's window has room for, up to 64 KiB, and sends it
    /// at once.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    /// Writes the slices in order as [`write`](Write::write) does, in one frame.
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        let timeout = self.inner.timeouts.lock().write;
        let sent = self.send_some(bufs, timeout.map(deadline));
        Ok(sent.map_err(|error| error.after(WaitedFor::Room, self.id(), timeout))?)
    }

    /// Does nothing, because written data is already on its way.
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

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn not_zero(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    if timeout == Some(Duration::ZERO) {
        let message = "timeout must be greater than zero; None waits forever";
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

    /// Calls of the plan until the thread waits: one before, and one as it begins to
    /// wait.
    const CALLS: usize = 2;

    #[test]
    fn a_write_that_waits_for_credit_fails_at_once_when_its_stream_is_aborted() {
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
                    stream.send_frame(plan, |_, _| Rest::Busy)
                }
            });
            for _ in 0..CALLS {
                calls.recv_timeout(PATIENCE).unwrap();
            }
            // Needs the lock that the writer holds until it waits.
            stream.abort(kept);
            let error = writer.join().unwrap().unwrap_err();
            assert!(matches!(error, Error::Reset(_)), "{error:?}");
        }
    }
}
