//! TLS errors, and whether retrying may help.

use super::{
    Fingerprint,
    explain::{Explained, Loading, escaped},
    foreign, refusal,
};
use rustls::{AlertDescription, CertificateError, pki_types::pem};
use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why certificates could not be loaded, a configuration could not be created, or a
/// TLS handshake failed.
///
/// Cheap to clone. Converts into [`io::Error`] and [`Error`](crate::Error).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing or cannot be read.
    #[error("cannot read {path}: {cause}; {}", unreadable(.path, .cause), path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        cause: Arc<io::Error>,
    },
    /// A file is not valid PEM.
    #[error("{path} is not valid PEM: {reason}", path = .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and in which line.
        reason: String,
        /// The same, for programs.
        #[source]
        cause: Arc<pem::Error>,
    },
    /// A file contains no certificate.
    #[error("{path} contains no certificate: {found}", path = .path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What it contains instead.
        found: String,
    },
    /// A file contains no private key, or only an encrypted one.
    #[error("{path} contains no private key that can be read: {found}", path = .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What it contains instead.
        found: String,
    },
    /// No certificate of the operating system's authorities can be used: see
    /// [`TlsClient::system_roots`](crate::TlsClient::system_roots).
    #[cfg(feature = "system-roots")]
    #[error(
        "no certificate authority of the operating system can be used: {found} certificates \
         found, of which none is valid{failed}; install the package `ca-certificates`, or set \
         SSL_CERT_FILE to a PEM file with authorities",
        failed = listed(.failures)
    )]
    NoSystemRoots {
        /// How many certificates were found.
        found: usize,
        /// What could not be read, and why.
        failures: Vec<String>,
    },
    /// A certificate is invalid.
    #[error(
        "the certificate in {path} cannot be used: {cause}",
        path = .path.display(),
        cause = Loading(.cause)
    )]
    Certificate {
        /// The file.
        path: PathBuf,
        /// rustls's reason.
        #[source]
        cause: rustls::Error,
    },
    /// A private key is invalid, or belongs to another certificate.
    #[error(
        "the private key in {path} cannot be used: {cause}",
        path = .path.display(),
        cause = Loading(.cause)
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// rustls's reason.
        #[source]
        cause: rustls::Error,
    },
    /// rustls refused a configuration.
    #[error("invalid TLS configuration: {}", Explained(.0))]
    Config(#[source] rustls::Error),
    /// The name to check is neither a DNS name nor an IP address.
    #[error(
        "{name:?} is neither a DNS name nor an IP address; set a name of the server's certificate \
         with `TlsClient::server_name`"
    )]
    ServerName {
        /// The name.
        name: String,
    },
    /// A text is not the [`Fingerprint`] of a certificate.
    #[error(
        "\"{}\" is not the SHA-256 fingerprint of a certificate: {reason}; give what `openssl \
         x509 -in FILE -noout -fingerprint -sha256` prints",
        escaped(.text)
    )]
    Fingerprint {
        /// The beginning of the text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One side did not accept what the other sent in the handshake.
    #[error("handshake failed: {}", Explained(.0))]
    Handshake(#[source] rustls::Error),
    /// The server's certificate is not the [pinned](crate::TlsClient::pinned) one.
    #[error(
        "the server's certificate has the SHA-256 {}, but pinned is {}; if the server's \
         certificate was renewed, pin the new one, else the connection may be intercepted",
        .certificate,
        .pinned
    )]
    WrongPin {
        /// The SHA-256 of the server's certificate.
        certificate: Fingerprint,
        /// The pinned SHA-256.
        pinned: Fingerprint,
    },
    /// The peer's certificate was not issued by an authority that this side trusts. With
    /// rustls's own configurations this is a [`Handshake`](Self::Handshake) error.
    #[error("{}", unknown_issuer(.peer, .subject, .issuer))]
    UnknownIssuer {
        /// `"server"` or `"client"`.
        peer: &'static str,
        /// To whom the certificate was issued, for example `CN=box-1, O=Example`.
        subject: String,
        /// Who issued the certificate; for a self-signed one, equal to `subject`.
        issuer: String,
    },
    /// The peer sent something that is not TLS.
    #[error(
        "the {peer} did not {} with TLS, but with {received}; is TLS off there, or the port \
         wrong?",
        if *peer == "server" { "answer" } else { "begin" }
    )]
    NotTls {
        /// `"server"` or `"client"`.
        peer: &'static str,
        /// What it sent: the name of the protocol, if it is known, or the first bytes.
        received: String,
        /// rustls's error.
        #[source]
        cause: rustls::Error,
    },
    /// The connection failed during the handshake.
    #[error("connection lost during the TLS handshake: {0}{hint}", hint = hint(.0))]
    Connection(#[source] Arc<io::Error>),
    /// The handshake was not complete by its deadline.
    #[error(
        "no TLS handshake within the handshake timeout; is TLS off at the peer, or the network slow?"
    )]
    TimedOut,
}

