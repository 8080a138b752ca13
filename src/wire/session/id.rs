//! The id of a session.

use std::{fmt, str::FromStr};
use uuid::{Uuid, fmt::Hyphenated};

/// The id of a [`Session`](crate::Session): a random UUID, the same on both sides.
///
/// Its [`Display`](fmt::Display) is the usual form of a UUID, such as
/// `67e55044-10b1-426f-9247-bb680e5fe0c8`, which [`FromStr`] reads. The order of two ids
/// has no meaning.
///
/// # Examples
///
/// ```
/// use wirenet::SessionId;
///
/// let id: SessionId = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse()?;
/// assert_eq!(id.to_string(), "67e55044-10b1-426f-9247-bb680e5fe0c8");
/// # Ok::<(), wirenet::ParseSessionIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "uuid")]
pub struct SessionId(Uuid);

impl SessionId {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Returns the id, or `None` if there are not 16 bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        // The only error is a wrong length.
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// Returns the 16 bytes of the id, as they are sent to the peer.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.0)
    }
}

/// Reads what [`Display`](fmt::Display) has written. Capital letters are accepted.
impl FromStr for SessionId {
    type Err = ParseSessionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The error of this library contains the text itself.
        let uuid = Uuid::try_parse(text).ok();
        // The parser accepts other forms of UUIDs, too, such as URNs.
        uuid.filter(|_| text.len() == Hyphenated::LENGTH)
            .map(Self)
            .ok_or_else(|| ParseSessionIdError { given: text.into() })
    }
}

/// A text is not a [`SessionId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a session id: expected 32 hexadecimal digits in five groups, such as \
     67e55044-10b1-426f-9247-bb680e5fe0c8"
)]
pub struct ParseSessionIdError {
    given: String,
}
