//! How a session opens streams at the peer.

use super::{
    chunk::CUT_SHORT,
    frame::{Frame, FrameKind, check_name},
    receiving::{IncomingMessages, Source},
    session::Session,
    stream::Stream,
};
use crate::{
    error::{Error, OPEN_STREAM},
    time::deadline,
    yamux::{self, Connection, segment::Segment},
};
use std::time::Instant;

/// How a yamux stream is opened on the connection.
type OpenRaw = fn(&Connection, Option<Instant>) -> Result<yamux::Stream, yamux::Error>;

/// Opening streams.
impl Session {
    /// Opens the stream `name` (a `&str` or a `String`) at the peer, and waits until the peer
    /// accepts it.
    ///
    /// Blocks for at most
    /// [`Builder::handshake_timeout`](crate::Builder::handshake_timeout), by default 10
    /// seconds.
    ///
    /// # Errors
    ///
    /// - [`Error::Refused`] if the peer refuses the stream, with its reason.
    /// - [`Error::TimedOut`] if there was no answer in time.
    /// - [`Error::Connection`] if the session has ended, or ends meanwhile.
    /// - [`Error::Option`] if the name is empty or longer than 255 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::Read, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("time", |stream| stream.write_message(b"12:00"))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// let mut stream = session.open_stream("time")?;
    /// let mut time = String::new();
    /// stream.read_to_string(&mut time)?;
    /// assert_eq!(time, "12:00");
    ///
    /// let error = session.open_stream("date").unwrap_err();
    /// assert!(matches!(error, wirenet::Error::Refused { .. }));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "connect")]
    #[doc(alias = "call")]
    #[doc(alias = "dial")]
    pub fn open_stream(&self, name: impl AsRef<str>) -> Result<Stream, Error> {
        let name = name.as_ref();
        let (raw, answer) = self.open_answered(name, Connection::open_queued)?;
        Ok(Stream::opened(raw, self.clone(), name, answer))
    }

    /// Opens the stream `name` at the peer without waiting for the answer.
    ///
    /// Data may be written immediately, which saves a round trip. If the peer refuses the
    /// stream, the first read or write after that fails with an
    /// [`io::Error`](std::io::Error) that contains [`Error::Refused`].
    ///
    /// A stream that is closed or dropped before that reports no refusal. To be sure that a
    /// message was accepted, wait for an answer to it, or use
    /// [`open_stream`](Self::open_stream).
    ///
    /// # Errors
    ///
    /// - [`Error::TimedOut`] if there was no room for one more stream within
    ///   [`Builder::handshake_timeout`](crate::Builder::handshake_timeout): too many streams
    ///   wait to be acknowledged, too many closed ones wait for the peer to end its half, or
    ///   too much data waits to be sent.
    /// - [`Error::Connection`] if the session has ended, or ends meanwhile.
    /// - [`Error::Option`] if the name is empty or longer than 255 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::Read, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("echo", |stream| std::io::copy(&mut &*stream, &mut &*stream).and_then(|_| stream.finish()))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// // The request follows the opening of the stream without a pause.
    /// let mut stream = session.open_stream_nowait("echo")?;
    /// stream.write_message(b"hello")?;
    /// let mut answer = String::new();
    /// stream.read_to_string(&mut answer)?;
    /// assert_eq!(answer, "hello");
    ///
    /// // The first call after the refusal returns it.
    /// let mut refused = session.open_stream_nowait("unknown")?;
    /// let error = refused.read(&mut [0; 100]).unwrap_err();
    /// let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    /// assert!(matches!(cause, Some(wirenet::Error::Refused { .. })));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "pipelining")]
    pub fn open_stream_nowait(&self, name: impl AsRef<str>) -> Result<Stream, Error> {
        let name = name.as_ref();
        let deadline = deadline(self.settings().open_timeout);
        let raw = self.send_open(name, Connection::open_queued, deadline)?;
        raw.await_input(true);
        let recv = IncomingMessages::unanswered();
        Ok(Stream::opened(raw, self.clone(), name, recv))
    }

    /// Opens the leg of a relay at the owner of a name. Also works while this wire is
    /// closing, because the call was admitted before.
    pub(crate) fn open_leg(&self, name: &str) -> Result<(yamux::Stream, IncomingMessages), Error> {
        let (raw, answer) = self.open_answered(name, Connection::open_relay)?;
        raw.set_name(name.into());
        Ok((raw, answer))
    }

    /// Returns the stream, and the messages received together with the answer.
    fn open_answered(
        &self,
        name: &str,
        open: OpenRaw,
    ) -> Result<(yamux::Stream, IncomingMessages), Error> {
        let deadline = deadline(self.settings().open_timeout);
        let raw = self.send_open(name, open, deadline)?;
        let mut answer = IncomingMessages::unanswered();
        let source = UnansweredStream {
            session: self,
            raw: &raw,
            name,
            deadline,
        };
        match answer.await_answer(&source) {
            Ok(()) => Ok((raw, answer)),
            Err(error) => {
                let error = self.opening_error(error, name);
                if !matches!(error, Error::Refused { .. }) {
                    // The peer may have accepted the stream. A graceful end would tell
                    // the peer that there was nothing to send, and leave its half open.
                    raw.abort(&CUT_SHORT);
                }
                Err(error)
            }
        }
    }

    fn send_open(
        &self,
        name: &str,
        open: OpenRaw,
        deadline: Instant,
    ) -> Result<yamux::Stream, Error> {
        check_name(name).map_err(|reason| Error::Option {
            option: OPEN_STREAM,
            reason,
        })?;
        let opened = open(self.connection(), Some(deadline));
        let raw = opened.map_err(|error| self.opening_error(error.into(), name))?;
        let frame = Frame {
            kind: FrameKind::Open,
            command: name.into(),
            payload: self.settings().token.clone(),
        };
        let sent = raw.send_all_by(&frame.encode(), deadline);
        sent.map_err(|error| {
            raw.reset();
            self.opening_error(error.into(), name)
        })?;
        Ok(raw)
    }

    fn opening_error(&self, error: Error, name: &str) -> Error {
        match error {
            Error::Connection(yamux::Error::TimedOut(_)) => {
                let timeout = self.settings().open_timeout;
                let what = format!("answer to the opening of stream {name:?}");
                Error::timed_out(what, timeout)
            }
            // A peer that is going away resets streams that it has not seen before.
            Error::Connection(yamux::Error::ResetByPeer(_)) if self.is_closing() => {
                yamux::Error::GoingAway { by_peer: true }.into()
            }
            error => error,
        }
    }
}

/// A stream whose opening has not been answered yet.
struct UnansweredStream<'a> {
    session: &'a Session,
    raw: &'a yamux::Stream,
    name: &'a str,
    deadline: Instant,
}

impl Source for UnansweredStream<'_> {
    fn read_segment(&self) -> Result<Option<Segment>, yamux::Error> {
        let segment = self.raw.read_segment_by(self.deadline);
        segment.map_err(|error| error.on_stream(self.name))
    }

    fn try_read_segment(&self) -> Option<Segment> {
        self.raw.try_read_segment()
    }

    fn refusal(&self, frame: &Frame) -> Error {
        self.session.refusal(self.name, frame)
    }

    fn name(&self) -> &str {
        self.name
    }

    /// Does nothing: `await_answer` returns the answer.
    fn on_answer(&self, _refusal: Option<&Error>) {}

    fn takes_unmarked_end(&self) -> bool {
        false
    }

    /// Never called: no message is read before the answer.
    fn on_message_end(&self, _marked: bool) {}
}