impl TlsError {
    /// Converts rustls's error of a handshake with the given peer, `"server"` or
    /// `"client"`. `received` is the beginning of what the peer sent.
    pub(crate) fn from_handshake(
        cause: rustls::Error,
        peer: &'static str,
        received: &[u8],
    ) -> Self {
        let refusal = refusal::take();
        match cause {
            rustls::Error::InvalidCertificate(_) => refusal.unwrap_or(Self::Handshake(cause)),
            rustls::Error::InvalidMessage(_) if !foreign::is_tls(received) => Self::NotTls {
                peer,
                received: foreign::name(received),
                cause,
            },
            cause => Self::Handshake(cause),
        }
    }

    /// Converts an error of the connection during a handshake. `WouldBlock` means
    /// that the deadline has passed.
    pub(crate) fn from_handshake_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::TimedOut,
            _ => Self::Connection(Arc::new(error)),
        }
    }

    /// Finds rustls's error inside an I/O error. With TLS 1.3, a client's handshake
    /// succeeds before the server has checked its certificate; a refusal is the
    /// error of the first read.
    pub(crate) fn from_io(error: &io::Error) -> Option<Self> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::Handshake(error.clone()));
            }
            // `source` of an I/O error skips the error that it wraps.
            let wrapper = error.downcast_ref::<io::Error>();
            let shared = || error.downcast_ref::<Arc<io::Error>>().map(Arc::as_ref);
            cause = match wrapper.or_else(shared) {
                Some(wrapper) => wrapper.get_ref().map(|inner| inner as _),
                None => error.source(),
            };
        }
        None
    }

    /// Returns whether retrying cannot help because certificates or options must be
    /// changed first.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Handshake(error) => is_permanent(error),
            Self::NotTls { .. } | Self::Connection(_) | Self::TimedOut => false,
            _ => true,
        }
    }
}

#[cfg(feature = "system-roots")]
pub(super) fn listed(failures: &[String]) -> String {
    let shown = &failures[..failures.len().min(SHOWN_FAILURES)];
    let others = match failures.len() - shown.len() {
        0 => String::new(),
        others => format!(", and {others} more"),
    };
    match failures {
        [] => String::new(),
        _ => format!("; failed to load: {}{others}", shown.join("; ")),
    }
}

/// The most failures that are listed: a directory may hold any number of files.
#[cfg(feature = "system-roots")]
const SHOWN_FAILURES: usize = 4;

/// Returns what to do about a file that cannot be read.
fn unreadable(path: &Path, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound if path.is_relative() => {
            "check the path, which is relative to the working directory of this process"
        }
        io::ErrorKind::IsADirectory => "give a file in it",
        io::ErrorKind::PermissionDenied => {
            "let the user of this process read it (certbot's keys are readable only by root)"
        }
        _ => "check the path",
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unknown_issuer(peer: &str, subject: &str, issuer: &str) -> String {
    let is_self_signed = subject == issuer;
    let issued = match is_self_signed {
        true => "is self-signed".into(),
        false => format!("was issued by an authority that is not trusted ({issuer})"),
    };
    let remedy = match peer {
        "server" if is_self_signed => {
            "pin it (`TlsClient::pinned`), or trust it as its own authority (`with_ca`)"
        }
        "server" => {
            "pin it (`TlsClient::pinned`), or trust its authority (`with_ca`); if that is an \
             intermediate one, the server must send the whole chain, as in certbot's \
             `fullchain.pem`"
        }
        _ => "trust its authority (`client_ca`), or give the client another certificate",
    };
    format!("the {peer}'s certificate ({subject}) {issued}; {remedy}")
}

/// Returns what to do about a lost connection.
fn hint(error: &io::Error) -> &'static str {
    use io::ErrorKind::*;
    match error.kind() {
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => {
            "; is TLS off at the peer, or the port wrong?"
        }
        _ => "",
    }
}

