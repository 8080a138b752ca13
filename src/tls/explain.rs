//! What rustls's errors mean, and what to do about them. Pure.

use super::date::Date;
use rustls::{
    AlertDescription, CertificateError, Error, InconsistentKeys, OtherError, PeerIncompatible,
};
use std::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
};

/// Shows an error of a handshake, or of a connection.
pub(super) struct Explained<'a>(pub(super) &'a Error);

impl Display for Explained<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::AlertReceived(alert) => write!(f, "{}", Alert(*alert)),
            Error::InvalidCertificate(cause) => certificate(cause, f),
            Error::NoCertificatesPresented => f.write_str(
                "the client showed no certificate, but `client_ca` requires one; set one with \
                 `TlsClient::certificate`",
            ),
            Error::PeerIncompatible(cause) => incompatible(cause, f),
            Error::InvalidMessage(cause) => {
                write!(f, "the peer sent a malformed message: {}", Words(cause))
            }
            Error::PeerMisbehaved(cause) => {
                write!(f, "the peer violated the TLS protocol: {}", Words(cause))
            }
            Error::InappropriateMessage { got_type, .. } => {
                write!(
                    f,
                    "the peer sent a message out of order: {}",
                    Words(got_type)
                )
            }
            Error::InappropriateHandshakeMessage { got_type, .. } => {
                write!(
                    f,
                    "the peer sent a message out of order: {}",
                    Words(got_type)
                )
            }
            Error::DecryptError => f.write_str(
                "what the peer sent cannot be decrypted: it was damaged or changed on the way",
            ),
            Error::UnsupportedNameType => f.write_str(
                "the server's name cannot be checked; set another one with \
                 `TlsClient::server_name`",
            ),
            Error::InvalidCertRevocationList(cause) => {
                write!(f, "the revocation list cannot be used: {}", Words(cause))
            }
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                f.write_str("the private key does not belong to the certificate")
            }
            Error::General(text) => f.write_str(text),
            Error::Other(OtherError(cause)) => cause.fmt(f),
            // Their own texts are clear.
            other => other.fmt(f),
        }
    }
}

/// Shows an error of a certificate or a key that was loaded.
pub(super) struct Loading<'a>(pub(super) &'a Error);

impl Display for Loading<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::InvalidCertificate(CertificateError::BadEncoding) => {
                f.write_str("it is not a certificate of X.509, or is damaged")
            }
            Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
                write!(f, "{}", Words(cause))
            }
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => f.write_str(
                "it does not belong to the certificate; were they made or renewed together?",
            ),
            Error::General(text) if text.starts_with("failed to parse private key") => f.write_str(
                "it is damaged, or of another kind than RSA, ECDSA (P-256, P-384) and Ed25519",
            ),
            other => Explained(other).fmt(f),
        }
    }
}

fn certificate(cause: &CertificateError, f: &mut Formatter<'_>) -> fmt::Result {
    use CertificateError::*;
    match cause {
        ExpiredContext { time, not_after } => write!(
            f,
            "the peer's certificate expired on {}, and this machine's clock says {}; renew the \
             certificate, or set the clock",
            Date(*not_after),
            Date(*time)
        ),
        NotValidYetContext { time, not_before } => write!(
            f,
            "the peer's certificate is valid from {}, but this machine's clock says {}; set the \
             clock, or pin the certificate (`TlsClient::pinned`)",
            Date(*not_before),
            Date(*time)
        ),
        NotValidForNameContext {
            expected,
            presented,
        } => names(&expected.to_str(), presented, f),
        InvalidPurposeContext { required, .. } => write!(
            f,
            "the peer's certificate may not be used for {required}; add that to its extended \
             key usage"
        ),
        Other(OtherError(cause)) => {
            // rustls has no variants for these errors of webpki, so they are known by their
            // names.
            match other(&format!("{cause:?}")) {
                Some(text) => f.write_str(text),
                None => write!(
                    f,
                    "the peer's certificate is not accepted: {}",
                    Words(cause)
                ),
            }
        }
        cause => match simple(cause) {
            Some(text) => f.write_str(text),
            None => write!(
                f,
                "the peer's certificate is not accepted: {}",
                Words(cause)
            ),
        },
    }
}

