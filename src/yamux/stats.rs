//! Counters of a connection.

/// The counters of a connection since it began; see
/// [`Connection::stats`](super::Connection::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The bytes sent on streams, without headers.
    pub bytes_sent: u64,
    /// The bytes received on streams, without headers.
    pub bytes_received: u64,
    /// The streams that this side opened.
    pub streams_opened: u64,
    /// The streams that the peer opened and this side accepted.
    pub streams_accepted: u64,
    /// The streams that either side refused. A refusal without a reason, by a
    /// reset alone, counts as a reset.
    pub streams_refused: u64,
    /// The streams that either side reset, and those that the end of the
    /// connection cut.
    pub streams_reset: u64,
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.streams_opened += other.streams_opened;
        self.streams_accepted += other.streams_accepted;
        self.streams_refused += other.streams_refused;
        self.streams_reset += other.streams_reset;
    }
}
