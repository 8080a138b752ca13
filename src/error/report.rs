//! Errors that no call can return, which go to the error handler.

use super::{Error, Refusal, names_address, printable::PrintableBytes};
use crate::{wire::session::id::SessionId, yamux};
use std::{fmt, io, net::SocketAddr, time::Duration};

/// An error that no call can return, as it is reported to the
/// [error handler](crate::Builder::on_error).
///
/// Displays the operation, the peer, and the cause with its
/// [sources](std::error::Error::source), on one line. The peer's address is left out if the
/// cause names it.
#[non_exhaustive]
pub struct OpError {
    /// The operation that failed.
    pub operation: Operation,
    /// The session that the operation belongs to, once there is one.
    pub session: Option<SessionId>,
    /// The identification of that session's client.
    pub identification: Vec<u8>,
    /// The local address of the connection.
    pub local_addr: Option<SocketAddr>,
    /// The address of the peer.
    pub peer_addr: Option<SocketAddr>,
    /// Why the operation failed.
    pub cause: Box<dyn std::error::Error + Send + Sync>,
    /// Whether this error has ended the run of a client, which does not connect again. See
    /// [`Wire::wait`](crate::Wire::wait).
    pub gives_up: bool,
    /// How long a client waits before it connects again, if this error is why it does so.
    pub retry_in: Option<Duration>,
    /// Whether a client's attempt to connect has failed with the same error as the attempt
    /// before. An error handler can skip these reports; without one, they are logged at
    /// `debug`. `false` in the report with which the client [gives up](Self::gives_up).
    ///
    /// # Examples
    ///
    /// Prints an outage once, however often the client retries:
    ///
    /// ```
    /// # use std::{sync::mpsc, time::Duration};
    /// # let (sender, errors) = mpsc::channel();
    /// use wirenet::Wire;
    ///
    /// # // A port that refuses connections.
    /// # let addr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    /// let client = Wire::join(addr)
    ///     .retry_wait(Duration::from_millis(1), Duration::from_millis(1))
    ///     .on_error(move |error| {
    ///         if !error.repeats {
    ///             eprintln!("{error}");
    ///         }
    /// #       // Fails once the example no longer waits.
    /// #       let _ = sender.send((error.repeats, error.retry_in.is_some()));
    ///     })
    ///     .build()?;
    /// # std::thread::scope(|scope| -> std::io::Result<()> {
    /// # scope.spawn(|| client.connect());
    /// # assert_eq!(errors.recv(), Ok((false, true)));
    /// # assert_eq!(errors.recv(), Ok((true, true)));
    /// # client.close().map_err(std::io::Error::from)
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub repeats: bool,
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = CauseOf(&self.operation, &*self.cause).to_string();
        let is_new = |addr: &SocketAddr| !names_address(&cause, &addr.to_string());
        let peer = OfPeer(&self.identification, self.peer_addr.filter(is_new));
        write!(f, "{}{peer}: {cause}", self.operation)?;
        match (self.gives_up, self.retry_in) {
            (true, _) => f.write_str("; giving up"),
            (false, Some(wait)) => write!(f, "; connecting again in {wait:.1?}"),
            (false, None) => Ok(()),
        }
    }
}

impl std::error::Error for OpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

impl fmt::Debug for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpError")
            .field("operation", &self.operation)
            .field("session", &self.session)
            .field("identification", &PrintableBytes(&self.identification))
            .field("local_addr", &self.local_addr)
            .field("peer_addr", &self.peer_addr)
            .field("cause", &self.cause)
            .field("gives_up", &self.gives_up)
            .field("retry_in", &self.retry_in)
            .field("repeats", &self.repeats)
            .finish()
    }
}

/// The operation that an [`OpError`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Accepting a connection.
    Accept,
    /// Connecting to the server. The client retries, unless it
    /// [gives up](OpError::gives_up).
    Dial,
    /// Opening a session.
    Handshake,
    /// Serving a session.
    Session,
    /// Opening the stream of this name on behalf of the peer.
    OpenStream(String),
    /// Running the handler of the stream of this name.
    Handler(String),
    /// Running the hook of this name.
    Hook(&'static str),
    /// Closing a wire whose last handle was dropped.
    Close,
    /// Reporting errors: some were dropped, because the error handler or the logger is
    /// too slow, or had to wait, because no thread could be started. In a
    /// [`ShutdownError`](crate::ShutdownError): the logger has not returned.
    Report,
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
            Self::Report => write!(f, "report"),
        }
    }
}

