//! What a [`TlsError`] prints, and its source.

use super::{
    TlsError,
    explain::{Explained, Loading, escaped},
};
use std::{error::Error, fmt, io, path::Path};

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, cause } => {
                let advice = unreadable(path, cause);
                write!(f, "cannot read {}: {cause}; {advice}", path.display())
            }
            Self::Pem { path, reason, .. } => {
                write!(f, "{} is not valid PEM: {reason}", path.display())
            }
            Self::NoCertificate { path, found } => {
                write!(f, "{} contains no certificate: {found}", path.display())
            }
            Self::NoKey { path, found } => write!(
                f,
                "{} contains no private key that can be read: {found}",
                path.display()
            ),
            #[cfg(feature = "system-roots")]
            Self::NoSystemRoots { found, failures } => write!(
                f,
                "no certificate authority of the operating system can be used: {found} \
                 certificates found, of which none is valid{}; install the package \
                 `ca-certificates`, or set SSL_CERT_FILE to a PEM file with authorities",
                listed(failures)
            ),
            Self::Certificate { path, cause } => write!(
                f,
                "the certificate in {} cannot be used: {}",
                path.display(),
                Loading(cause)
            ),
            Self::Key { path, cause } => write!(
                f,
                "the private key in {} cannot be used: {}",
                path.display(),
                Loading(cause)
            ),
            Self::Config(cause) => write!(f, "invalid TLS configuration: {}", Explained(cause)),
            Self::ServerName { name } => write!(
                f,
                "{name:?} is neither a DNS name nor an IP address; set a name of the server's \
                 certificate with `TlsClient::server_name`"
            ),
            Self::Fingerprint { text, reason } => write!(
                f,
                "\"{}\" is not the SHA-256 fingerprint of a certificate: {reason}; give what \
                 `openssl x509 -in FILE -noout -fingerprint -sha256` prints",
                escaped(text)
            ),
            Self::Handshake(cause) => write!(f, "handshake failed: {}", Explained(cause)),
            Self::WrongPin {
                certificate,
                pinned,
            } => write!(
                f,
                "the server's certificate has the SHA-256 {certificate}, but pinned is {pinned}; \
                 if the server's certificate was renewed, pin the new one, else the connection \
                 may be intercepted"
            ),
            Self::UnknownIssuer {
                peer,
                subject,
                issuer,
            } => f.write_str(&unknown_issuer(peer, subject, issuer)),
            Self::NotTls { peer, received, .. } => {
                let verb = if *peer == "server" { "answer" } else { "begin" };
                write!(
                    f,
                    "the {peer} did not {verb} with TLS, but with {received}; is TLS off there, \
                     or the port wrong?"
                )
            }
            Self::Connection(cause) => write!(
                f,
                "connection lost during the TLS handshake: {cause}{}",
                hint(cause)
            ),
            Self::TimedOut => f.write_str(
                "no TLS handshake within the handshake timeout; is TLS off at the peer, or the \
                 network slow?",
            ),
        }
    }
}

/// Returns the cause itself, not the `Arc` around it, so that `downcast_ref` finds it.
impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { cause, .. } | Self::Connection(cause) => Some(&**cause),
            Self::Pem { cause, .. } => Some(&**cause),
            Self::Certificate { cause, .. }
            | Self::Key { cause, .. }
            | Self::NotTls { cause, .. }
            | Self::Config(cause)
            | Self::Handshake(cause) => Some(cause),
            #[cfg(feature = "system-roots")]
            Self::NoSystemRoots { .. } => None,
            Self::NoCertificate { .. }
            | Self::NoKey { .. }
            | Self::ServerName { .. }
            | Self::Fingerprint { .. }
            | Self::WrongPin { .. }
            | Self::UnknownIssuer { .. }
            | Self::TimedOut => None,
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
