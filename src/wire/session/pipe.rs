//! Connecting a stream with a socket.
//!
//! Two threads copy. The sending thread reads the socket and writes the stream, and ends with
//! its direction. The calling thread reads the stream and writes the socket, without blocking
//! in either: it waits in `poll` for the socket and for an [`Alarm`], which the stream and the
//! sending thread ring. So it notices the end of both sides in every state, and wakes the
//! sending thread, which waits in a read of the socket or a write to the stream.

use super::{
    alarm::Alarm,
    polling::{Input, try_read},
    receiving::IncomingMessages,
    stream::Stream,
    stream_inner::StreamInner,
};
use crate::{
    spawn::spawn,
    sync::{
        Receiver, SendMutexGuard,
        atomic::{AtomicBool, Ordering},
        bounded,
    },
    transport::{Wait, send},
    user_code::caught,
    yamux::{self, Wake},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use socket2::{Domain, Socket, TcpKeepalive};
use std::{
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

/// The size of the buffer of a direction, in bytes: one frame's worth of data.
const BUFFER: usize = 64 << 10;

/// After this much silence, the system asks a TCP peer whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long after an unanswered question the system asks again.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// How much a pipe has copied; returned by [`Stream::pipe_with`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piped {
    /// The bytes that were read from the socket and sent on the stream.
    pub sent: u64,
    /// The bytes that were received on the stream and written to the socket.
    pub received: u64,
}

impl Stream {
    /// Connects the stream with a socket: copies bytes in both directions until both have
    /// ended.
    ///
    /// The socket is a connected `TcpStream`, `UnixStream`, or anything else that converts
    /// into an [`OwnedFd`] and is a stream socket. Only on Unix systems.
    ///
    /// Each direction of the stream is one message. Its end mark is the end of the direction:
    ///
    /// - When the socket's peer ends its direction (`shutdown(Write)`), the message is
    ///   finished. When a message ends on the stream, the socket is shut down for writing.
    ///   The other direction continues.
    /// - When both have ended, the stream and the socket are closed.
    /// - When one side fails or is reset, the other side is too: the stream is
    ///   [aborted](Self#how-a-stream-is-aborted), and the TCP connection is reset. Neither
    ///   peer mistakes a part for all. This also applies if the process is killed.
    ///
    /// Blocks until then, however long nothing is sent. Both sides are watched all the time,
    /// also while one direction has ended and the other is silent, or its receiver does not
    /// read: a reset, a lost connection or session ends the pipe at once.
    ///
    /// If a message has begun on the stream, in either direction, the pipe continues it. What
    /// was read from the socket before, for example into a `BufReader`, is not sent: write it
    /// to the stream first.
    ///
    /// # A peer that is gone
    ///
    /// A peer that has closed can receive no more, so that it ends the pipe. When everything
    /// that it sent before has been delivered, the other side is closed, and not reset. That
    /// is no error, unless bytes for that peer had already been read and are lost. This
    /// applies to the stream's peer if it closes the stream before the socket's peer has ended
    /// its direction, and to the peer of a Unix socket.
    ///
    /// A TCP peer that closes its socket sends the same as one that ends one direction. Only
    /// when it gets more data, it answers with a reset. Until then, the pipe waits for the
    /// stream's peer: a service that reads to the end and then stays silent should have a
    /// timeout of its own. The kernel's keepalive finds the closed socket too, after a
    /// minute or two. (A client that is killed while data is on its way to it, or whose
    /// socket has `SO_LINGER` 0, sends a reset.)
    ///
    /// A Unix socket cannot be reset: if the stream fails, its peer sees the end of the data.
    /// The protocol must show what is complete, as HTTP does.
    ///
    /// # What is set
    ///
    /// - The socket is set to blocking and its timeouts are cleared. On TCP, `SO_LINGER` is
    ///   set to 0 until both directions have ended, `TCP_NODELAY` is set, and keepalive is
    ///   enabled unless it is already: the system asks the peer after a minute of silence,
    ///   then every 15 seconds.
    /// - The stream's read timeout does not apply. Its write timeout does: it limits how long
    ///   the stream's peer may read nothing while the socket's has sent something. The
    ///   default is no limit.
    ///
    /// Uses the calling thread, and a second one until the socket's peer has ended its
    /// direction.
    ///
    /// # Errors
    ///
    /// The first error of either side, with its kind; the text says which side it was. The
    /// stream has been aborted or closed then.
    ///
    /// # Examples
    ///
    /// A client offers the HTTP server of its machine; the server forwards a port to it:
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// # use std::{io::{self, Read, Write}, net::Shutdown, thread, time::Duration};
    /// # use wirenet::Wire;
    /// # let http = TcpListener::bind("127.0.0.1:0")?;
    /// # let web = http.local_addr()?;
    /// # thread::spawn(move || -> io::Result<()> {
    /// #     let (mut tcp, _) = http.accept()?;
    /// #     io::copy(&mut tcp, &mut io::sink())?;
    /// #     tcp.write_all(b"200 OK")
    /// # });
    /// # let server = Wire::mount("127.0.0.1:0").build()?;
    /// # server.start()?;
    /// # let addr = server.local_addr().unwrap().to_string();
    /// // The client.
    /// let client = Wire::join(addr)
    ///     .stream("web", move |stream| stream.pipe_with(TcpStream::connect(web)?).map(drop))
    ///     .build()?;
    /// # client.start()?;
    /// # let session = server.wait_session(Duration::from_secs(5))?;
    ///
    /// // The server.
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # let addr = listener.local_addr()?;
    /// # let browser = thread::spawn(move || -> io::Result<String> {
    /// #     let mut tcp = TcpStream::connect(addr)?;
    /// #     tcp.write_all(b"GET /")?;
    /// #     tcp.shutdown(Shutdown::Write)?;
    /// #     io::read_to_string(tcp)
    /// # });
    /// let (tcp, _) = listener.accept()?;
    /// let piped = session.open_stream("web")?.pipe_with(tcp)?;
    /// println!("{} bytes there, {} back", piped.sent, piped.received);
    /// # assert_eq!((piped.sent, piped.received), (5, 6));
    /// # assert_eq!(browser.join().unwrap()?, "200 OK");
    /// # Ok::<(), io::Error>(())
    /// ```
    #[doc(alias = "copy_bidirectional")]
    #[doc(alias = "forward")]
    #[doc(alias = "proxy")]
    #[doc(alias = "splice")]
    #[doc(alias = "tunnel")]
    pub fn pipe_with(&self, socket: impl Into<OwnedFd>) -> io::Result<Piped> {
        let socket = Arc::new(Socket::from(socket.into()));
        Ok(self.pipe(&socket)?)
    }

    fn pipe(&self, socket: &Arc<Socket>) -> Result<Piped, Failure> {
        let mut receiving = start(self, socket).inspect_err(|_| self.reset())?;
        let ended = receiving.run();
        match &ended {
            Ok(End::InOrder) => {}
            Ok(End::StreamGone) => {
                receiving.shared.stream_gone.store(true, Ordering::SeqCst);
                // Wakes the sending thread from a read, without a trace for the socket's
                // peer. Fails if the connection is gone.
                let _ = socket.shutdown(Shutdown::Read);
                if receiving.shared.writing.load(Ordering::SeqCst) {
                    // Wakes it from a write.
                    self.reset();
                }
            }
            Err(_) => {
                self.reset();
                let _ = socket.shutdown(Shutdown::Read);
            }
        }
        let is_gone = matches!(ended, Ok(End::StreamGone));
        let piped = receiving.result(ended).inspect_err(|_| self.reset())?;
        // What the kernel still buffers is sent.
        let kept = socket.set_linger(None);
        kept.map_err(Failure::of("cannot use the socket"))?;
        if is_gone {
            // The message has not ended, and must not seem to.
            self.inner.closed.store(true, Ordering::Release);
            self.inner.raw.end();
        }
        let closed = self.close();
        closed.map_err(Failure::of("cannot close the stream"))?;
        Ok(piped)
    }
}

fn start<'a>(stream: &'a Stream, socket: &'a Arc<Socket>) -> Result<Receiving<'a>, Failure> {
    let recv = stream.inner.recv.lock();
    let is_tcp = prepare(socket).map_err(Failure::of("cannot use the socket"))?;
    let shared = Arc::new(Shared {
        alarm: Alarm::new().map_err(Failure::of("cannot start"))?,
        sent_all: AtomicBool::new(false),
        received_all: AtomicBool::new(false),
        stream_gone: AtomicBool::new(false),
        writing: AtomicBool::new(false),
    });
    let waker: Arc<dyn Wake> = Arc::clone(&shared) as _;
    if !stream.inner.raw.set_waker(Arc::downgrade(&waker)) {
        let closed = yamux::Error::StreamClosed;
        return Err(Failure::of("cannot use the stream")(closed.into()));
    }
    let sending = Sending {
        socket: Arc::clone(socket),
        stream: stream.clone(),
        shared: Arc::clone(&shared),
        is_tcp,
    };
    Ok(Receiving {
        socket,
        stream: &stream.inner,
        recv,
        shared,
        sending: sending.start().map_err(Failure::of("cannot start"))?,
        sent: None,
        buf: vec![0; BUFFER],
        pending: 0..0,
        received: 0,
        position: Position::Copying,
        hung_up: false,
    })
}

/// Sets the options of the socket. From now on, closing a TCP connection resets it, even if
/// the process is killed. Returns whether it is one.
fn prepare(socket: &Socket) -> io::Result<bool> {
    let domain = socket.local_addr()?.domain();
    let is_tcp = domain == Domain::IPV4 || domain == Domain::IPV6;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(None)?;
    if is_tcp {
        socket.set_linger(Some(Duration::ZERO))?;
        // Without these, the pipe still works.
        let _ = socket.set_tcp_nodelay(true);
        if let Ok(false) = socket.keepalive() {
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
            let _ = socket.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE_INTERVAL));
        }
    }
    Ok(is_tcp)
}

