//! The scripts: what the peer and the application do, as data.

use std::sync::LazyLock;

use crate::frames::{DATA, Frame, SYN};

/// The initial window of a stream, in bytes.
pub const WINDOW: u32 = 262_144;

/// The role of both implementations. The peer has the other role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

/// What the application does with every stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Echoes the data, and reads no further while it cannot write. Ends its half
    /// when the peer has ended the other.
    Echo,
    /// Reads everything. Ends its half when the peer has ended the other.
    Read,
    /// Accepts the stream, and neither reads nor writes.
    Ignore,
}

/// The stream that a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Stream 0.
    Session,
    /// A stream that the peer may open, by its index.
    Peers(u32),
    /// A stream that the implementation may open, by its index.
    Own(u32),
}

/// The length in a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Is(u32),
    /// The remaining credit of the stream.
    Credit,
    /// One byte more than the remaining credit.
    BeyondCredit,
    /// This length, although no body follows.
    Announced(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Frame {
        kind: u8,
        flags: u16,
        target: Target,
        length: Length,
    },
    /// The peer sends a header with this version and type.
    Header { version: u8, kind: u8 },
    /// The application opens its next stream.
    Open,
    /// The application ends its half of a stream.
    Finish(Target),
    /// The application resets a stream.
    Reset(Target),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub act: Act,
    /// Whether the step's bytes arrive in one piece with those of the next step.
    pub held: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub role: Role,
    pub behaviour: Behaviour,
    /// The limit on concurrently open streams.
    pub max_streams: usize,
    pub steps: Vec<Step>,
}

impl Script {
    /// A limit that few scripts reach.
    pub const MANY: usize = 64;

    pub fn new(role: Role, behaviour: Behaviour, acts: &[Act]) -> Self {
        let step = |act: &Act| Step {
            act: *act,
            held: false,
        };
        Self {
            role,
            behaviour,
            max_streams: Self::MANY,
            steps: acts.iter().map(step).collect(),
        }
    }

    /// Makes the bytes from one step on arrive in as few pieces as possible.
    #[must_use]
    pub fn held_from(mut self, first: usize) -> Self {
        for step in &mut self.steps[first..] {
            step.held = true;
        }
        self
    }
}

impl Target {
    pub fn id(self, role: Role) -> u32 {
        let (own, peers) = match role {
            Role::Client => (1, 2),
            Role::Server => (2, 1),
        };
        match self {
            Self::Session => 0,
            Self::Peers(index) => peers + 2 * index,
            Self::Own(index) => own + 2 * index,
        }
    }
}

impl Act {
    pub fn frame(kind: u8, flags: u16, target: Target, length: u32) -> Self {
        Self::Frame {
            kind,
            flags,
            target,
            length: Length::Is(length),
        }
    }

    /// Returns whether this act's bytes may arrive in one piece with the next act's.
    pub fn may_lead(self, next: Self) -> bool {
        let by_peer = |act| matches!(act, Self::Frame { .. } | Self::Header { .. });
        // The bytes after an announced length would be taken for the body.
        let whole = !matches!(
            self,
            Self::Frame {
                length: Length::Announced(_),
                ..
            }
        );
        by_peer(self) && whole && by_peer(next)
    }

    /// Opens a stream.
    pub fn syn(target: Target) -> Self {
        Self::frame(crate::frames::WINDOW_UPDATE, SYN, target, 0)
    }
}

/// The length after which the bytes of a stream repeat.
const PERIOD: usize = 251;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let count = (1 << 20) + 2 * PERIOD;
    (0..count).map(|index| (index % PERIOD) as u8).collect()
});

/// Returns the bytes of stream `id` from `offset` on. They differ between streams, so
/// that bytes that arrive on the wrong stream are detected.
pub fn bytes(id: u32, offset: u64, len: usize) -> &'static [u8] {
    let start = (u64::from(id) * 31 + offset) as usize % PERIOD;
    &BYTES[start..start + len]
}

/// Returns a frame. If it has a body, that consists of the stream's bytes.
pub fn frame(kind: u8, flags: u16, id: u32, length: u32, offset: u64) -> Frame {
    let body = if kind == DATA {
        bytes(id, offset, length as usize).to_vec()
    } else {
        Vec::new()
    };
    Frame {
        kind,
        flags,
        stream: id,
        length,
        body,
    }
}
