//! The errors that users of the library see.

mod address;
mod printable;
mod refusal;
mod report;
mod shutdown;
mod text;

pub(crate) use address::names_address;
pub(crate) use printable::{Printable, PrintableBytes};
pub use refusal::{Denied, Refusal, RefusalCode};
pub use report::{OpError, Operation};
pub use shutdown::{CutSession, ShutdownError};

#[cfg(feature = "tls")]
use crate::tls::TlsError;
use crate::{
    protobuf::PayloadError,
    wire::session::frame::{FrameError, MAX_COMMAND, MAX_PAYLOAD},
    yamux,
};
use std::{borrow::Cow, io, sync::Arc, time::Duration};

/// Why a call of this library failed.
///
/// Converts into [`io::Error`], from which [`io::Error::get_ref`] and
/// `downcast_ref` return this error again.
///
/// The text says what was given, what happened, and what to do. In the repository,
/// `cargo test --test errors -- --nocapture` prints wrong inputs with their texts.
///
/// If a client cannot connect, or cannot open a session, the text of the error that
/// [`Wire::start`](crate::Wire::start), [`start_within`](crate::Wire::start_within),
/// [`connect`](crate::Wire::connect) and [`wait`](crate::Wire::wait) return also names the
/// address that was dialled, as it was given.
///
/// Walking the [`source`](std::error::Error::source)s with `downcast_ref` finds the causes by
/// their own types, such as `Error` and [`io::Error`], although some are in an [`Arc`] or a
/// [`Box`].
///
/// Print errors with `{}`. A `main` that returns an error prints its `Debug` form, such as
/// `Custom { kind: ConnectionReset, error: EndedByPeer }`, which does not contain the text.
///
/// # Examples
///
/// ```
/// use wirenet::{Error, Wire};
///
/// // Nothing listens at port 1.
/// let client = Wire::join("127.0.0.1:1").retry_max(0).build()?;
/// match client.connect() {
///     Err(Error::Dial { addr, cause }) => println!("{addr}: {cause}"),
///     Err(error) if error.is_permanent() => println!("will not pass: {error}"),
///     outcome => outcome?,
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// An option of the builder has an invalid value, or the name of a stream is invalid.
    Option {
        /// The builder's method; `open_stream` if the error is about the name of a stream
        /// to open.
        option: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
    /// The system refused to listen at an address.
    Listen {
        /// The address as it was given.
        addr: String,
        /// The system's error.
        cause: Arc<io::Error>,
    },
    /// The peer could not be reached.
    Dial {
        /// The address as it was given.
        addr: String,
        /// The error of the last address that was tried.
        cause: Arc<io::Error>,
    },
    /// A thread could not be started.
    Thread(Arc<io::Error>),
    /// The connection failed, or the stream on it. If a client has no session yet, the error
    /// that it returns is [`Explained`](Self::Explained), with this one as the cause.
    Connection(yamux::Error),
    /// TLS failed: its handshake or its configuration.
    #[cfg(feature = "tls")]
    Tls {
        /// What failed.
        cause: TlsError,
        /// The address of the server, as in [`SessionRefused`](Self::SessionRefused).
        addr: Option<Box<str>>,
    },
    /// The accepting side refused the session.
    SessionRefused {
        /// The reason as a number, if the peer sent one.
        code: Option<RefusalCode>,
        /// The peer's text for the reason.
        text: String,
        /// The address of the server as it was given, in an error that a call of a client
        /// returns. `None` in other errors, such as those for the error handler, which gets
        /// the [address](OpError::peer_addr) anyway.
        addr: Option<String>,
    },
    /// The peer refused the stream.
    Refused {
        /// The stream's name.
        name: String,
        /// The reason.
        refusal: Refusal,
    },
    /// The peer sent something that the protocol does not allow.
    Malformed {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        cause: Malformed,
    },
    /// Something did not happen in time.
    TimedOut {
        /// What was waited for.
        what: Cow<'static, str>,
        /// How long the call waited.
        timeout: Duration,
        /// Why it did not happen, if this is known. If no session was established, this
        /// is the error of the last attempt.
        cause: Option<Arc<Error>>,
    },
    /// Another error, with an explanation: for example, that the peer speaks another protocol,
    /// that only one side uses TLS, that another client uses the same identification, or which
    /// server it is about.
    Explained {
        /// The explanation: what probably happened, and what to do.
        text: String,
        /// The error itself.
        cause: Box<Error>,
    },
    /// The wire is already running. It can be run again after that run has ended, unless it
    /// was closed.
    AlreadyConnected,
    /// The wire was not started, or it no longer runs, so no session can be established.
    NotRunning,
    /// The wire was closed on this side.
    Closed,
    /// The wire was closed on this side, and not everything ended gracefully.
    Shutdown(ShutdownError),
}

