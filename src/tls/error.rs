//! TLS errors, and whether retrying may help.

use rustls::{AlertDescription, CertificateError, pki_types::pem};
use std::{error::Error, io, path::PathBuf, sync::Arc};

/// Why certificates could not be loaded, a configuration could not be created, or a
/// TLS handshake failed.
///
/// Cheap to clone. Converts into [`io::Error`] and [`Error`](crate::Error).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing or cannot be read.
    #[error("cannot read {path}: {cause}", path = .path.display())]
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
    #[error("certificate in {path}: {cause}", path = .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// rustls's reason.
        #[source]
        cause: rustls::Error,
    },
    /// A private key is invalid, or belongs to another certificate.
    #[error("private key in {path}: {cause}", path = .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// rustls's reason.
        #[source]
        cause: rustls::Error,
    },
    /// rustls refused a configuration.
    #[error("TLS configuration refused: {0}")]
    Config(#[source] rustls::Error),
    /// The name to check is neither a DNS name nor an IP address.
    #[error("{name:?} is neither a DNS name nor an IP address")]
    ServerName {
        /// The name.
        name: String,
    },
    /// One side did not accept what the other sent in the handshake.
    #[error("TLS handshake failed: {0}{remedy}", remedy = remedy(.0))]
    Handshake(#[source] rustls::Error),
    /// The connection failed during the handshake.
    #[error("connection lost during the TLS handshake: {0}")]
    Connection(#[source] Arc<io::Error>),
    /// The handshake was not complete by its deadline.
    #[error("no TLS handshake within the handshake timeout")]
    TimedOut,
}

impl TlsError {
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
            Self::Connection(_) | Self::TimedOut => false,
            _ => true,
        }
    }
}

#[cfg(feature = "system-roots")]
fn listed(failures: &[String]) -> String {
    match failures {
        [] => String::new(),
        failures => format!("; failed to load: {}", failures.join("; ")),
    }
}

fn is_permanent(error: &rustls::Error) -> bool {
    use rustls::Error::*;
    match error {
        // The clock of this machine may not be set yet.
        InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => false,
        InvalidCertificate(_) | NoCertificatesPresented | UnsupportedNameType => true,
        PeerIncompatible(_) => true,
        AlertReceived(alert) => is_refusal(*alert),
        _ => false,
    }
}

/// Returns what to do about an error, if its own text does not say that.
fn remedy(error: &rustls::Error) -> &'static str {
    use rustls::Error::InvalidCertificate;
    // rustls has no variant for this error of webpki, so it is known by its name.
    match error {
        InvalidCertificate(CertificateError::Other(other))
            if format!("{other:?}").contains("UnsupportedCertVersion") =>
        {
            "; X.509 version 1 is accepted only for a pinned certificate: pin it, or make one of \
             version 3, as `openssl req -x509` does"
        }
        _ => "",
    }
}

/// Returns whether the peer refused our certificate, name or ciphers.
fn is_refusal(alert: AlertDescription) -> bool {
    use AlertDescription::*;
    matches!(
        alert,
        NoCertificate
            | BadCertificate
            | UnsupportedCertificate
            | CertificateRevoked
            | CertificateExpired
            | CertificateUnknown
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

    #[test]
    fn a_refusal_is_permanent_and_a_failed_connection_is_not() {
        use CertificateError::{Expired, NotValidForName, NotValidYet, UnknownIssuer};
        let of = |cause| TlsError::Handshake(rustls::Error::InvalidCertificate(cause));
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(TlsError::Handshake(refusal()).is_permanent());
        assert!(of(UnknownIssuer).is_permanent());
        assert!(of(NotValidForName).is_permanent());
        assert!(of(Expired).is_permanent());
        assert!(!of(NotValidYet).is_permanent());
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
