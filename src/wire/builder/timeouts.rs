//! How long to wait for a peer, and how to notice that it is gone.

use super::Builder;
#[cfg(doc)]
use crate::wire::{Stream, Wire};
use std::time::Duration;

/// # Timeouts and liveness
impl Builder {
    /// Sets how long a client waits for its server's name to be resolved, and then for
    /// each of the addresses to answer. Default: 10 s.
    ///
    /// A name with several addresses may thus take several times as long. Must be greater
    /// than zero. 10 s is enough for satellite and mobile links that lose the first
    /// packet or two; in a local network a second is enough.
    #[doc(alias("connect_timeout"))]
    pub fn dial_timeout(mut self, timeout: Duration) -> Self {
        self.options.dial_timeout = timeout;
        self
    }

    /// Sets how long the opening of a session, TLS included, or of a stream may take in
    /// all. Default: 10 s.
    ///
    /// With a longer timeout, a peer that says nothing holds a connection for longer, and
    /// one of [`max_handshakes`](Self::max_handshakes). With a shorter one, links with
    /// long round trips cannot be used: a session takes two of them with TLS, beside what
    /// the certificates need. Must be greater than zero.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// Sets how long reads and writes may wait. Default: `None` and 10 s.
    ///
    /// `read` is the [read timeout](Stream::set_read_timeout) of each new stream; with
    /// `None`, reads wait until something arrives or the stream ends.
    ///
    /// `write` is for the whole connection. If nothing can be written to it for this
    /// long, the peer counts as dead, and the session ends, for reading threads, too. It
    /// is also how long a ping waits for its answer. A slow peer is not a dead one: the
    /// time starts anew whenever something can be written. Raise it for links that are
    /// interrupted for longer than 10 s and then go on. At most a day.
    ///
    /// Neither may be zero.
    #[doc(alias("io_timeout", "read_timeout", "write_timeout"))]
    pub fn read_write_timeouts(mut self, read: Option<Duration>, write: Duration) -> Self {
        self.options.read_timeout = read;
        self.options.write_timeout = write;
        self
    }

    /// Sets how long a [close](Wire::close) lets open streams end. Default: 5 s.
    ///
    /// Zero cuts them at once. On a slow link, allow for the transfer of what is usually
    /// under way.
    #[doc(alias("graceful", "shutdown_timeout"))]
    pub fn session_close_timeout(mut self, timeout: Duration) -> Self {
        self.options.session_close_timeout = timeout;
        self
    }

    /// Sets whether to ping a peer from which nothing has been received for a while.
    /// Default: `true`.
    ///
    /// If the answer does not arrive within the [write
    /// timeout](Self::read_write_timeouts), the peer is gone, and its session ends.
    /// Without pings, a dead peer or an expired NAT entry is noticed only by the next
    /// write.
    #[doc(alias("heartbeat", "liveness", "ping"))]
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.options.keep_alive = on;
        self
    }

    /// Sets after how long without a byte from the peer to ping it. Default: 15 s.
    ///
    /// That keeps the entries of common NAT boxes alive. Choose less for networks that
    /// drop idle connections sooner, and more on metered links, where a ping and its
    /// answer cost about 100 bytes each way. Must be greater than zero; the range is from
    /// 1 ms to a day.
    #[doc(alias("heartbeat", "ping_interval"))]
    pub fn keep_alive_interval(mut self, interval: Duration) -> Self {
        self.options.keep_alive_interval = interval;
        self
    }

    /// Sets whether a message may end with its stream, without an end mark. Default:
    /// `false`, so that a message without an end mark is an error.
    ///
    /// This is the initial value of [`Stream::set_takes_unmarked_end`] for each new
    /// stream. Some programs written with go-wirenet send messages without an end mark.
    pub fn takes_unmarked_end(mut self, takes: bool) -> Self {
        self.options.takes_unmarked_end = takes;
        self
    }
}
