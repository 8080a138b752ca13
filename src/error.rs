//! What can go wrong, as the user of the library sees it.

#[cfg(feature = "tls")]
use crate::tls::TlsError;
use crate::{protobuf::PayloadError, wire::FrameError, wire::SessionId, yamux};
use std::{
    fmt::{self, Write},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

/// What a call of this library failed with.
///
/// Converts into [`io::Error`], inside of which it stays reachable with
/// [`io::Error::get_ref`] and `downcast_ref`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option of the builder has a value that cannot be.
    #[error("option {option}: {reason}")]
    Option {
        /// The builder's method.
        option: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
    /// The system refused to listen at an address.
    #[error("cannot listen at {addr}: {cause}")]
    Listen {
        /// The address as it was given.
        addr: String,
        /// The system's error.
        #[source]
        cause: Arc<io::Error>,
    },
    /// The peer could not be reached.
    #[error("cannot connect to {addr}: {cause}")]
    Dial {
        /// The address as it was given.
        addr: String,
        /// The last address's error.
        #[source]
        cause: Arc<io::Error>,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] Arc<io::Error>),
    /// The connection failed, or the stream on it.
    #[error(transparent)]
    Connection(#[from] yamux::Error),
    /// TLS failed: the handshake, or what it is set up with.
    #[cfg(feature = "tls")]
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The accepting side refused the session.
    #[error("session refused: {}", Printable(.text))]
    SessionRefused {
        /// Why, if the peer has a number for it.
        code: Option<RefusalCode>,
        /// Why, in the peer's words.
        text: String,
    },
    /// The other side refused the stream.
    #[error("stream {name:?} refused: {refusal}")]
    Refused {
        /// The stream's name.
        name: String,
        /// Why.
        refusal: Refusal,
    },
    /// The peer sent something else than what the protocol has at this place.
    #[error("malformed {what}: {cause}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        cause: Malformed,
    },
    /// Something did not happen in time.
    #[error("no {what} within {timeout:?}")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        timeout: Duration,
    },
    /// The wire runs already: it can be connected once.
    #[error("the wire is connected already")]
    AlreadyConnected,
    /// The wire was closed on this side.
    #[error("the wire is closed")]
    Closed,
    /// The wire was closed on this side, and not everything ended in order.
    #[error("closed: {0}")]
    Shutdown(#[from] ShutdownError),
}

/// Why the other side refused a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It has no handler of that name.
    HandlerNotFound,
    /// It is a hub, and the session that offered the name is gone.
    SessionNotFound,
    /// Its session is closed.
    SessionClosed,
    /// Any other cause, in its own words: its validator's, or a limit.
    Other(String),
}

const HANDLER_NOT_FOUND: &str = "wirenet: stream handler not found";
const SESSION_NOT_FOUND: &str = "wirenet: session not found";
const SESSION_CLOSED: &str = "wirenet: session closed";

impl Refusal {
    pub(crate) fn from_text(text: &str) -> Self {
        match text {
            HANDLER_NOT_FOUND => Self::HandlerNotFound,
            SESSION_NOT_FOUND => Self::SessionNotFound,
            SESSION_CLOSED => Self::SessionClosed,
            other => Self::Other(other.into()),
        }
    }

    /// The text that says it on the wire.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::HandlerNotFound => HANDLER_NOT_FOUND,
            Self::SessionNotFound => SESSION_NOT_FOUND,
            Self::SessionClosed => SESSION_CLOSED,
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(self.text()).fmt(f)
    }
}

/// A peer's words, which go into one line of a log and do nothing to a terminal.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            // Line ends and marks that turn the direction of what follows are no
            // control characters to Unicode.
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                write!(f, "{}", char.escape_default())
            }
            _ if char.is_control() => write!(f, "{}", char.escape_default()),
            _ => f.write_char(char),
        })
    }
}

/// Why a session was refused, as a number; peers written with go-wirenet send
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The validator did not accept the token.
    TokenRefused = 1,
    /// A stream name that the session offers has an owner.
    NameTaken = 2,
    /// There are as many sessions as there may be.
    TooManySessions = 3,
    /// The accepting side is closing.
    Closing = 4,
    /// The request was none.
    Malformed = 5,
    /// A stream name that the session offers is not for it; see
    /// [`Builder::access`](crate::Builder::access).
    NameNotAllowed = 6,
    /// Not now: a validator says so, or has panicked.
    TryLater = 8,
    /// A number that this version does not know.
    Unknown = 0,
}

