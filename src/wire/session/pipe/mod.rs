//! Connecting a stream with a socket.
//!
//! Two threads copy. The sending thread ([`sending`]) reads the socket and writes the stream,
//! and ends with its direction. The calling thread ([`receiving`]) reads the stream and writes
//! the socket, without blocking in either: it waits in `poll` for the socket and for an
//! [`alarm`], which the stream and the sending thread set. It therefore notices the end of
//! either side in every state. It then wakes the sending thread, which may be waiting in a
//! read of the socket or in a write to the stream. [`socket`] checks and sets up the socket;
//! [`shared`] is what both threads share.

pub(super) mod alarm;
mod receiving;
mod sending;
mod shared;
mod socket;

pub use shared::Piped;

use super::stream::Stream;
use crate::sync::atomic::Ordering;
use receiving::{End, Receiving};
use sending::Sending;
use shared::{Failure, READING_STREAM, Shared, WRITING_STREAM};
use socket::{close_in_order, end_reading, prepare};
use socket2::Socket;
use std::{io, os::fd::OwnedFd, sync::Arc};

impl Stream {
    /// Connects the stream with a socket: copies bytes in both directions until both have
    /// ended.
    ///
    /// The socket is a connected `TcpStream`, `UnixStream`, or anything else that converts
    /// into an [`OwnedFd`] and is a stream socket. A TCP socket must not have been shut down for
    /// writing. Keep no clone of it: the connection is closed or reset only when all are dropped.
    /// Only on Unix systems.
    ///
    /// Each direction of the stream is one message. Its end mark is the end of the direction:
    ///
    /// - When the socket's peer ends its direction (`shutdown(Write)`), the message is
    ///   finished. When a message ends on the stream, the socket is shut down for writing.
    ///   The other direction continues.
    /// - When both have ended, the stream and the socket are closed.
    /// - When one side fails or is reset, the other side is too: the stream is
    ///   [aborted](Self#how-a-stream-is-aborted), and the TCP connection is reset. Neither
    ///   peer mistakes a part of the data for all of it, even if this process is killed.
    ///
    /// Blocks until then, however long nothing is sent. Both sides are watched all the time,
    /// even while one direction has ended and the other is silent or its receiver does not
    /// read. A reset, a lost connection, or the end of the session ends the pipe at once.
    ///
    /// If a message has begun on the stream, in either direction, the pipe continues it. What
    /// was read from the socket before, for example into a `BufReader`, is not sent: write it
    /// to the stream first.
    ///
    /// # A peer that is gone
    ///
    /// A peer that has closed can receive no more, so the pipe ends. Everything that this peer
    /// sent before is delivered first; then the other side is closed, and not reset. That is
    /// no error, unless bytes for the closed peer had already been read and are lost. This
    /// applies to the stream's peer if it closes the stream before the socket's peer has ended
    /// its direction, and to the peer of a Unix socket.
    ///
    /// A TCP peer that closes its socket sends the same as one that ends one direction. It
    /// answers with a reset only when it gets more data. Until then, the pipe waits for the
    /// stream's peer: a service that reads to the end and then stays silent should have a
    /// timeout of its own. The kernel's keepalive also detects the closed socket, after a
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
    /// A handler that connects to a service first should limit that wait with
    /// [`TcpStream::connect_timeout`](std::net::TcpStream::connect_timeout): a service that does
    /// not answer keeps its thread for minutes, even if the caller has left.
    ///
    /// # Errors
    ///
    /// The first error of either side, with its kind; the text says which side it was.
    /// [`io::ErrorKind::Deadlock`] if this thread holds a [`Reader`](crate::Reader) or
    /// [`Writer`](crate::Writer) of the stream. The stream has been aborted or closed then.
    ///
    /// [`io::ErrorKind::InvalidInput`] if `socket` is a datagram socket, no socket at all, or
    /// was shut down for writing; [`io::ErrorKind::NotConnected`] if it is not connected, such
    /// as a listener.
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

    /// Not generic, so that it is compiled once.
    fn pipe(&self, socket: &Arc<Socket>) -> Result<Piped, Failure> {
        let mut receiving = self.start(socket).inspect_err(|_| self.reset())?;
        let ended = receiving.run();
        match ended {
            Ok(End::InOrder) => {}
            Ok(End::StreamGone) => {
                // Without an end mark: the message has not ended. A write fails now.
                self.inner.raw.stop_sending();
                end_reading(socket);
            }
            // `result` returns the error.
            Err(_) => {
                self.reset();
                end_reading(socket);
            }
        }
        let is_gone = matches!(ended, Ok(End::StreamGone));
        let piped = receiving.result(ended).inspect_err(|_| self.reset())?;
        close_in_order(socket)?;
        if is_gone {
            self.inner.closed.store(true, Ordering::Release);
            self.inner.raw.end();
        }
        let closed = self.close();
        closed.map_err(Failure::of("cannot close the stream"))?;
        Ok(piped)
    }

    /// Starts the sending thread.
    fn start<'a>(&'a self, socket: &'a Arc<Socket>) -> Result<Receiving<'a>, Failure> {
        // First, so that a TCP connection is reset whatever fails.
        let is_tcp = prepare(socket)?;
        let inner = &self.inner;
        let recv = inner.lock_recv().map_err(Failure::of(READING_STREAM))?;
        if inner.send.is_held_here() {
            // The sending thread would wait for this one, which waits for it.
            return Err(Failure::of(WRITING_STREAM)(inner.writer_held()));
        }
        let shared = Shared::new().map_err(Failure::of("cannot start"))?;
        let shared = Arc::new(shared);
        shared
            .wake_on_input(&self.inner.raw)
            .map_err(|error| error.on_stream(self.name()))
            .map_err(|error| Failure::of("cannot use the stream")(error.into()))?;
        let sending = Sending {
            socket: Arc::clone(socket),
            stream: self.clone(),
            shared: Arc::clone(&shared),
            is_tcp,
        };
        let sending = sending.start().map_err(Failure::of("cannot start"))?;
        Ok(Receiving::new(socket, &self.inner, recv, shared, sending))
    }
}
