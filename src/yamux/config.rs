//! The options of a connection.

use super::{error::Error, window::INITIAL_WINDOW};
use std::{io, sync::Arc, time::Duration};

/// The longest timeout: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The largest window. A relay's window may reserve up to twice this from the
/// budget: once to follow the credit of the far connection, and once as it grows by
/// itself. The sum must fit a `u32`.
const LARGEST_WINDOW: u32 = 1 << 31;

/// The options of a [`Connection`](super::Connection). The defaults suit most
/// programs.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use wirenet::yamux::Config;
///
/// // A device with little memory, on a network that drops idle connections.
/// let config = Config::default()
///     .window_budget(1 << 20)
///     .keep_alive(Some(Duration::from_secs(5)));
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) max_window: u32,
    pub(super) window_budget: usize,
    pub(super) max_streams: usize,
    pub(super) max_frame: u32,
    pub(super) backlog: usize,
    pub(super) write_timeout: Duration,
    /// Whether the system ends a connection by itself, with `ETIMEDOUT`, when the peer has
    /// acknowledged nothing, or accepted no data, for the write timeout.
    pub(super) is_timed_by_system: bool,
    pub(super) keep_alive: Option<Duration>,
    pub(super) stack_size: usize,
    /// Whether one thread drives the reader and the peer in turn. Then no call waits
    /// for the peer, and no thread is started to hand over promoted streams.
    #[cfg(any(test, fuzzing))]
    pub(super) in_lockstep: bool,
    pub(super) thread_name: Arc<str>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_window: 16 << 20,
            window_budget: 64 << 20,
            max_streams: 512,
            max_frame: 16 << 20,
            backlog: 256,
            write_timeout: Duration::from_secs(10),
            is_timed_by_system: false,
            keep_alive: Some(Duration::from_secs(15)),
            stack_size: 256 << 10,
            #[cfg(any(test, fuzzing))]
            in_lockstep: false,
            thread_name: "wirenet".into(),
        }
    }
}

impl Config {
    /// Sets the size in bytes up to which a stream's receive window grows. Default:
    /// 16 MiB, which fills a link of 1 Gbit/s with round trips of 130 ms.
    ///
    /// Windows start with the protocol's 262,144 bytes; with a smaller limit they do
    /// not grow. Values above 2 GiB are reduced to 2 GiB.
    #[must_use]
    pub fn max_window(mut self, bytes: u32) -> Self {
        self.max_window = bytes.min(LARGEST_WINDOW);
        self
    }

    /// Sets how many bytes all receive windows of the connection together may grow
    /// beyond their initial 262,144 bytes. Default: 64 MiB, enough for four streams
    /// at full speed on a long link.
    ///
    /// Streams of the peer beyond [`max_streams`](Self::max_streams) take their
    /// initial 262,144 bytes from it too. The peer can therefore make this side
    /// buffer at most this budget, plus 262,144 bytes for each of `max_streams` and
    /// for each stream that this side opens.
    #[must_use]
    pub fn window_budget(mut self, bytes: usize) -> Self {
        self.window_budget = bytes;
        self
    }

    /// Sets how many of the peer's streams may be open at once. These streams are
    /// handed to [`Connection::accept`](super::Connection::accept). Default: 512.
    ///
    /// Further streams wait, up to the [backlog](Self::backlog), and are handed over
    /// in order as others end. Until then their data is buffered, but they are not
    /// acknowledged. A peer that waits while 256 of its streams are not acknowledged,
    /// as other implementations do, may thus open any number of streams. A waiting
    /// stream takes 262,144 bytes of the [budget](Self::window_budget). A stream is
    /// reset if the budget has no room for it, if it exceeds the backlog, or if it
    /// still waits when this side goes away. With 0, every stream is reset.
    ///
    /// A stream counts until both sides have ended it. A peer may never end its
    /// half, so opening a stream beyond the limit resets the stream that was closed
    /// on this side first, if that was longer ago than the write timeout. The same
    /// holds for streams that this side opens. Of those that are closed on this
    /// side, this many, or as many as the backlog if that is more, may wait for the
    /// peer to end its half. At that limit, opening a stream waits until there are
    /// fewer, or until the oldest can be reset.
    ///
    /// On a hub, data whose sender's stream has ended is kept until the peer accepts
    /// it, for up to this many streams and within the same budget. Beyond that, the
    /// stream is reset.
    #[doc(alias = "max_concurrent_streams")]
    #[must_use]
    pub fn max_streams(mut self, count: usize) -> Self {
        self.max_streams = count;
        self
    }

