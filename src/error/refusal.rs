//! Refusals of streams and sessions, on both sides.

use super::printable::Printable;
use std::fmt;

/// Why the peer refused a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer has no handler for that name.
    HandlerNotFound,
    /// The peer is a hub, and the session that offered the name has ended.
    SessionNotFound,
    /// The session is closed on the peer's side.
    SessionClosed,
    /// Any other reason, as the peer's text: from a validator, or a limit.
    Other(String),
}

const HANDLER_NOT_FOUND: &str = "wirenet: stream handler not found";
const SESSION_NOT_FOUND: &str = "wirenet: session not found";
const SESSION_CLOSED: &str = "wirenet: session closed";

/// How the texts begin that this library sends. Those that are not named above are about a
/// limit, or about a failure that may pass.
const OWN: &str = "wirenet: ";

impl Refusal {
    /// Returns whether the same call may succeed a little later: all handlers of the peer
    /// are [busy](crate::Builder::handler_limit), a hub's client does not answer or has just
    /// left, or the session was closed, so that the call belongs on the next one.
    ///
    /// `false` if there is no handler for the name, and if a
    /// [validator](crate::Builder::token_validator) of the program refused the stream: only
    /// the program knows what its texts mean.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{Error, Session, Stream};
    ///
    /// /// Returns `None` if the client cannot take another job now.
    /// fn open_job(client: &Session) -> Result<Option<Stream>, Error> {
    ///     match client.open_stream("job") {
    ///         Err(Error::Refused { refusal, .. }) if refusal.is_for_now() => Ok(None),
    ///         outcome => outcome.map(Some),
    ///     }
    /// }
    /// ```
    pub fn is_for_now(&self) -> bool {
        match self {
            Self::HandlerNotFound => false,
            Self::SessionNotFound | Self::SessionClosed => true,
            Self::Other(text) => text.starts_with(OWN),
        }
    }

    pub(crate) fn from_text(text: &str) -> Self {
        match text {
            HANDLER_NOT_FOUND => Self::HandlerNotFound,
            SESSION_NOT_FOUND => Self::SessionNotFound,
            SESSION_CLOSED => Self::SessionClosed,
            other => Self::Other(other.into()),
        }
    }

    /// Returns the text that is sent for this refusal.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::HandlerNotFound => HANDLER_NOT_FOUND,
            Self::SessionNotFound => SESSION_NOT_FOUND,
            Self::SessionClosed => SESSION_CLOSED,
            Self::Other(text) => text,
        }
    }
}

/// Prints more than the text that is sent to the peer. Both sides print the same.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HandlerNotFound => {
                "no handler for this name (at a hub: no connected client offers it)"
            }
            Self::SessionNotFound => {
                "the client that offers this name has just left the hub; try again once it is \
                 connected"
            }
            Self::SessionClosed => "the session is closed; open the stream on the next session",
            Self::Other(text) => return Printable(text).fmt(f),
        })
    }
}

/// Why a session was refused, as a number. Peers written with go-wirenet send
/// none.
///
/// A client that has not had a session since it was started gives up after
/// [`TokenRefused`](Self::TokenRefused), [`NameNotAllowed`](Self::NameNotAllowed),
/// [`Malformed`](Self::Malformed), and a refusal without a code. A client that has had one
/// retries after a random part of the [longest wait](crate::Builder::retry_wait): the server
/// has accepted it before, so the reason may be a temporary fault of the server. After the
/// other codes a client always retries. [`Builder::retry_policy`](crate::Builder::retry_policy) can
/// decide otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The validator did not accept the token.
    TokenRefused = 1,
    /// Another session owns a stream name that this session offers.
    NameTaken = 2,
    /// The limit on sessions is reached.
    TooManySessions = 3,
    /// The accepting side is closing.
    Closing = 4,
    /// The request is malformed.
    Malformed = 5,
    /// The session may not offer one of its stream names; see
    /// [`Builder::access`](crate::Builder::access).
    NameNotAllowed = 6,
    /// The refusal is temporary: a validator returned [`Denied::for_now`], or
    /// panicked.
    TryLater = 8,
    /// A number that this version does not know.
    Unknown = 0,
}

impl RefusalCode {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            // From peers that send no code.
            0 => return None,
            1 => Self::TokenRefused,
            2 => Self::NameTaken,
            3 => Self::TooManySessions,
            4 => Self::Closing,
            5 => Self::Malformed,
            6 => Self::NameNotAllowed,
            8 => Self::TryLater,
            _ => Self::Unknown,
        })
    }
}

