//! Which side of a connection this is.

use super::frame::StreamId;

/// Which side of the connection this is, and so which ids it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Dialled: opens streams 1, 3, 5 …
    Client,
    /// Accepted: opens streams 2, 4, 6 …
    Server,
}

impl Role {
    pub(super) fn first_id(self) -> u32 {
        match self {
            Self::Client => 1,
            Self::Server => 2,
        }
    }

    pub(super) fn is_ours(self, id: StreamId) -> bool {
        id.0 % 2 == self.first_id() % 2
    }
}
