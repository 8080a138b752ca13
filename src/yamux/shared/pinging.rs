//! Pings: the round trip, what the peer has acknowledged, and whether it is alive.

use super::Shared;
use crate::{
    sync::{self, atomic::Ordering},
    transport::Wait,
    yamux::{
        error::Error,
        frame::{Flags, Header},
        outbox::Lane,
        ping::PeerSign,
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The shortest time between two pings that measure the round trip while data is
/// received.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// The speed, in bytes per second, of the slowest link on which a peer has enough
/// time to receive a request for a sign of life.
const SLOWEST_LINK: u64 = 8 * 1024;

impl Shared {
    /// Returns the ping that is due, if one is.
    pub(super) fn due_ping(&self) -> Option<Header> {
        let now = sync::now();
        if self.pings.sent_within(PING_INTERVAL, now) {
            return None;
        }
        self.ping(now, false)
    }

    /// Begins a ping, to be queued ahead of data.
    pub(in crate::yamux) fn ping(&self, now: Instant, awaited: bool) -> Option<Header> {
        let behind = self.outbox.taken();
        let value = self.pings.begin(now, behind, awaited)?;
        Some(Header::ping(Flags::SYN, value))
    }

    /// Queues a ping from time to time while data is sent. The answers tell a close
    /// how much the peer has received.
    pub(super) fn ask_for_acknowledgement(&self) {
        let now = sync::now();
        let last = self.pings.last_sent().unwrap_or(self.since);
        if now.saturating_duration_since(last) < PING_INTERVAL {
            return;
        }
        if let Some(ping) = self.ping(now, false) {
            self.outbox.push(Lane::Control, ping);
        }
    }

    /// Sends a ping after what was sent so far, unless the peer has acknowledged all of it, or
    /// this side has closed the connection: the peer's close then acknowledges it.
    pub(in crate::yamux) fn ask_for_acknowledgement_now(self: &Arc<Self>) {
        if !self.has_ended()
            && self.unacknowledged() > 0
            && let Some(ping) = self.ping(sync::now(), false)
        {
            self.outbox.push(Lane::Control, ping);
            self.flush(Wait::Never);
        }
    }

    /// Returns how many bytes of data, at most, the peer may not have received.
    pub(in crate::yamux) fn unacknowledged(&self) -> u64 {
        let taken = match self.peer_took_all.load(Ordering::Acquire) {
            true => self.outbox.written(),
            false => 0,
        };
        let acknowledged = self.pings.acknowledged();
        self.outbox
            .queued_total()
            .saturating_sub(acknowledged.max(taken))
    }

    /// Asks the peer for a sign of life, unless it was asked before and has been
    /// silent since. Does not wait. A peer that gives none within `patience` is
    /// considered dead, which ends the connection; otherwise returns when to check
    /// again.
    ///
    /// The ping reaches the peer after all data that is already on its way, which
    /// may fill a slow link for a long time. The peer gets extra time for that data,
    /// up to the write timeout, as for a keepalive.
    pub(in crate::yamux) fn look_for_life(self: &Arc<Self>, patience: Duration) -> Option<Instant> {
        let under_way = self.unacknowledged();
        let passes = Duration::from_millis(under_way.saturating_mul(1000) / SLOWEST_LINK);
        let longest = self.config.write_timeout.max(patience);
        let trips = 2 * self.pings.latest().unwrap_or_default();
        let patience = patience.saturating_add(passes + trips).min(longest);
        let (taken, waits) = self.outbox.progress();
        match self.pings.look(sync::now(), patience, taken, waits) {
            PeerSign::Asked(ping, due) => {
                if let Some(value) = ping {
                    self.push_control(Header::ping(Flags::SYN, value));
                    self.flush(Wait::Never);
                }
                Some(due)
            }
            PeerSign::Awaited(due) => Some(due),
            PeerSign::Silent => {
                self.end(Error::KeepAlive);
                None
            }
        }
    }
}
