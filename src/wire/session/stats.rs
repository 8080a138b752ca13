//! Counts of what a session or a wire has done so far.

use crate::yamux;
use std::time::{Duration, SystemTime};

/// Counts of what a [`Session`](crate::Session) or a whole [`Wire`](crate::Wire) has done so
/// far.
///
/// Returned by [`Session::stats`](crate::Session::stats) and
/// [`Wire::stats`](crate::Wire::stats). The counts of a wire include its ended
/// sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "metrics")]
pub struct Stats {
    /// When the session was established, or the wire was built.
    pub since: SystemTime,
    /// The number of sessions established so far; 1 for a session.
    pub sessions: u64,
    /// The number of bytes sent in streams. Includes the frames that open streams and the
    /// lengths of chunks, but not the headers of yamux frames.
    pub bytes_sent: u64,
    /// The number of bytes received in streams, counted in the same way.
    pub bytes_received: u64,
    /// The number of streams opened by this side. Includes the one in which a client opens
    /// its session.
    pub streams_opened: u64,
    /// The number of streams opened by the peer. Includes the one in which a client opens
    /// its session.
    pub streams_accepted: u64,
    /// The number of streams refused, by either side.
    pub streams_refused: u64,
    /// The number of streams reset by either side, or cut by the end of their session.
    pub streams_reset: u64,
    /// The round-trip time of the last ping; for a wire, in any of its sessions. `None`
    /// before the first ping.
    pub round_trip_time: Option<Duration>,
}

impl Stats {
    pub(crate) fn new(since: SystemTime, sessions: u64, traffic: yamux::Stats) -> Self {
        Self {
            since,
            sessions,
            bytes_sent: traffic.bytes_sent,
            bytes_received: traffic.bytes_received,
            streams_opened: traffic.streams_opened,
            streams_accepted: traffic.streams_accepted,
            streams_refused: traffic.streams_refused,
            streams_reset: traffic.streams_reset,
            round_trip_time: None,
        }
    }
}
