//! What an [`Error`] prints, and its source.

use super::{Error, OPEN_STREAM, Printable};
use std::fmt;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option { option, reason } => write!(f, "{}{reason}", OfOption(option)),
            Self::Listen { addr, cause } => write!(f, "cannot listen at {addr}: {cause}"),
            Self::Dial { addr, cause } => write!(f, "cannot connect to {addr}: {cause}"),
            Self::Thread(cause) => write!(
                f,
                "cannot start a thread: {cause}; check this process's limits on threads and memory"
            ),
            Self::Connection(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls { cause, addr: None } => write!(f, "TLS: {cause}"),
            #[cfg(feature = "tls")]
            Self::Tls {
                cause,
                addr: Some(addr),
            } => write!(f, "TLS with {addr}: {cause}"),
            Self::SessionRefused { text, addr, .. } => {
                write!(f, "session refused: {}", Printable(text))?;
                match addr {
                    Some(addr) => write!(f, " (server: {addr})"),
                    None => Ok(()),
                }
            }
            Self::Refused { name, refusal } => write!(f, "stream {name:?} refused: {refusal}"),
            Self::Malformed { what, cause } => write!(f, "malformed {what}: {cause}"),
            Self::TimedOut {
                what,
                timeout,
                cause,
            } => {
                write!(f, "no {what} within {timeout:?}")?;
                match cause {
                    Some(cause) => write!(f, ": {cause}"),
                    None => Ok(()),
                }
            }
            Self::Explained { text, .. } => f.write_str(text),
            Self::AlreadyConnected => {
                f.write_str("the wire already runs: use it as it is, or build another one")
            }
            Self::NotRunning => {
                f.write_str("the wire does not run: call `start` or `connect` first")
            }
            Self::Closed => f.write_str("the wire is closed; build another one to continue"),
            Self::Shutdown(error) => write!(f, "closed: {error}"),
        }
    }
}

/// Returns the causes themselves, not the `Arc` or `Box` around them, so that `downcast_ref`
/// finds them.
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { cause, .. } | Self::Dial { cause, .. } | Self::Thread(cause) => {
                Some(&**cause)
            }
            // The error itself prints the same as this one.
            Self::Connection(error) => error.source(),
            #[cfg(feature = "tls")]
            Self::Tls { cause, .. } => Some(cause),
            Self::TimedOut { cause, .. } => cause.as_deref().map(|cause| cause as _),
            Self::Explained { cause, .. } => Some(&**cause),
            Self::Shutdown(error) => Some(error),
            Self::Option { .. }
            | Self::SessionRefused { .. }
            | Self::Refused { .. }
            | Self::Malformed { .. }
            | Self::AlreadyConnected
            | Self::NotRunning
            | Self::Closed => None,
        }
    }
}

/// Prints which option an error is about. The reason itself says what a name is for.
struct OfOption<'a>(&'a str);

impl fmt::Display for OfOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            OPEN_STREAM => Ok(()),
            constructor @ ("join" | "mount" | "hub") => write!(f, "Wire::{constructor}: "),
            option => write!(f, "option {option}: "),
        }
    }
}