/// Why something that the peer sent is invalid.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes are not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The protocol expects a frame of another type here.
    #[error("unexpected type of frame for this step of the protocol")]
    UnexpectedFrame,
    /// The payload of the frame is not a valid message.
    #[error("payload: {0}")]
    Payload(#[from] PayloadError),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    EndedEarly,
    /// The session id is not 16 bytes long, is not the one that was sent, or
    /// belongs to another session.
    #[error("wrong session id: not 16 bytes, not the one that was sent, or another session's")]
    SessionId,
    /// The stream name is reserved for the protocol.
    #[error("the stream name \"confirmSession\" is reserved; choose another one")]
    ReservedName,
    /// The length of a name, token, identification or list is outside its
    /// limits.
    #[error("invalid length of {what}: {len}{}", limits(.what))]
    TooLong {
        /// Which of these it is.
        what: &'static str,
        /// Its length in bytes; for a list, the number of entries.
        len: usize,
    },
}

/// Says which lengths are allowed. The limits are those of the session handshake.
fn limits(what: &str) -> String {
    match what {
        "a stream's name" => format!("; 1 to {MAX_COMMAND} bytes are allowed"),
        "a list of stream names" => "; the server limits it with `Builder::max_names`".into(),
        _ => format!("; at most {MAX_PAYLOAD} bytes are allowed"),
    }
}

/// The `option` of an error about the name of a stream to open.
pub(crate) const OPEN_STREAM: &str = "open_stream";

impl Error {
    /// Returns the error for something that did not happen in time, without a known reason.
    pub(crate) fn timed_out(what: impl Into<Cow<'static, str>>, timeout: Duration) -> Self {
        Self::TimedOut {
            what: what.into(),
            timeout,
            cause: None,
        }
    }

    pub(crate) fn malformed(what: &'static str, cause: impl Into<Malformed>) -> Self {
        let cause = cause.into();
        Self::Malformed { what, cause }
    }

    pub(crate) fn explained(self, text: String) -> Self {
        let cause = Box::new(self);
        Self::Explained { text, cause }
    }

