//! Pings: the round trip, what the peer has acknowledged, and whether it is there.

use super::Shared;
use crate::{
    sync::{self, atomic::Ordering},
    transport::Wait,
    yamux::{
        error::Error,
        frame::{Flags, Header},
        ping::Life,
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The least time between two pings that measure the round trip while data
/// comes in.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes a second that the slowest link carries on which a peer that is asked for a
/// sign of life is given the time to get the question.
const SLOWEST_LINK: u64 = 8 * 1024;

impl Shared {
    pub(super) fn due_ping(&self) -> Option<Header> {
        let now = sync::now();
        if self.pings.sent_within(PING_INTERVAL, now) {
            return None;
        }
        self.ping(now, false)
    }

    /// Begins a ping that is to be queued ahead of data.
    pub(in crate::yamux) fn ping(&self, now: Instant, awaited: bool) -> Option<Header> {
        let behind = self.outbox.taken();
        let value = self.pings.begin(now, behind, awaited)?;
        Some(Header::ping(Flags::SYN, value))
    }

    /// Queues a ping now and then while data is sent: a close tells by the answers
    /// how much the peer has got.
    pub(super) fn ask_for_acknowledgement(&self) {
        let now = sync::now();
        let last = self.pings.last_sent().unwrap_or(self.since);
        if now.saturating_duration_since(last) < PING_INTERVAL {
            return;
        }
        if let Some(ping) = self.ping(now, false) {
            self.outbox.push_grant(ping);
        }
    }

    /// Bytes of data, at most, that the peer may not have got.
    pub(in crate::yamux) fn unacknowledged(&self) -> u64 {
        let taken = match self.peer_closed.load(Ordering::Acquire) {
            true => self.outbox.written(),
            false => 0,
        };
        let acknowledged = self.pings.acknowledged();
        self.outbox.sent().saturating_sub(acknowledged.max(taken))
    }

    /// Asks the peer for a sign of life, unless it was asked already and has not
    /// been heard since; does not wait. One that has not given any within
    /// `patience` is taken for dead, which ends the connection; otherwise this
    /// gives when to look again.
    ///
    /// The peer gets the question behind what is under way to it, which may fill
    /// a slow link for long. So it has more time for that, up to the write timeout,
    /// as for a keepalive.
    pub(in crate::yamux) fn look_for_life(self: &Arc<Self>, patience: Duration) -> Option<Instant> {
        let under_way = self.unacknowledged();
        let passes = Duration::from_millis(under_way.saturating_mul(1000) / SLOWEST_LINK);
        let longest = self.config.write_timeout.max(patience);
        let trips = 2 * self.pings.latest().unwrap_or_default();
        let patience = patience.saturating_add(passes + trips).min(longest);
        let (taken, waits) = self.outbox.progress();
        match self.pings.look(sync::now(), patience, taken, waits) {
            Life::Asked(ping, due) => {
                if let Some(value) = ping {
                    self.push_control(Header::ping(Flags::SYN, value));
                    self.flush(Wait::Never);
                }
                Some(due)
            }
            Life::Awaited(due) => Some(due),
            Life::Silent => {
                self.end(Error::KeepAlive);
                None
            }
        }
    }
}
