//! The settings of a connection.

use super::window::INITIAL_WINDOW;
use std::{sync::Arc, time::Duration};

/// Longer timeouts are cut to this: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Larger windows are cut to this. A window of a relay may take it twice of the
/// budget, once to follow the far end's credit and once as it grows by itself,
/// and the sum is still to fit a `u32`.
const LARGEST_WINDOW: u32 = 1 << 31;

/// The settings of a [`Connection`](super::Connection); the default suits most.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use wirenet::yamux::Config;
///
/// // A box with little memory, on a network that drops idle connections.
/// let config = Config::default()
///     .window_budget(1 << 20)
///     .keep_alive(Some(Duration::from_secs(5)));
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) max_window: u32,
    pub(super) window_budget: usize,
    pub(super) max_streams: usize,
    pub(super) max_frame: u32,
    pub(super) backlog: usize,
    pub(super) write_timeout: Duration,
    pub(super) keep_alive: Option<Duration>,
    pub(super) stack_size: usize,
    /// One thread drives the reader and the peer in turn: nothing waits for the peer
    /// here, and no thread is started to hand promoted streams over.
    #[cfg(any(test, fuzzing))]
    pub(super) in_lockstep: bool,
    pub(super) thread_name: Arc<str>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_window: 16 << 20,
            window_budget: 64 << 20,
            max_streams: 512,
            max_frame: 16 << 20,
            backlog: 256,
            write_timeout: Duration::from_secs(10),
            keep_alive: Some(Duration::from_secs(15)),
            stack_size: 256 << 10,
            #[cfg(any(test, fuzzing))]
            in_lockstep: false,
            thread_name: "wirenet".into(),
        }
    }
}

impl Config {
    /// Bytes up to which one stream's receive window grows: 16 MiB. That fills
    /// a link of 1 Gbit/s with round trips of 130 ms. Below the 262,144 that
    /// the protocol starts with, windows do not grow. Up to 2 GiB.
    #[must_use]
    pub fn max_window(mut self, bytes: u32) -> Self {
        self.max_window = bytes.min(LARGEST_WINDOW);
        self
    }

    /// Bytes by which all of the connection's receive windows together may
    /// grow beyond their first 262,144 each: 64 MiB, four streams at full
    /// speed on a long link. Streams of the peer's beyond
    /// [`max_streams`](Self::max_streams) take their first 262,144 from it too.
    /// So what the peer may make this side buffer is bounded by this, plus
    /// 262,144 for each of `max_streams` and for each stream that this side
    /// opens.
    #[must_use]
    pub fn window_budget(mut self, bytes: usize) -> Self {
        self.window_budget = bytes;
        self
    }

    /// Streams that the peer may have open at once, and that are handed to
    /// [`Connection::accept`](super::Connection::accept): 512.
    ///
    /// More of them wait, up to the [backlog](Self::backlog), the oldest first:
    /// what the peer sends on them is buffered, but they are acknowledged and
    /// handed over only when others have ended. A peer that waits once 256 of
    /// its streams are not acknowledged, as other implementations do, may open
    /// as many as it likes. Each takes 262,144 bytes of the
    /// [budget](Self::window_budget) while it waits. One for which the budget has
    /// no room, or beyond the backlog, is reset; so are those that wait when this
    /// side goes away. With 0, each stream is reset.
    ///
    /// One counts until both sides have ended it. A peer may never end its
    /// half: a stream that was closed on this side for longer than the write
    /// timeout is reset when one more is wanted, the oldest first. The same
    /// holds for streams that this side opens: of those that are closed here,
    /// so many may wait for the peer to end its half, or as many as the
    /// [backlog](Self::backlog) if that is more;
    /// then opening waits until there are fewer, or the oldest can be reset.
    ///
    /// On a hub, what callers have said that are gone waits for the peer to take
    /// it, on so many streams too and within the same
    /// [budget](Self::window_budget); one more is reset.
    #[must_use]
    pub fn max_streams(mut self, count: usize) -> Self {
        self.max_streams = count;
        self
    }

    /// Bytes that one received Data frame may carry: 16 MiB. A larger one ends
    /// the connection. Other implementations send as much as the window allows
    /// in one frame, so a limit below [`max_window`](Self::max_window), or below
    /// 262,144, has no effect: that one holds. Frames are handled as they
    /// arrive, so that this bounds no buffer. What is sent carries at most
    /// 64 KiB of the user's bytes in a frame.
    #[must_use]
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.max_frame = bytes;
        self
    }

    /// Streams opened and not yet acknowledged, each way: 256, as other
    /// implementations have it. Past that, a peer's are reset, and
    /// [`Connection::open`](super::Connection::open) waits. Of a peer's, so many
    /// may wait to be accepted, and as many for others to end, beyond
    /// [`max_streams`](Self::max_streams). At least 1; what is not used costs
    /// nothing.
    #[must_use]
    pub fn backlog(mut self, count: usize) -> Self {
        self.backlog = count.max(1);
        self
    }

    /// How long the peer may take nothing of what is sent to it before the
    /// connection counts as dead: 10 s. Also how long a ping waits for its
    /// answer, and a close for the peer to do its part. From 1 ms to a day.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// After how long without a byte from the peer to ping it: 15 s. An answer
    /// that does not come within the write timeout ends the connection. `None`
    /// never pings. From 1 ms to a day.
    #[must_use]
    pub fn keep_alive(mut self, interval: Option<Duration>) -> Self {
        self.keep_alive =
            interval.map(|interval| interval.clamp(Duration::from_millis(1), LONGEST));
        self
    }

    /// The stack of the reader thread in bytes: 256 KiB, of which a few are
    /// used.
    #[must_use]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// What one received Data frame may carry: at least what a window may grant.
    pub(super) fn largest_frame(&self) -> u32 {
        self.max_frame.max(self.max_window).max(INITIAL_WINDOW)
    }

    /// See the field.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn in_lockstep(mut self) -> Self {
        self.in_lockstep = true;
        self
    }

    /// What the names of the threads begin with.
    pub(crate) fn thread_name(mut self, prefix: &str) -> Self {
        self.thread_name = prefix.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_may_carry_as_much_as_the_largest_window() {
        let largest = |max_window, max_frame| {
            let config = Config::default().max_window(max_window);
            config.max_frame(max_frame).largest_frame()
        };
        assert_eq!(Config::default().largest_frame(), 16 << 20);
        assert_eq!(largest(1, 1), INITIAL_WINDOW);
        assert_eq!(largest(31 << 20, 16 << 20), 31 << 20);
        assert_eq!(largest(u32::MAX, 16 << 20), LARGEST_WINDOW);
        assert_eq!(largest(1 << 20, 16 << 20), 16 << 20);
    }
}