impl RefusalCode {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            // Peers that have none.
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
/// [`access`](crate::Builder::access), does not let something happen: for good,
/// or for now.
///
/// The text is what the other side is told. A client whose session is denied for
/// good gives up; one that is denied for now tries again. For a stream there is no
/// difference: the opener gets the text, and decides whether to try again.
///
/// # Examples
///
/// ```
/// use wirenet::{Denied, Wire};
/// # fn look_up(_: &[u8]) -> std::io::Result<Option<Vec<u8>>> { Ok(None) }
///
/// let server = Wire::mount("127.0.0.1:0").token_validator(|_stream, id, token| {
///     // The database is away: not now.
///     let known = look_up(id).map_err(|_| Denied::for_now("try again later"))?;
///     match known {
///         Some(known) if wirenet::same_token(token, &known) => Ok(()),
///         // For good.
///         _ => Err("bad token".into()),
///     }
/// });
/// # let _ = server;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Printable(.text))]
pub struct Denied {
    text: String,
    for_now: bool,
}

impl Denied {
    /// For good: trying again will not help.
    pub fn new(text: impl Into<String>) -> Self {
        let (text, for_now) = (text.into(), false);
        Self { text, for_now }
    }

    /// For now: trying again may help.
    pub fn for_now(text: impl Into<String>) -> Self {
        let (text, for_now) = (text.into(), true);
        Self { text, for_now }
    }

    /// What the other side is told.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether trying again may help.
    pub fn is_for_now(&self) -> bool {
        self.for_now
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// For good, as [`Denied::new`].
impl From<&str> for Denied {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// For good, as [`Denied::new`].
impl From<String> for Denied {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// What was wrong with something that the peer sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame, but another than the protocol has at this place.
    #[error("a frame of another type")]
    UnexpectedFrame,
    /// The frame's payload is not the message that belongs there.
    #[error("payload: {0}")]
    Payload(#[from] PayloadError),
    /// The stream ended before the frame was whole.
    #[error("the stream ended early")]
    EndedEarly,
    /// A session id that is not 16 bytes, or not the one that was sent, or one
    /// that another session has.
    #[error("wrong session id")]
    SessionId,
    /// A stream name that belongs to the protocol.
    #[error("a stream called \"confirmSession\"")]
    ReservedName,
    /// A name, token or identification beyond its limit.
    #[error("{what} of {len} bytes")]
    TooLong {
        /// Which.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
}

impl Error {
    pub(crate) fn malformed(what: &'static str, cause: impl Into<Malformed>) -> Self {
        let cause = cause.into();
        Self::Malformed { what, cause }
    }

    /// Whether trying again cannot help, as far as one can tell: the token, a
    /// stream name or the request itself was refused, or a certificate or an
    /// option is wrong. What may pass with time, as a server that is down, a
    /// validator that cannot tell now, or a name that another session still
    /// owns, is not permanent. A server written with go-wirenet gives no reason
    /// that could be told apart; it refuses sessions for their tokens alone.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Option { .. } => true,
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.will_not_pass(),
            Self::SessionRefused { code, .. } => matches!(
                code,
                None | Some(
                    RefusalCode::TokenRefused
                        | RefusalCode::Malformed
                        | RefusalCode::NameNotAllowed
                )
            ),
            _ => false,
        }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Option { .. } => io::ErrorKind::InvalidInput,
            Self::Listen { cause, .. } | Self::Dial { cause, .. } | Self::Thread(cause) => {
                cause.kind()
            }
            Self::Connection(error) => io::Error::from(error.clone()).kind(),
            #[cfg(feature = "tls")]
            Self::Tls(_) => io::ErrorKind::InvalidData,
            Self::SessionRefused { .. } => io::ErrorKind::PermissionDenied,
            Self::Refused { .. } => io::ErrorKind::ConnectionRefused,
            Self::Malformed { .. } => io::ErrorKind::InvalidData,
            Self::TimedOut { .. } | Self::Shutdown(_) => io::ErrorKind::TimedOut,
            Self::AlreadyConnected => io::ErrorKind::AlreadyExists,
            Self::Closed => io::ErrorKind::ConnectionAborted,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Connection(error) => error.into(),
            error => Self::new(error.kind(), error),
        }
    }
}

/// A close could not end everything in order by its deadline.
///
/// Everything has ended all the same, but for the handlers and hooks that are
/// counted here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownError {
    /// The sessions with streams that were cut, or with bytes that the other side may
    /// not have got.
    pub sessions: Vec<CutSession>,
    /// Handlers and hooks that run on, although every call of theirs to this
    /// library has failed.
    pub running: usize,
}

/// A session that a close has cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutSession {
    /// The session.
    pub id: SessionId,
    /// What its client calls itself.
    pub identification: Vec<u8>,
    /// The address of the other end.
    pub peer_addr: Option<SocketAddr>,
    /// How many of its streams were still in use, or not let in by the other side yet.
    pub streams: usize,
    /// Bytes of its streams, at most, that the other side may not have got, although
    /// their writes returned `Ok`: it had not acknowledged them by the deadline.
    pub unacknowledged: u64,
}

impl ShutdownError {
    /// Adds what another call of close says, that was under way with this one's.
    pub(crate) fn add(&mut self, other: &Self) {
        for session in &other.sessions {
            if self.sessions.iter().all(|known| known.id != session.id) {
                self.sessions.push(session.clone());
            }
        }
        self.running = self.running.max(other.running);
    }
}

impl std::error::Error for ShutdownError {}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for session in &self.sessions {
            write!(f, "{separator}{}", Cut(session))?;
            write!(f, "{}", Peer(&session.identification, session.peer_addr))?;
            separator = ", ";
        }
        if self.running > 0 {
            write!(f, "{separator}{} handlers or hooks run on", self.running)?;
        }
        Ok(())
    }
}