/// Explains the errors that hold no details.
fn simple(cause: &CertificateError) -> Option<&'static str> {
    use CertificateError::*;
    Some(match cause {
        UnknownIssuer => {
            "no trusted authority has issued the peer's certificate; trust its authority \
             (`with_ca` of a client, `client_ca` of a server), or pin it (`TlsClient::pinned`)"
        }
        BadSignature => {
            "a signature of the peer does not match: its key belongs to another certificate, or \
             its authority has the name of a trusted one, but another key"
        }
        Expired => "the peer's certificate has expired; renew it, or set this machine's clock",
        NotValidYet => "the peer's certificate is not valid yet; set this machine's clock",
        NotValidForName => {
            "the peer's certificate is for other names than the dialled one; dial one of these, \
             or set one with `TlsClient::server_name`"
        }
        InvalidPurpose => {
            "the peer's certificate may not be used for this side of a connection; get one \
             whose extended key usage allows it"
        }
        Revoked => "the peer's certificate was revoked; get a new one",
        BadEncoding => "the peer's certificate is not in the X.509 format, or is damaged",
        ApplicationVerificationFailure => "the program does not accept the peer's certificate",
        _ => return None,
    })
}

fn other(name: &str) -> Option<&'static str> {
    let known = [
        (
            "UnsupportedCertVersion",
            "the peer's certificate is of X.509 version 1, which is accepted only for a pinned \
             certificate: pin it, or make one of version 3, as `openssl req -x509` does",
        ),
        (
            "CaUsedAsEndEntity",
            "the peer's certificate is an authority's own (CA:TRUE), which is accepted only if it \
             is pinned: pin it, or make one with `-addext basicConstraints=critical,CA:FALSE`",
        ),
    ];
    let found = known.into_iter().find(|(known, _)| name == *known);
    found.map(|(_, text)| text)
}

/// The most names of a certificate that are shown.
const SHOWN_NAMES: usize = 8;

/// The most characters of such a name that are shown.
const SHOWN_NAME: usize = 253;

/// Escapes what could disturb a terminal.
pub(super) fn escaped(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).collect()
}

/// Explains that a certificate is for other names than the expected one.
fn names(expected: &str, presented: &[String], f: &mut Formatter<'_>) -> fmt::Result {
    // As `DnsName("localhost")`, `IpAddress(::1)`.
    let bare = |name: &String| {
        let start = name.find('(').map_or(0, |at| at + 1);
        let inner = name[start..].trim_matches(['"', ')']);
        match inner.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            // A DNS name.
            Err(_) => escaped(&inner.chars().take(SHOWN_NAME).collect::<String>()),
        }
    };
    let shown: Vec<String> = presented.iter().take(SHOWN_NAMES).map(bare).collect();
    match presented.len() {
        0 => f.write_str("the peer's certificate is for no name at all (it has no SAN)")?,
        _ => write!(f, "the peer's certificate is for {}", shown.join(", "))?,
    }
    if presented.len() > SHOWN_NAMES {
        write!(f, " and {} other names", presented.len() - SHOWN_NAMES)?;
    }
    write!(
        f,
        ", but {expected:?} was asked for; dial one of its names, set one with \
         `TlsClient::server_name`, or pin the certificate"
    )
}

fn incompatible(cause: &PeerIncompatible, f: &mut Formatter<'_>) -> fmt::Result {
    use PeerIncompatible::*;
    match cause {
        ServerDoesNotSupportTls12Or13
        | ServerTlsVersionIsDisabledByOurConfig
        | SupportedVersionsExtensionRequired
        | Tls12NotOffered
        | Tls12NotOfferedOrEnabled => f.write_str(VERSION),
        cause => write!(f, "the peer is incompatible: {}", Words(cause)),
    }
}

const VERSION: &str =
    "the peer does not support TLS 1.3, which is required; update it, or enable that version";

/// An alert of the peer, with its name in RFC 8446.
struct Alert(AlertDescription);

impl Display for Alert {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match meaning(self.0) {
            Some(text) => write!(f, "{text} (alert {})", Snake(self.0)),
            None => write!(
                f,
                "the peer sent the alert {} ({})",
                u8::from(self.0),
                Snake(self.0)
            ),
        }
    }
}

