//! TLS errors, and whether retrying may help.

use super::{Fingerprint, foreign, refusal};
use rustls::{AlertDescription, CertificateError, pki_types::pem};
use std::{error::Error, io, path::PathBuf, sync::Arc};

/// Why certificates could not be loaded, a configuration could not be created, or a
/// TLS handshake failed.
///
/// Cheap to clone. Converts into [`io::Error`] and [`Error`](crate::Error).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing or cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: Arc<io::Error>,
    },
    /// A file is not valid PEM.
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and in which line.
        reason: String,
        /// The same, for programs.
        cause: Arc<pem::Error>,
    },
    /// A file contains no certificate.
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What it contains instead.
        found: String,
    },
    /// A file contains no private key, or only an encrypted one.
    NoKey {
        /// The file.
        path: PathBuf,
        /// What it contains instead.
        found: String,
    },
    /// No certificate of the operating system's authorities can be used: see
    /// [`TlsClient::system_roots`](crate::TlsClient::system_roots).
    #[cfg(feature = "system-roots")]
    NoSystemRoots {
        /// How many certificates were found.
        found: usize,
        /// What could not be read, and why.
        failures: Vec<String>,
    },
    /// A certificate is invalid.
    Certificate {
        /// The file.
        path: PathBuf,
        /// rustls's reason.
        cause: rustls::Error,
    },
    /// A private key is invalid, or belongs to another certificate.
    Key {
        /// The file.
        path: PathBuf,
        /// rustls's reason.
        cause: rustls::Error,
    },
    /// rustls refused a configuration.
    Config(rustls::Error),
    /// The name to check is neither a DNS name nor an IP address.
    ServerName {
        /// The name.
        name: String,
    },
    /// A text is not the [`Fingerprint`] of a certificate.
    Fingerprint {
        /// The beginning of the text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One side did not accept what the other sent in the handshake.
    Handshake(rustls::Error),
    /// The server's certificate is not the [pinned](crate::TlsClient::pinned) one.
    WrongPin {
        /// The SHA-256 of the server's certificate.
        certificate: Fingerprint,
        /// The pinned SHA-256.
        pinned: Fingerprint,
    },
    /// The peer's certificate was not issued by an authority that this side trusts. With
    /// rustls's own configurations this is a [`Handshake`](Self::Handshake) error.
    UnknownIssuer {
        /// `"server"` or `"client"`.
        peer: &'static str,
        /// To whom the certificate was issued, for example `CN=box-1, O=Example`.
        subject: String,
        /// Who issued the certificate; for a self-signed one, equal to `subject`.
        issuer: String,
    },
    /// The peer sent something that is not TLS.
    NotTls {
        /// `"server"` or `"client"`.
        peer: &'static str,
        /// What it sent: the name of the protocol, if it is known, or the first bytes.
        received: String,
        /// rustls's error.
        cause: rustls::Error,
    },
    /// The connection failed during the handshake.
    Connection(Arc<io::Error>),
    /// The handshake was not complete by its deadline.
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
            cause = match error.downcast_ref::<io::Error>() {
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

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