    /// Returns whether retrying cannot help, as far as this can be known: the
    /// token, a stream name or the request itself was refused, or a certificate or
    /// an option is wrong.
    ///
    /// Anything that may change with time is not permanent: a server that is
    /// down, a validator that cannot decide now, a name that another session
    /// still owns, a certificate that is not valid yet or has expired by the
    /// clock of either side. A server written with go-wirenet sends no code, and refuses
    /// sessions only for their tokens; its refusals count as permanent.
    #[doc(alias = "retryable")]
    #[doc(alias = "is_transient")]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Option { .. } => true,
            #[cfg(feature = "tls")]
            Self::Tls { cause, .. } => cause.is_permanent(),
            Self::SessionRefused { code, .. } => matches!(
                code,
                None | Some(
                    RefusalCode::TokenRefused
                        | RefusalCode::Malformed
                        | RefusalCode::NameNotAllowed
                )
            ),
            Self::Explained { cause, .. } => cause.is_permanent(),
            _ => false,
        }
    }

    /// Returns the kind of the [`io::Error`] that this error converts into.
    ///
    /// | error | kind |
    /// |---|---|
    /// | [`Option`](Self::Option) | [`InvalidInput`](io::ErrorKind::InvalidInput) |
    /// | [`Listen`](Self::Listen), [`Dial`](Self::Dial), [`Thread`](Self::Thread) | that of the cause |
    /// | [`Connection`](Self::Connection) | that of [`yamux::Error::kind`] |
    /// | `Tls`, [`Malformed`](Self::Malformed) | [`InvalidData`](io::ErrorKind::InvalidData) |
    /// | [`SessionRefused`](Self::SessionRefused) | [`PermissionDenied`](io::ErrorKind::PermissionDenied) |
    /// | [`Refused`](Self::Refused) | [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) |
    /// | [`TimedOut`](Self::TimedOut), [`Shutdown`](Self::Shutdown) | [`TimedOut`](io::ErrorKind::TimedOut) |
    /// | [`Explained`](Self::Explained) | that of the cause |
    /// | [`AlreadyConnected`](Self::AlreadyConnected) | [`AlreadyExists`](io::ErrorKind::AlreadyExists) |
    /// | [`NotRunning`](Self::NotRunning) | [`NotConnected`](io::ErrorKind::NotConnected) |
    /// | [`Closed`](Self::Closed) | [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) |
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Option { .. } => io::ErrorKind::InvalidInput,
            Self::Listen { cause, .. } | Self::Dial { cause, .. } | Self::Thread(cause) => {
                cause.kind()
            }
            Self::Connection(error) => error.kind(),
            #[cfg(feature = "tls")]
            Self::Tls { .. } => io::ErrorKind::InvalidData,
            Self::SessionRefused { .. } => io::ErrorKind::PermissionDenied,
            Self::Refused { .. } => io::ErrorKind::ConnectionRefused,
            Self::Malformed { .. } => io::ErrorKind::InvalidData,
            Self::TimedOut { .. } | Self::Shutdown(_) => io::ErrorKind::TimedOut,
            Self::Explained { cause, .. } => cause.kind(),
            Self::AlreadyConnected => io::ErrorKind::AlreadyExists,
            Self::NotRunning => io::ErrorKind::NotConnected,
            Self::Closed => io::ErrorKind::ConnectionAborted,
        }
    }
}

impl From<yamux::Error> for Error {
    fn from(error: yamux::Error) -> Self {
        Self::Connection(error)
    }
}

#[cfg(feature = "tls")]
impl From<TlsError> for Error {
    fn from(cause: TlsError) -> Self {
        Self::Tls { cause, addr: None }
    }
}

impl From<ShutdownError> for Error {
    fn from(error: ShutdownError) -> Self {
        Self::Shutdown(error)
    }
}

#[cfg(feature = "tls")]
impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Error::from(error).into()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_kind_of_the_io_error_that_it_becomes() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        for (error, kind) in [
            (
                Error::Thread(Arc::new(refused)),
                io::ErrorKind::ConnectionRefused,
            ),
            (
                yamux::Error::EndedByPeer.into(),
                io::ErrorKind::ConnectionReset,
            ),
            (
                Error::timed_out("answer", Duration::ZERO),
                io::ErrorKind::TimedOut,
            ),
            (
                Error::Closed.explained("closed".into()),
                io::ErrorKind::ConnectionAborted,
            ),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(io::Error::from(error).kind(), kind);
        }
    }

    #[test]
    fn text_of_a_peer_stays_on_one_line() {
        let said = "no\nsession of \"root\" opened\u{1b}[2J\u{2028}\u{202e}";
        let shown = "no\\nsession of \"root\" opened\\u{1b}[2J\\u{2028}\\u{202e}";
        let refusal = Refusal::from_text(said);
        assert_eq!(refusal.text(), said, "as it is sent");
        let name = "a".into();
        let error = Error::Refused { name, refusal };
        assert_eq!(error.to_string(), format!("stream \"a\" refused: {shown}"));
        let error = Error::SessionRefused {
            code: None,
            text: said.into(),
            addr: None,
        };
        assert_eq!(error.to_string(), format!("session refused: {shown}"));
    }
}
