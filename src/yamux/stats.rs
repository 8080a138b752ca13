//! What a connection has done so far, in numbers.

/// Counts of one connection since it began; see
/// [`Connection::stats`](super::Connection::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes sent in streams. Headers do not count.
    pub bytes_sent: u64,
    /// Bytes received in streams. Headers do not count.
    pub bytes_received: u64,
    /// Streams that this side has opened.
    pub streams_opened: u64,
    /// Streams that the peer has opened, and that were let in.
    pub streams_accepted: u64,
    /// Streams that were refused, by whichever side. One whose peer sent a
    /// reset instead of a reason counts as reset.
    pub streams_refused: u64,
    /// Streams that one side has ended at once, and those that a connection's
    /// end has cut.
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