fn is_permanent(error: &rustls::Error) -> bool {
    use rustls::Error::*;
    match error {
        InvalidCertificate(cause) => !is_about_time(cause),
        NoCertificatesPresented | UnsupportedNameType => true,
        PeerIncompatible(_) => true,
        AlertReceived(alert) => is_refusal(*alert),
        _ => false,
    }
}

/// Returns whether a certificate may be accepted later: once this machine's clock is set,
/// or once the certificate or the revocation list is renewed.
fn is_about_time(cause: &CertificateError) -> bool {
    use CertificateError::*;
    matches!(
        cause,
        NotValidYet
            | NotValidYetContext { .. }
            | Expired
            | ExpiredContext { .. }
            | ExpiredRevocationList
            | ExpiredRevocationListContext { .. }
    )
}

/// Returns whether the peer permanently refused our certificate, name or ciphers.
///
/// Three alerts are left out, because they may be due to the peer's clock, which may be set
/// later. For a certificate that has expired or is not valid yet, rustls and Go send
/// `CertificateExpired`, OpenSSL sends `BadCertificate` if it is not valid yet, and others
/// send `CertificateUnknown` for any reason.
fn is_refusal(alert: AlertDescription) -> bool {
    use AlertDescription::*;
    matches!(
        alert,
        NoCertificate
            | UnsupportedCertificate
            | CertificateRevoked
            | CertificateRequired
            | UnknownCA
            | AccessDenied
            | UnrecognisedName
            | HandshakeFailure
            | ProtocolVersion
            | InsufficientSecurity
            | NoApplicationProtocol
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yamux;

    fn refusal() -> rustls::Error {
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired)
    }

    #[test]
    fn an_error_of_rustls_is_found_however_deep_it_is_wrapped() {
        let read = || io::Error::new(io::ErrorKind::InvalidData, refusal());
        let connection = yamux::Error::from_read(read());
        for error in [read(), io::Error::from(connection)] {
            let found = TlsError::from_io(&error);
            assert!(
                matches!(found, Some(TlsError::Handshake(ref said)) if *said == refusal()),
                "{found:?}"
            );
        }
    }

    #[test]
    fn other_errors_are_not_taken_for_those_of_rustls() {
        for error in [
            io::Error::from(io::ErrorKind::ConnectionReset),
            io::Error::other("something"),
            yamux::Error::Closed.into(),
        ] {
            assert!(TlsError::from_io(&error).is_none());
        }
    }

    fn of(cause: CertificateError) -> TlsError {
        TlsError::Handshake(rustls::Error::InvalidCertificate(cause))
    }

    #[test]
    fn what_a_clock_or_a_renewal_may_mend_is_not_permanent() {
        use AlertDescription::{BadCertificate, CertificateExpired, CertificateUnknown};
        use CertificateError::{Expired, NotValidYet};
        assert!(!of(Expired).is_permanent());
        assert!(!of(NotValidYet).is_permanent());
        for alert in [CertificateExpired, BadCertificate, CertificateUnknown] {
            let error = TlsError::Handshake(rustls::Error::AlertReceived(alert));
            assert!(!error.is_permanent(), "{error}");
        }
    }

    #[test]
    fn a_refusal_is_permanent_and_a_failed_connection_is_not() {
        use CertificateError::{NotValidForName, UnknownIssuer};
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(TlsError::Handshake(refusal()).is_permanent());
        assert!(of(UnknownIssuer).is_permanent());
        assert!(of(NotValidForName).is_permanent());
        assert!(
            !TlsError::NotTls {
                peer: "server",
                received: String::new(),
                cause: rustls::Error::DecryptError
            }
            .is_permanent()
        );
        assert!(!TlsError::Handshake(rustls::Error::DecryptError).is_permanent());
        assert!(!TlsError::from_handshake_io(reset).is_permanent());
        assert!(!TlsError::TimedOut.is_permanent());
    }

    #[test]
    fn errors_can_be_passed_between_threads() {
        fn check<T: Clone + Send + Sync + 'static>() {}
        check::<TlsError>();
    }
}