    /// Sets how many bytes a received Data frame may carry. Default: 16 MiB. A
    /// larger frame ends the connection.
    ///
    /// Other implementations send as much in one frame as the window allows, so the
    /// limit is never less than [`max_window`](Self::max_window), nor than 262,144.
    /// Frames are handled as they arrive, so this limit does not bound a buffer.
    /// Frames that this side sends carry at most 64 KiB of data.
    #[must_use]
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.max_frame = bytes;
        self
    }

    /// Sets how many streams of each side may be unacknowledged. Default: 256, as in
    /// other implementations; at least 1. An unused backlog costs nothing.
    ///
    /// Beyond the limit, streams of the peer are reset, and
    /// [`Connection::open`](super::Connection::open) waits. Of the peer's streams,
    /// this many may wait to be accepted, and as many again, beyond
    /// [`max_streams`](Self::max_streams), may wait for other streams to end.
    #[must_use]
    pub fn backlog(mut self, count: usize) -> Self {
        self.backlog = count.max(1);
        self
    }

    /// Sets how long the peer may accept no data before the connection counts as
    /// dead. Default: 10 s; from 1 ms to a day. This is also how long a ping waits
    /// for its answer, and how long a close waits for the peer.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// Says that the transports' sockets have the write timeout as their
    /// `TCP_USER_TIMEOUT`. The system then measures the same time as a blocked write does,
    /// and either may be first, so both end the connection with the same error.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn timed_by_system(mut self) -> Self {
        self.is_timed_by_system = true;
        self
    }

    /// Returns the error of a connection whose transport failed with `error`.
    pub(super) fn transport_error(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::TimedOut if self.is_timed_by_system => Error::WriteTimeout,
            _ => Error::from_read(error),
        }
    }

    /// Returns the error of a connection on which a write failed with `error`.
    pub(super) fn write_error(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::WouldBlock => Error::WriteTimeout,
            _ => self.transport_error(error),
        }
    }

    /// Sets how long the peer may be silent before it is sent a ping. Default: 15
    /// s; from 1 ms to a day; `None` switches pings off. The connection ends if the
    /// answer is not received within the write timeout.
    #[doc(alias = "heartbeat")]
    #[doc(alias = "ping_interval")]
    #[must_use]
    pub fn keep_alive(mut self, interval: Option<Duration>) -> Self {
        self.keep_alive =
            interval.map(|interval| interval.clamp(Duration::from_millis(1), LONGEST));
        self
    }

    /// Sets the stack size in bytes of the connection's threads: the reader, and helper
    /// threads that finish a write or hand over streams. Default: 256 KiB; they use only a
    /// few KiB.
    #[must_use]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// Returns how many bytes a received Data frame may carry: at least the size of
    /// a window.
    pub(super) fn largest_frame(&self) -> u32 {
        self.max_frame.max(self.max_window).max(INITIAL_WINDOW)
    }

    /// Sets the `in_lockstep` field.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn in_lockstep(mut self) -> Self {
        self.in_lockstep = true;
        self
    }

    /// Sets the prefix of the threads' names.
    pub(crate) fn thread_name(mut self, prefix: &str) -> Self {
        self.thread_name = prefix.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The system measures the write timeout only if it was told to.
    #[test]
    fn a_timeout_of_the_system_is_the_write_timeout_only_if_it_has_the_same_length() {
        let system = || io::ErrorKind::TimedOut.into();
        let mut config = Config::default();
        for error in [
            config.write_error(system()),
            config.transport_error(system()),
        ] {
            assert!(matches!(error, Error::Io(_)), "{error:?}");
        }
        config.is_timed_by_system = true;
        for error in [
            config.write_error(system()),
            config.transport_error(system()),
        ] {
            assert!(matches!(error, Error::WriteTimeout), "{error:?}");
        }
        let full = config.write_error(io::ErrorKind::WouldBlock.into());
        assert!(matches!(full, Error::WriteTimeout), "{full:?}");
    }

    #[test]
    fn a_frame_may_fill_the_largest_window() {
        let largest = |max_window, max_frame| {
            let config = Config::default().max_window(max_window);
            config.max_frame(max_frame).largest_frame()
        };
        assert_eq!(Config::default().largest_frame(), 16 << 20);
        assert_eq!(largest(1, 1), INITIAL_WINDOW);
        assert_eq!(largest(31 << 20, 16 << 20), 31 << 20);
        assert_eq!(largest(u32::MAX, 16 << 20), LARGEST_WINDOW);
        assert_eq!(largest(1 << 20, 16 << 20), 16 << 20);
    }
}
