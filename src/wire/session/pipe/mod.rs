//! Connecting a stream with a socket.
//!
//! Two threads copy. The sending thread ([`sending`]) reads the socket and writes the stream,
//! and ends with its direction. The calling thread ([`receiving`]) reads the stream and writes
//! the socket, without blocking in either: it waits in `poll` for the socket and for an
//! [`alarm`], which the stream and the sending thread set. So it notices the end of both
//! sides in every state, and wakes the sending thread, which waits in a read of the socket or
//! in a write to the stream.

pub(super) mod alarm;
mod receiving;
mod sending;
mod shared;

pub use shared::Piped;

use super::stream::Stream;
use crate::sync::atomic::Ordering;
use receiving::{End, Receiving};
use sending::Sending;
use shared::{Failure, Shared};
use socket2::{Domain, Socket, TcpKeepalive};
use std::{io, net::Shutdown, os::fd::OwnedFd, sync::Arc, time::Duration};

/// After this much silence, the system asks a TCP peer whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long after an unanswered question the system asks again.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

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
        // The kernel sends what it still buffers.
        let kept = socket.set_linger(None);
        kept.map_err(Failure::of("cannot use the socket"))?;
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
        let recv = self.inner.recv.lock();
        let is_tcp = prepare(socket).map_err(Failure::of("cannot use the socket"))?;
        let shared = Shared::new().map_err(Failure::of("cannot start"))?;
        let shared = Arc::new(shared);
        shared
            .wake_on_input(&self.inner.raw)
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

/// Wakes a thread from a read of the socket. The socket's peer does not notice.
fn end_reading(socket: &Socket) {
    // Fails only if the connection is gone.
    let _ = socket.shutdown(Shutdown::Read);
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
        // Without it, small pieces may be delayed.
        let _ = socket.set_tcp_nodelay(true);
        if let Ok(false) = socket.keepalive() {
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
            // Without it, a peer that is gone without a trace is not noticed.
            let _ = socket.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE_INTERVAL));
        }
    }
    Ok(is_tcp)
}
