//! What a session or a wire has done so far, in numbers.

use crate::yamux;
use std::time::{Duration, SystemTime};

/// Counts of a [`Session`](super::Session) or of a whole [`Wire`](super::Wire),
/// whose ended sessions count too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// When the session began to stand, or the wire was made.
    pub since: SystemTime,
    /// Sessions that have stood so far; 1 for a session.
    pub sessions: u64,
    /// Bytes sent in streams, with the heads of messages' chunks and what opens
    /// streams. Headers of frames do not count.
    pub bytes_sent: u64,
    /// Bytes received in streams, counted alike.
    pub bytes_received: u64,
    /// Streams that this side has opened. The session's own first one counts.
    pub streams_opened: u64,
    /// Streams that the other side has opened. The session's own first one
    /// counts.
    pub streams_accepted: u64,
    /// Streams that were refused, by whichever side.
    pub streams_refused: u64,
    /// Streams that one side has ended at once, and those that a session's end
    /// has cut.
    pub streams_reset: u64,
    /// The round trip that the last ping took: of a wire, in whichever of its
    /// sessions; `None` before there was one.
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