/// Why a [validator](crate::Builder::token_validator), or
/// [`access`](crate::Builder::access), denies something: permanently or
/// temporarily.
///
/// **The text is sent to the peer, which may be anyone who can connect.** A client whose
/// session is denied permanently gives up, unless it has had a session before; a client
/// whose session is denied temporarily retries. For streams there is no difference: the
/// caller gets the text, and decides whether to retry.
///
/// This side's [error handler](crate::Builder::on_error) gets the text, too, or more: what
/// the alternate form `{:#}` prints, which for an `anyhow::Error` contains its causes.
///
/// Everything that implements [`Display`](fmt::Display) converts into it: a `&str`, a `String`, an
/// [`io::Error`](std::io::Error) or any other error, of this or of another library. **`?`
/// on an error therefore denies permanently**, and sends the error's text to the peer, with
/// the paths and addresses that it contains. `.map_err(Denied::for_now)?` denies
/// temporarily; `.map_err(|_| Denied::for_now("try again later"))?` also hides the error.
///
/// # Examples
///
/// ```
/// use wirenet::{Denied, Wire};
/// # fn look_up(_: &[u8]) -> std::io::Result<Option<Vec<u8>>> { Ok(None) }
///
/// let server = Wire::mount("127.0.0.1:0").token_validator(|_stream, id, token| {
///     // Permanently, with the error's text.
///     let id = std::str::from_utf8(id)?;
///     // While the database is unreachable, clients retry. They do not get its address.
///     let known = look_up(id.as_bytes()).map_err(|error| {
///         log::error!("cannot look up {id}: {error}");
///         Denied::for_now("try again later")
///     })?;
///     match known {
///         Some(known) if wirenet::same_token(token, &known) => Ok(()),
///         // Permanently.
///         _ => Err(format!("bad token of {id}").into()),
///     }
/// });
/// # let _ = server;
/// ```
// Neither `Display` nor `Error`, because `From<T: Display>` would then overlap with the
// conversion of each type into itself.
#[doc(alias = "unauthorized")]
#[doc(alias = "forbidden")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    text: String,
    /// The alternate form of an error, with its causes, if it differs from the text.
    detail: Option<Box<str>>,
    for_now: bool,
}

impl Denied {
    /// Denies permanently: retrying will not help.
    pub fn new(text: impl fmt::Display) -> Self {
        Self::from_display(&text, false)
    }

    /// Denies temporarily: retrying may help.
    pub fn for_now(text: impl fmt::Display) -> Self {
        Self::from_display(&text, true)
    }

    fn from_display(reason: &dyn fmt::Display, for_now: bool) -> Self {
        let (text, detail) = (reason.to_string(), format!("{reason:#}"));
        let detail = (detail != text).then(|| detail.into());
        Self {
            text,
            detail,
            for_now,
        }
    }

    /// Returns the text that is sent to the peer.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether retrying may help.
    pub fn is_for_now(&self) -> bool {
        self.for_now
    }

    /// Takes what only this side reports.
    pub(crate) fn take_detail(&mut self) -> Option<Box<str>> {
        self.detail.take()
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// Denies permanently, as [`Denied::new`], with what `Display` prints.
impl<T: fmt::Display> From<T> for Denied {
    fn from(reason: T) -> Self {
        Self::new(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_causes_of_an_error_are_kept_for_this_side() {
        let error = anyhow::anyhow!("db.internal:5432 refused").context("cannot look you up");
        let mut denied = Denied::for_now(error);
        assert_eq!(denied.text(), "cannot look you up");
        let detail = denied.take_detail().unwrap();
        assert_eq!(&*detail, "cannot look you up: db.internal:5432 refused");
        assert_eq!(Denied::from("no").take_detail(), None);
    }

    #[test]
    fn a_refusal_that_may_pass_is_told_from_one_of_a_validator() {
        let may_pass = |text: &str| Refusal::from_text(text).is_for_now();
        for text in [
            SESSION_NOT_FOUND,
            SESSION_CLOSED,
            "wirenet: all 2 handlers are busy",
        ] {
            assert!(may_pass(text), "{text}");
        }
        for text in [HANDLER_NOT_FOUND, "no", "not a wirenet: token", ""] {
            assert!(!may_pass(text), "{text}");
        }
    }
}