/// What both threads share.
#[derive(Debug)]
struct Shared {
    alarm: Alarm,
    /// Whether the end of the sending direction has been sent, or is about to be.
    sent_all: AtomicBool,
    /// Whether the end of the receiving direction has been written, or is about to be.
    received_all: AtomicBool,
    /// Whether the stream's peer has closed it.
    stream_gone: AtomicBool,
    /// Whether the sending thread has bytes for the stream's peer, and looks whether it is
    /// gone, or writes.
    writing: AtomicBool,
}

impl Wake for Shared {
    fn wake(&self) {
        self.alarm.wake();
    }
}

// -- from the socket to the stream --

/// What the sending thread has done.
#[derive(Debug, Default)]
struct Sent {
    bytes: u64,
    failure: Option<Failure>,
}

struct Sending {
    socket: Arc<Socket>,
    stream: Stream,
    shared: Arc<Shared>,
    is_tcp: bool,
}

impl Sending {
    /// Starts the sending thread. It sends its outcome, and rings the alarm.
    fn start(self) -> io::Result<Receiver<Sent>> {
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
            self.write(&buf[..count])
                .map_err(Failure::of(WRITING_STREAM))?;
            *sent += count as u64;
        }
        if self.was_reset() {
            let reset = io::ErrorKind::ConnectionReset;
            return Err(Failure::of(READING_SOCKET)(reset.into()));
        }
        if self.shared.stream_gone.load(Ordering::SeqCst) {
            return Ok(());
        }
        // Before `finish`, after which the peer may close the stream. If `finish` fails, so
        // does the pipe.
        self.shared.sent_all.store(true, Ordering::SeqCst);
        let finished = self.stream.finish();
        finished.map_err(Failure::of("cannot end the message on the stream"))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Shared {
            writing,
            stream_gone,
            ..
        } = &*self.shared;
        writing.store(true, Ordering::SeqCst);
        if stream_gone.load(Ordering::SeqCst) {
            let text = "the peer has closed the stream";
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, text));
        }
        self.stream.write_all(bytes)?;
        writing.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Returns whether what looks like the end of the data is a reset. The system reports a
    /// reset only once, perhaps to the other thread. But then the socket no longer has a peer
    /// address, although it has not been shut down for writing.
    fn was_reset(&self) -> bool {
        self.is_tcp
            && !self.shared.received_all.load(Ordering::SeqCst)
            && self.socket.peer_addr().is_err()
    }
}