/// Prints the peer that an error is about, as far as it is known.
pub(super) struct OfPeer<'a>(pub(super) &'a [u8], pub(super) Option<SocketAddr>);

impl fmt::Display for OfPeer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            write!(f, " of {}", PrintableBytes(self.0))?;
        }
        match self.1 {
            Some(addr) => write!(f, " ({addr})"),
            None => Ok(()),
        }
    }
}

/// Prints the cause of an error about an operation.
struct CauseOf<'a>(&'a Operation, &'a (dyn std::error::Error + 'static));

impl fmt::Display for CauseOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1.downcast_ref()) {
            // The operation names the stream, and this side knows whether it is a hub.
            (Operation::OpenStream(_), Some(Error::Refused { refusal, .. })) => match refusal {
                Refusal::HandlerNotFound => f.write_str("refused: no handler for this name"),
                refusal => write!(f, "refused: {refusal}"),
            },
            _ => WithSources(self.1).fmt(f),
        }
    }
}

/// Prints an error, and those of its sources that its text does not already contain. The
/// texts of this library's errors already contain their sources.
struct WithSources<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for WithSources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = self.0;
        let mut text = error.to_string();
        while !is_own(error)
            && let Some(source) = error.source()
        {
            let more = source.to_string();
            if !contains(&text, &more) {
                text = format!("{text}: {more}");
            }
            error = source;
        }
        f.write_str(&text)
    }
}

/// Does what `str::contains` does, whose search for a text is 2 KiB of code.
fn contains(text: &str, part: &str) -> bool {
    let mut rests = (0..=text.len()).map(|start| &text.as_bytes()[start..]);
    rests.any(|rest| rest.starts_with(part.as_bytes()))
}

/// Returns whether the error is one of this library's, or an [`io::Error`] made of one.
fn is_own(error: &(dyn std::error::Error + 'static)) -> bool {
    #[cfg(feature = "tls")]
    if error.is::<crate::tls::TlsError>() {
        return true;
    }
    let inner = error.downcast_ref::<io::Error>();
    let inner = inner.and_then(io::Error::get_ref);
    error.is::<Error>() || error.is::<yamux::Error>() || inner.is_some_and(|inner| is_own(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(
        &'static str,
        #[source] Option<Box<dyn std::error::Error + Send + Sync>>,
    );

    #[test]
    fn the_address_of_the_peer_is_printed_once() {
        let report = |text: &str| OpError {
            operation: Operation::Handshake,
            session: None,
            identification: Vec::new(),
            local_addr: None,
            peer_addr: Some(([10, 0, 0, 1], 80).into()),
            cause: text.into(),
            gives_up: false,
            retry_in: None,
            repeats: false,
        };
        for (cause, text) in [
            ("cut", "handshake (10.0.0.1:80): cut"),
            (
                "cut by the server at 10.0.0.1:80",
                "handshake: cut by the server at 10.0.0.1:80",
            ),
            (
                "cut by 10.0.0.1:8080",
                "handshake (10.0.0.1:80): cut by 10.0.0.1:8080",
            ),
        ] {
            assert_eq!(report(cause).to_string(), text);
        }
    }

    fn shown(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> String {
        WithSources(&*cause.into()).to_string()
    }

    #[test]
    fn the_sources_of_an_error_are_printed_once() {
        let root = Layer("no such table", None);
        let middle = Layer("cannot query: no such table", Some(root.into()));
        let top = Layer("cannot load the job", Some(middle.into()));
        let text = "cannot load the job: cannot query: no such table";
        assert_eq!(shown(top), text);
        let context = anyhow::anyhow!("no such table").context("cannot load the job");
        assert_eq!(shown(context), "cannot load the job: no such table");
    }

    #[test]
    fn an_error_of_this_library_says_everything() {
        let error = || Error::Closed.explained("the reason".into());
        assert_eq!(shown(error()), "the reason");
        assert_eq!(shown(io::Error::from(error())), "the reason");
        let top = Layer("cannot send", Some(error().into()));
        assert_eq!(shown(top), "cannot send: the reason");
    }
}
