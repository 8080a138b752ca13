//! What can go wrong with TLS, and whether trying again may help.

use rustls::{AlertDescription, CertificateError, pki_types::pem};
use std::{error::Error, io, path::PathBuf, sync::Arc};

/// Why certificates could not be loaded, a configuration not be made, or a
/// TLS handshake not be done.
///
/// Cheap to clone.
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
    /// A file was read and is not PEM.
    #[error("{path} is not PEM: {cause}", path = .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: Arc<pem::Error>,
    },
    /// A file has no certificate in it.
    #[error("no certificate in {path}", path = .path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file has no private key in it; an encrypted one does not count.
    #[error("no private key in {path}, or only an encrypted one", path = .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be used.
    #[error("certificate in {path}: {cause}", path = .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// rustls's reason.
        #[source]
        cause: rustls::Error,
    },
    /// A private key cannot be used, or belongs to another certificate.
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
    #[error("{name:?} is no server name")]
    ServerName {
        /// The name.
        name: String,
    },
    /// One side did not accept the other's part of the handshake.
    #[error("TLS handshake failed: {0}{remedy}", remedy = remedy(.0))]
    Handshake(#[source] rustls::Error),
    /// The connection broke during the handshake.
    #[error("connection lost in the TLS handshake: {0}")]
    Connection(#[source] Arc<io::Error>),
    /// The handshake was not done before its deadline.
    #[error("TLS handshake not done within the handshake timeout")]
    TimedOut,
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        crate::Error::from(error).into()
    }
}

impl TlsError {
    /// What the connection under a handshake failed with; `WouldBlock` means
    /// that the handshake's deadline has passed.
    pub(crate) fn from_handshake_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::TimedOut,
            _ => Self::Connection(Arc::new(error)),
        }
    }

    /// Finds what rustls said inside of an I/O error: with TLS 1.3, a server's
    /// refusal of a client's certificate arrives with the first read after a
    /// handshake that went well on the client.
    pub(crate) fn from_io(error: &io::Error) -> Option<Self> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::Handshake(error.clone()));
            }
            // What an I/O error wraps is not its source, but itself.
            let wrapper = error.downcast_ref::<io::Error>();
            let shared = || error.downcast_ref::<Arc<io::Error>>().map(Arc::as_ref);
            cause = match wrapper.or_else(shared) {
                Some(wrapper) => wrapper.get_ref().map(|inner| inner as _),
                None => error.source(),
            };
        }
        None
    }

    /// Whether trying again cannot help: a person has to see to certificates
    /// or options.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Handshake(error) => is_lasting(error),
            Self::Connection(_) | Self::TimedOut => false,
            _ => true,
        }
    }
}

fn is_lasting(error: &rustls::Error) -> bool {
    use rustls::Error::*;
    match error {
        // A clock that is yet to be set.
        InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => false,
        InvalidCertificate(_) | NoCertificatesPresented | UnsupportedNameType => true,
        PeerIncompatible(_) => true,
        AlertReceived(alert) => is_refusal(*alert),
        _ => false,
    }
}

/// What can be done, where the error does not say so.
fn remedy(error: &rustls::Error) -> &'static str {
    use rustls::Error::InvalidCertificate;
    // webpki's own word for it, which it has no other form of here.
    match error {
        InvalidCertificate(CertificateError::Other(other))
            if format!("{other:?}").contains("UnsupportedCertVersion") =>
        {
            "; it is of X.509's version 1, which is taken only where it is pinned: pin it, or make \
             one of version 3, as `openssl req -x509` does"
        }
        _ => "",
    }
}

/// Whether the peer says that it wants none of our certificate, name or
/// ciphers.
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
    fn what_rustls_said_is_found_however_deep_it_is_wrapped() {
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
    fn an_error_that_is_not_of_rustls_stays_what_it_is() {
        for error in [
            io::Error::from(io::ErrorKind::ConnectionReset),
            io::Error::other("something"),
            yamux::Error::Closed.into(),
        ] {
            assert!(TlsError::from_io(&error).is_none());
        }
    }

    #[test]
    fn a_refusal_lasts_and_a_broken_connection_does_not() {
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
    fn it_can_be_passed_between_threads() {
        fn check<T: Clone + Send + Sync + 'static>() {}
        check::<TlsError>();
    }
}
