//! How long to wait for a peer, and how to detect that it is gone.

use super::Builder;
#[cfg(doc)]
use crate::wire::{Stream, Wire};
use std::time::Duration;

/// # Timeouts and liveness
impl Builder {
    /// Sets how long a client waits for its server's name to be resolved, and then for
    /// each address to answer. Default: 10 s.
    ///
    /// Dialling a name with several addresses may take several times as long. Must be
    /// greater than zero. 10 s is enough for satellite and mobile links that lose the
    /// first packet or two; in a local network a second is enough.
    #[doc(alias("connect_timeout"))]
    pub fn dial_timeout(mut self, timeout: Duration) -> Self {
        self.options.dial_timeout = timeout;
        self
    }

    /// Sets how long the opening of a stream, or of a session including TLS, may take
    /// in all. Default: 10 s.
    ///
    /// With a longer timeout, a silent peer occupies a connection, and one of
    /// [`max_handshakes`](Self::max_handshakes), for longer. With a shorter one, links
    /// with long round trips cannot be used: opening a session with TLS takes two round
    /// trips, plus the time that the certificates need. Must be greater than zero.
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
    /// long, the peer counts as dead, and the session ends, also for reading threads.
    /// This is also how long a ping waits for its answer. A slow peer does not count as
    /// dead: the time starts anew whenever something can be written. Raise it for links
    /// that may be interrupted for longer than 10 s. At most a day.
    ///
    /// Both must be greater than zero.
    #[doc(alias("io_timeout", "read_timeout", "write_timeout"))]
    pub fn read_write_timeouts(mut self, read: Option<Duration>, write: Duration) -> Self {
        self.options.read_timeout = read;
        self.options.write_timeout = write;
        self
    }

    /// Sets how long a [close](Wire::close) waits for running streams to end. Default:
    /// 5 s.
    ///
    /// Zero cuts them immediately. On a slow link, allow enough time to complete typical
    /// transfers.
    #[doc(alias("graceful", "shutdown_timeout"))]
    pub fn session_close_timeout(mut self, timeout: Duration) -> Self {
        self.options.session_close_timeout = timeout;
        self
    }

    /// Sets whether to ping a peer that has been silent for a while. Default:
    /// `true`.
    ///
    /// If the answer does not arrive within the [write
    /// timeout](Self::read_write_timeouts), the peer counts as dead, and its session ends.
    /// Without pings, only the next write detects a dead peer or an expired NAT
    /// entry.
    #[doc(alias("heartbeat", "liveness", "ping"))]
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.options.keep_alive = on;
        self
    }

    /// Sets how long a peer may be silent before it is pinged. Default: 15 s.
    ///
    /// The default keeps the entries of common NAT boxes alive. Choose a shorter time for
    /// networks that drop idle connections sooner, and a longer one on metered links,
    /// where a ping and its answer cost about 100 bytes each way. Must be greater than
    /// zero; the range is from 1 ms to a day.
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
