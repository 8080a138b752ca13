//! What peers may use at the same time.

use super::Builder;
#[cfg(doc)]
use crate::{RefusalCode, yamux};

/// # Limits
///
/// All of these must be greater than zero, except [`max_names`](Self::max_names).
impl Builder {
    /// Sets how many sessions a server or a hub has at the same time. Default: 12,288.
    ///
    /// One more is refused, with [`RefusalCode::TooManySessions`]. A client written with
    /// go-wirenet, which would not come back after a refusal, waits instead.
    ///
    /// A session that has ended counts until its hooks have returned, and the error
    /// handler if it gets the end's error: each of them takes a thread. So a client that
    /// reconnects again and again cannot have more of them running than there may be
    /// sessions. It also means that a hook must not wait for a new session if there is no
    /// room but that of its own session.
    ///
    /// Each session takes a thread, and a thread takes four memory maps, of which Linux
    /// lets a process have 65,530 unless `vm.max_map_count` says otherwise. The wires of a
    /// process stop at fifteen sixteenths of that, which is 15,358 threads: those of
    /// sessions and handlers, and one for each connection whose socket is full. Beyond
    /// that a connection is closed, or a stream reset, and the error is reported. A
    /// connection takes a file descriptor, too. On a small machine, choose the number of
    /// clients that it is meant to have.
    #[doc(alias("connections", "max_clients", "max_connections"))]
    pub fn max_sessions(mut self, count: usize) -> Self {
        self.options.max_sessions = count;
        self
    }

    /// Sets on how many connections a session can be in the course of being opened, TLS
    /// included. Default: 64.
    ///
    /// This bounds the unauthenticated connections of a server or a hub. Each lasts for at
    /// most the [handshake timeout](Self::handshake_timeout). Beyond the limit a
    /// connection is closed at once, and its client retries.
    ///
    /// One address cannot keep the others out. While all places are taken, a new
    /// connection evicts the oldest one of the address that has most, provided that this
    /// address still has at least as many as the newcomer's. The evicted connection is
    /// closed, and the error is reported. While there is room, one address may have all
    /// places, as clients behind one NAT box need. IPv6 addresses of one /64 count as
    /// one.
    ///
    /// Clients that wait for a name or for room, as those written with go-wirenet do,
    /// have the same number of places again, shared by the same rule, so that they keep
    /// no other client out.
    ///
    /// Before its session is established, a client may open the one stream for its
    /// request, and send 1,024 frames; more end the connection.
    #[doc(alias("backlog", "pending", "unauthenticated"))]
    pub fn max_handshakes(mut self, count: usize) -> Self {
        self.options.max_handshakes = count;
        self
    }

    /// Sets how many stream names a client may offer in one session. Default: 1,024.
    ///
    /// A hub keeps the names for as long as the session lasts. A session with more is
    /// refused, with [`RefusalCode::Malformed`].
    pub fn max_names(mut self, count: usize) -> Self {
        self.options.max_names = count;
        self
    }

    /// Sets how many streams of a session the peer may have open at the same time and
    /// have served. Default: 512.
    ///
    /// Each may make this side buffer a window of 262,144 bytes, so 512 of them may take
    /// 128 MiB. Lower this on machines with little memory.
    ///
    /// Up to 256 more wait until others have ended, the oldest first, and are not
    /// acknowledged before. A Go peer, and one of this library, opens that many without an
    /// acknowledgement, so such a peer waits instead of failing, however many streams it
    /// wants to open. A waiting stream takes its window from the
    /// [`window_budget`](Self::window_budget); if that has no room, the stream is reset.
    ///
    /// A stream counts until both sides have ended it. One that the peer leaves half open
    /// after its handler has ended holds nothing but its place, and loses that to the next
    /// stream after the write timeout. See [`yamux::Config::max_streams`] for the streams
    /// that this side opens.
    pub fn max_streams(mut self, count: usize) -> Self {
        self.options.max_streams = count;
        self
    }

    /// Sets how many handlers run at the same time, over all sessions. Default: 1,024.
    ///
    /// Each takes a thread for as long as it runs. Beyond the limit a stream is refused
    /// with an error that says so. It is never queued behind running handlers, which may
    /// be waiting for it. Lower this on machines with little memory.
    ///
    /// No session takes all: beside other sessions, one gets a further handler only while
    /// more are free than it has. So one session gets up to half of them, and each further
    /// one up to half of the rest; eleven sessions that act together take all of 1,024.
    ///
    /// On a hub, a call counts until its owner has answered. One owner may leave a quarter
    /// of the limit unanswered, and all owners together seven eighths.
    #[doc(alias("concurrency", "max_handlers", "threads", "workers"))]
    pub fn handler_limit(mut self, count: usize) -> Self {
        self.options.handler_limit = count;
        self
    }
}