// -- from the stream to the socket --

/// How a pipe has ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both directions have, or the socket's peer has closed it.
    InOrder,
    /// The stream's peer has closed it, after its data.
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

struct Receiving<'a> {
    socket: &'a Socket,
    stream: &'a StreamInner,
    recv: SendMutexGuard<'a, IncomingMessages>,
    shared: Arc<Shared>,
    /// Receives the outcome of the sending thread.
    sending: Receiver<Sent>,
    /// The outcome, once it was received.
    sent: Option<Sent>,
    buf: Vec<u8>,
    /// The part of `buf` that is still to be written to the socket.
    pending: Range<usize>,
    received: u64,
    position: Position,
    /// Whether both directions of the socket have been shut down, by whomever. From then on
    /// `poll` would no longer wait for it.
    hung_up: bool,
}

impl Receiving<'_> {
    fn run(&mut self) -> Result<End, Failure> {
        loop {
            if let Some(end) = self.proceed()? {
                return Ok(end);
            }
            // Whatever happens from now on ends the wait.
            self.shared.alarm.armed.arm();
            if let Some(end) = self.proceed()? {
                return Ok(end);
            }
            self.wait()?;
        }
    }

    /// Does all that can be done without waiting. Returns whether the pipe has ended.
    fn proceed(&mut self) -> Result<Option<End>, Failure> {
        loop {
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
                // Nobody would receive what is still to come.
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
                ended.map_err(Failure::of("cannot end the socket's data"))?;
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
                    Some(cause) => Err(Failure::of(READING_STREAM)(cause.into())),
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
                // An empty message says nothing.
                if !self.stream.was_finished() {
                    self.position = Position::Gone;
                }
                Ok(true)
            }
            Input::Nothing => Ok(false),
        }
    }

    /// Waits until the alarm rings, or the socket has failed, or is ready for bytes that are
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
            // `result` finds the cause.
            let reset = io::ErrorKind::ConnectionReset;
            return Err(Failure::of(SOCKET_FAILED)(reset.into()));
        }
        self.hung_up |= socket.contains(PollFlags::HUP);
        Ok(())
    }

    /// Waits for the end of the sending thread, and returns the result of the pipe.
    fn result(self, ended: Result<End, Failure>) -> Result<Piped, Failure> {
        // The sending thread sends its outcome whatever happens.
        let outcome = self.sent.or_else(|| self.sending.recv().ok());
        let Sent { bytes, failure } = outcome.unwrap_or_default();
        match (ended, failure) {
            // Bytes that it had read are lost.
            (Ok(End::StreamGone), Some(failure)) if failure.is(WRITING_STREAM) => Err(failure),
            (Ok(_), _) => Ok(Piped {
                sent: bytes,
                received: self.received,
            }),
            (Err(found), failure) if found.is(SOCKET_FAILED) => {
                // The system has reported the cause to one of the threads, or still will.
                match (failure, self.socket.take_error()) {
                    (Some(failure), _) if failure.is(READING_SOCKET) => Err(failure),
                    // That of a reset after the end of the peer's data is EPIPE.
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

const WRITING_STREAM: &str = "cannot write to the stream";
const READING_SOCKET: &str = "cannot read from the socket";
const READING_STREAM: &str = "cannot read from the stream";
const SOCKET_FAILED: &str = "the socket failed";

// -- failures --

/// Why a pipe has ended early.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
struct Failure {
    /// What failed, and of which side.
    what: &'static str,
    #[source]
    error: io::Error,
}

impl Failure {
    fn of(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { what, error }
    }

    fn is(&self, text: &str) -> bool {
        self.what == text
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.error.kind(), failure)
    }
}