/// What a close did to a session.
struct Cut<'a>(&'a CutSession);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CutSession {
            id,
            streams,
            unacknowledged,
            ..
        } = self.0;
        if *streams > 0 {
            write!(f, "cut {streams} streams of session {id}")?;
            if *unacknowledged > 0 {
                write!(
                    f,
                    ", where up to {unacknowledged} bytes were not acknowledged"
                )?;
            }
            return Ok(());
        }
        write!(
            f,
            "up to {unacknowledged} bytes of session {id} were not acknowledged"
        )
    }
}

impl From<ShutdownError> for io::Error {
    fn from(error: ShutdownError) -> Self {
        Self::new(io::ErrorKind::TimedOut, error)
    }
}

/// An error that no caller got, as the error handler is told of it.
#[derive(Debug, thiserror::Error)]
#[error("{operation}{}: {cause}", Peer(.identification, *.peer_addr))]
#[non_exhaustive]
pub struct OpError {
    /// What was being done.
    pub operation: Operation,
    /// The session that it was done for, once there is one.
    pub session: Option<SessionId>,
    /// What that session's client calls itself.
    pub identification: Vec<u8>,
    /// The address of this end of the connection.
    pub local_addr: Option<SocketAddr>,
    /// The address of the other end.
    pub peer_addr: Option<SocketAddr>,
    /// What went wrong.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

/// What was being done when an [`OpError`] came up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Accepting a connection.
    Accept,
    /// Connecting to the server; it is tried again.
    Dial,
    /// Opening a session.
    Handshake,
    /// Serving a session.
    Session,
    /// Opening the stream of this name, for the peer.
    OpenStream(String),
    /// Running the handler of the stream of this name.
    Handler(String),
    /// Running the hook of this name.
    Hook(&'static str),
    /// Closing the wire, whose last handle was dropped.
    Close,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => write!(f, "accept"),
            Self::Dial => write!(f, "dial"),
            Self::Handshake => write!(f, "handshake"),
            Self::Session => write!(f, "session"),
            Self::OpenStream(name) => write!(f, "open of stream {name:?}"),
            Self::Handler(name) => write!(f, "handler of stream {name:?}"),
            Self::Hook(name) => write!(f, "hook {name}"),
            Self::Close => write!(f, "close"),
        }
    }
}

/// Who an error was about, as far as it is known.
struct Peer<'a>(&'a [u8], Option<SocketAddr>);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            write!(f, " of {:?}", String::from_utf8_lossy(self.0))?;
        }
        match self.1 {
            Some(addr) => write!(f, " ({addr})"),
            None => Ok(()),
        }
    }
}

/// A handler or a hook panicked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panicked(pub String);

impl Panicked {
    /// From what [`std::panic::catch_unwind`] caught.
    pub(crate) fn from_payload(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "with no message".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_stays_in_one_line() {
        let said = "no\nsession of \"root\" opened\u{1b}[2J\u{2028}\u{202e}";
        let shown = "no\\nsession of \"root\" opened\\u{1b}[2J\\u{2028}\\u{202e}";
        let refusal = Refusal::from_text(said);
        assert_eq!(refusal.text(), said, "as it goes over the wire");
        let name = "a".into();
        let error = Error::Refused { name, refusal };
        assert_eq!(error.to_string(), format!("stream \"a\" refused: {shown}"));
        let (code, text) = (None, said.into());
        let error = Error::SessionRefused { code, text };
        assert_eq!(error.to_string(), format!("session refused: {shown}"));
    }
}
