//! What streams and outboxes know of a relay.

use std::{fmt, sync::Arc};

/// One of the two ends of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    A,
    B,
}

impl End {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A relay as its streams and connections know it: behind a trait, so that a
/// program without a hub links nothing of how one works.
pub(super) trait Relay: fmt::Debug + Send + Sync {
    /// Something may have come, or been granted, or ended, at either end:
    /// passes on what it can.
    fn look_after(self: Arc<Self>);

    /// There is room in the outbox of the leg at `to`: uses it for one frame,
    /// and then it is the others' turn. Whoever calls holds that outbox's
    /// writing role, and sends what is queued.
    fn on_room(self: Arc<Self>, to: End);

    /// Notes that a reader is going to look after it at the end of its turn;
    /// says whether none was.
    fn touch(&self) -> bool;
}
