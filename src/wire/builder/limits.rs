//! What peers may use at the same time.

use super::Builder;
#[cfg(doc)]
use crate::{RefusalCode, yamux};

/// # Limits
///
/// All of these must be greater than zero, except [`max_names`](Self::max_names).
impl Builder {
    /// Sets how many sessions a server or a hub may have at the same time. Default:
    /// 12,288.
    ///
    /// A session beyond the limit is refused, with [`RefusalCode::TooManySessions`]. A
    /// client written with go-wirenet, which would not reconnect after a refusal, waits
    /// instead.
    ///
    /// A session that has ended counts until its hooks have returned, and until the
    /// error handler has returned if the session ended with an error, because each of
    /// these calls takes a thread. A client that reconnects repeatedly therefore
    /// cannot have more of them running than there may be sessions. A hook must not
    /// wait for a new session if the only room for one is that of its own session.
    ///
    /// Each session takes a thread, and a thread takes four memory maps. Linux allows a
    /// process 65,530 maps unless `vm.max_map_count` is changed. The wires of a process
    /// use at most fifteen sixteenths of them, which is 15,358 threads: those of sessions
    /// and handlers, and one for each connection whose socket is full. Beyond that, a
    /// connection is closed or a stream is reset, and the error is reported. A connection
    /// takes a file descriptor, too. On a small machine, choose the number of clients that
    /// it is meant to serve.
    #[doc(alias("connections", "max_clients", "max_connections"))]
    pub fn max_sessions(mut self, count: usize) -> Self {
        self.options.max_sessions = count;
        self
    }

    /// Sets on how many connections a session may be in the process of being opened,
    /// including the TLS handshake. Default: 64.
    ///
    /// This bounds the unauthenticated connections of a server or a hub. Each lasts for at
    /// most the [handshake timeout](Self::handshake_timeout). Beyond the limit, a
    /// connection is closed immediately, and its client retries.
    ///
    /// One address cannot block the others. While all places are taken, a new connection
    /// evicts the oldest connection of the address that has most, provided that this
    /// address then still has at least as many as the address of the new connection. The
    /// evicted connection is closed, and the error is reported. While there is room, one
    /// address may have all places, which clients behind one NAT box need. IPv6
    /// addresses of one /64 count as one address.
    ///
    /// Clients that wait for a name or for room, as those written with go-wirenet do,
    /// have an equal number of separate places, shared by the same rule, so that they
    /// block no other client.
    ///
    /// Before its session is established, a client may open only the stream for its
    /// request, and send up to 1,024 frames; more end the connection.
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

    /// Sets how many streams of each session the peer may have open and served at the
    /// same time. Default: 512.
    ///
    /// Each may make this side buffer a window of 262,144 bytes, so 512 streams may take
    /// 128 MiB. Lower this limit on machines with little memory.
    ///
    /// Up to 256 more wait until others have ended, oldest first, and are not acknowledged
    /// until then. A Go peer, or one that uses this library, opens at most 256 unacknowledged
    /// streams and then waits, so it does not fail, however many streams it wants to open.
    /// A waiting stream takes its window from the [`window_budget`](Self::window_budget);
    /// if the budget has no room, the stream is reset.
    ///
    /// A stream counts until both sides have ended it. A stream that the peer leaves half
    /// open after its handler has ended takes only its place, and after the write timeout
    /// the next stream may take that place. See [`yamux::Config::max_streams`] for the
    /// streams that this side opens.
    pub fn max_streams(mut self, count: usize) -> Self {
        self.options.max_streams = count;
        self
    }

    /// Sets how many handlers may run at the same time, in all sessions together.
    /// Default: 1,024.
    ///
    /// Each handler takes a thread for as long as it runs. Beyond the limit, a stream is
    /// refused with an error that gives this reason. A stream is never queued behind
    /// running handlers, because these may be waiting for it. Lower this on machines
    /// with little memory.
    ///
    /// The place of a handler becomes free when it has returned and its stream has been
    /// closed, a moment after the peer has received its answer. A peer that keeps exactly
    /// `count` streams open, and opens the next one as soon as it has an answer, is
    /// therefore refused now and then, with a refusal that [is for
    /// now](crate::Refusal::is_for_now). To bound what one peer does, limit its calls in
    /// the peer, and choose a higher limit here.
    ///
    /// No session can take all handlers: while there are other sessions, a session gets a
    /// further handler only while more are free than it has. One session thus gets up to
    /// half of the handlers, and each further session up to half of the rest; eleven
    /// sessions that act together take all of 1,024.
    ///
    /// On a hub, a call counts until its owner has answered. One owner may leave a quarter
    /// of the limit unanswered, and all owners together seven eighths.
    #[doc(alias("concurrency", "max_handlers", "threads", "workers"))]
    pub fn handler_limit(mut self, count: usize) -> Self {
        self.options.handler_limit = count;
        self
    }
}
