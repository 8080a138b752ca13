//! What the reader does while nothing is received: ticks, keepalive, and freeing
//! memory.

use super::{ConnectionReader, IDLE_BUFFER};
use crate::{
    sync,
    transport::Wait,
    yamux::{
        error::Error,
        segment::{self, Segment},
    },
};
use std::time::Duration;

/// How long a large buffer is kept after the last byte. Large buffers in the
/// process's pool are kept for as long again.
const BUSY_TICK: Duration = Duration::from_secs(1);

/// The longest time between two checks of an idle reader, for example of whether
/// the connection was closed meanwhile.
const IDLE_TICK: Duration = Duration::from_secs(15);

impl ConnectionReader {
    /// Returns how long the next read may take before there is something else to
    /// do.
    pub(super) fn tick(&self) -> Duration {
        let tick = self.own_tick();
        if !self.streams_wait {
            return tick;
        }
        self.shared.next_eviction().map_or(tick, |due| {
            let left = due.saturating_duration_since(sync::now());
            tick.min(left.max(Duration::from_millis(1)))
        })
    }

    fn own_tick(&self) -> Duration {
        let config = &self.shared.config;
        if let Some(deadline) = self.shared.linger_deadline() {
            let left = deadline.saturating_duration_since(sync::now());
            return left.max(Duration::from_millis(1));
        }
        if let Some(pinged) = self.pinged {
            let left = config
                .write_timeout
                .saturating_sub(sync::now().saturating_duration_since(pinged));
            return left.max(Duration::from_millis(1));
        }
        let rest = if self.unsettled { BUSY_TICK } else { IDLE_TICK };
        let interval = config.keep_alive.unwrap_or(IDLE_TICK);
        if self.quiet {
            let left = interval.saturating_sub(sync::now().duration_since(self.heard));
            return left.clamp(Duration::from_millis(1), rest);
        }
        // While much is received, each read has the same timeout, because changing it
        // takes a system call.
        if self.buf.capacity() > IDLE_BUFFER {
            interval.min(BUSY_TICK)
        } else {
            interval.min(rest)
        }
    }

    /// Frees memory and checks whether the peer is alive, after nothing was
    /// received.
    pub(super) fn on_idle(&mut self) -> Result<(), Error> {
        self.unsettled = self.buf.capacity() > IDLE_BUFFER;
        if self.unsettled {
            self.buf = Segment::with_room(IDLE_BUFFER);
        }
        // Frees what was not used since the last time.
        segment::trim_pool();
        let config = &self.shared.config;
        let Some(interval) = config.keep_alive else {
            return Ok(());
        };
        // Measured by the clock, because a read may have been cut short.
        let now = sync::now();
        if let Some(pinged) = self.pinged {
            return match now.duration_since(pinged) >= config.write_timeout {
                true => Err(self.fail(Error::KeepAlive)),
                false => Ok(()),
            };
        }
        self.quiet = true;
        if now.duration_since(self.heard) < interval {
            return Ok(());
        }
        self.pinged = Some(now);
        if let Some(ping) = self.shared.ping(now, false) {
            self.shared.push_control(ping);
            self.shared.flush(Wait::Never);
        }
        Ok(())
    }
}