fn meaning(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription::*;
    Some(match alert {
        CertificateRequired | NoCertificate => {
            "the server requires a certificate of this client, which showed none; set one with \
             `TlsClient::certificate`"
        }
        UnknownCA => {
            "the peer trusts no authority that has issued this side's certificate; add the \
             authority there (`with_ca` of a client, `client_ca` of a server), or let the client \
             pin the certificate"
        }
        CertificateExpired => {
            "by the peer's clock, this side's certificate has expired or is not valid yet; check \
             its dates and both clocks"
        }
        BadCertificate => {
            "the peer does not accept this side's certificate: it may be for another name, or \
             not be valid by the peer's clock; the peer's log may say more"
        }
        AccessDenied => {
            "the peer does not accept this side's certificate; if it pins one, it must pin this \
             one"
        }
        UnsupportedCertificate => {
            "this side's certificate may not be used for this: check its extended key usage"
        }
        CertificateRevoked => "this side's certificate was revoked; get a new one",
        CertificateUnknown => {
            "the peer does not accept this side's certificate; the peer's log may say why"
        }
        DecryptError => {
            "the peer could not verify a signature of this side: the authority that it trusts \
             may have the right name, but another key"
        }
        HandshakeFailure | InsufficientSecurity => {
            "the two sides have no cipher, key exchange or signature in common; update the \
             older side, or enable an algorithm that both support"
        }
        ProtocolVersion => VERSION,
        UnrecognisedName => {
            "the server does not know the name that was dialled; set its name with \
             `TlsClient::server_name`"
        }
        NoApplicationProtocol => {
            "the two sides have no application protocol (ALPN) in common; set the same one on \
             both, or none"
        }
        BadRecordMac => {
            "what this side sent could not be decrypted: it was damaged or changed on the way"
        }
        DecodeError | IllegalParameter | UnexpectedMessage => {
            "the peer does not understand what this side sent; is another protocol expected at \
             this port?"
        }
        InternalError => "the peer failed; the peer's log may say why",
        _ => return None,
    })
}

/// Shows the name of a variant as words.
struct Words<T>(T);

impl<T: fmt::Debug> Display for Words<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        split(&format!("{:?}", self.0), ' ', f)
    }
}

/// Shows the name of a variant as RFCs write it.
struct Snake<T>(T);

impl<T: fmt::Debug> Display for Snake<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        split(&format!("{:?}", self.0), '_', f)
    }
}

/// Writes the words of a name in camel case. What follows the name is left out.
fn split(name: &str, between: char, f: &mut Formatter<'_>) -> fmt::Result {
    let end = name.find(|char: char| !char.is_ascii_alphanumeric());
    let name = &name[..end.unwrap_or(name.len())];
    let mut is_after_capital = true;
    for char in name.chars() {
        if char.is_ascii_uppercase() && !is_after_capital {
            write!(f, "{between}")?;
        }
        is_after_capital = char.is_ascii_uppercase();
        write!(f, "{}", char.to_ascii_lowercase())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;

    #[test]
    fn a_certificate_of_many_names_is_shown_in_short() {
        let presented = (0..1000).map(|n| format!("DnsName(\"{n}.example\\n\")"));
        let error = Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("box.example").unwrap(),
            presented: presented.collect(),
        });
        let text = Explained(&error).to_string();
        assert!(
            text.contains("7.example\\\\n and 992 other names"),
            "{text}"
        );
        assert!(text.len() < 400, "{text}");
    }

    #[test]
    fn names_of_variants_are_shown_as_words() {
        for (name, words) in [
            ("UnknownCA", "unknown_ca"),
            ("BadRecordMAC", "bad_record_mac"),
            ("MissingData(\"x\")", "missing_data"),
            ("Other { a: 1 }", "other"),
            ("Unknown(0x47)", "unknown"),
        ] {
            struct Named<'a>(&'a str);
            impl fmt::Debug for Named<'_> {
                fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                    f.write_str(self.0)
                }
            }
            assert_eq!(Snake(Named(name)).to_string(), words);
        }
    }
}
