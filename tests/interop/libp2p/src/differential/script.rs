//! What the peer does, as data.

use std::sync::LazyLock;

use crate::frames::{DATA, Frame, SYN};

/// What a stream may carry before anything is granted.
pub const WINDOW: u32 = 262_144;

/// The part that both implementations have; the peer has the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

/// What the application behind does with every stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Sends back what comes, reads no further while that cannot leave, and
    /// ends its half at the end of the other.
    Echo,
    /// Reads all, and ends its half at the end of the other.
    Read,
    /// Accepts, and neither reads nor writes.
    Ignore,
}

/// The stream that a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Stream 0.
    Session,
    /// One of those that the peer may open.
    Peers(u32),
    /// One of those that the implementation may open.
    Own(u32),
}

/// The length in a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Is(u32),
    /// All that may still be sent on the stream.
    Credit,
    /// One byte more than that.
    BeyondCredit,
    /// So much, but no body follows.
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
    /// A header of that version and type.
    Header { version: u8, kind: u8 },
    /// The application opens its next stream.
    Open,
    /// It ends its half of a stream.
    Finish(Target),
    /// It ends both.
    Reset(Target),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub act: Act,
    /// It arrives in one piece with what the next step sends.
    pub held: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub role: Role,
    pub manner: Manner,
    /// Streams that may be open at once.
    pub max_streams: usize,
    pub steps: Vec<Step>,
}

impl Script {
    /// Few scripts reach this many streams.
    pub const MANY: usize = 64;

    pub fn new(role: Role, manner: Manner, acts: &[Act]) -> Self {
        let step = |act: &Act| Step {
            act: *act,
            held: false,
        };
        Self {
            role,
            manner,
            max_streams: Self::MANY,
            steps: acts.iter().map(step).collect(),
        }
    }

    /// The same with all from one step on in as few pieces as may be.
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

    /// Whether it may arrive in one piece with the next.
    pub fn may_lead(self, next: Self) -> bool {
        let by_peer = |act| matches!(act, Self::Frame { .. } | Self::Header { .. });
        // What follows an announcement is the body.
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

/// How often the bytes of a stream repeat.
const PERIOD: usize = 251;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let count = (1 << 20) + 2 * PERIOD;
    (0..count).map(|index| (index % PERIOD) as u8).collect()
});

/// The bytes of stream `id`, from `offset` on: other ones for each stream, so
/// that none come out at another's end unnoticed.
pub fn bytes(id: u32, offset: u64, len: usize) -> &'static [u8] {
    let start = (u64::from(id) * 31 + offset) as usize % PERIOD;
    &BYTES[start..start + len]
}

/// A frame whose body, if it has one, is of the stream's bytes.
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
