//! At which server an error happened.

use super::Error;

impl Error {
    /// Adds the address that a client has dialled to an error of a handshake, unless the error
    /// names it already. Its kind, its source and [`is_permanent`](Self::is_permanent) remain.
    pub(crate) fn at_server(self, addr: &str) -> Self {
        match self {
            Self::SessionRefused { code, text, .. } => Self::SessionRefused {
                code,
                text,
                addr: Some(addr.into()),
            },
            #[cfg(feature = "tls")]
            Self::Tls { cause, .. } => Self::Tls {
                cause,
                addr: Some(addr.into()),
            },
            // This side has ended the handshake.
            Self::Closed => self,
            error => {
                let text = error.to_string();
                if names_address(&text, addr) {
                    return error;
                }
                let hint = match &error {
                    Self::Malformed { .. } => "; is it a wirenet server?",
                    _ => "",
                };
                error.explained(format!("no session with {addr}: {text}{hint}"))
            }
        }
    }
}

/// Returns whether a text contains this address, and not only as a part of another one, as
/// `127.0.0.1:80` is a part of `127.0.0.1:8080`.
pub(crate) fn names_address(text: &str, addr: &str) -> bool {
    text.match_indices(addr).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + addr.len()..].chars().next();
        let host_begins_earlier =
            before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | ']'));
        let port_goes_on = after.is_some_and(|c| c.is_ascii_digit());
        !host_begins_earlier && !port_goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{Malformed, RefusalCode},
        yamux,
    };
    use std::{error::Error as _, io};

    const ADDR: &str = "hub.example:8989";

    #[test]
    fn a_part_of_another_address_is_not_taken_for_the_address() {
        for (text, addr, named) in [
            (
                "cannot connect to 10.0.0.1:80: refused",
                "10.0.0.1:80",
                true,
            ),
            ("the server at 10.0.0.1:80", "10.0.0.1:80", true),
            ("the server at 10.0.0.1:8080", "10.0.0.1:80", false),
            ("the server at 110.0.0.1:80", "10.0.0.1:80", false),
            ("the server at my-hub:80", "hub:80", false),
            ("the server at [::1]:80", ":80", false),
            ("the server at :80, which", ":80", true),
            ("10.0.0.1:8080, then 10.0.0.1:80", "10.0.0.1:80", true),
            ("no address", "10.0.0.1:80", false),
        ] {
            assert_eq!(names_address(text, addr), named, "{addr} in {text:?}");
        }
    }

    /// Returns what an error and its sources print.
    fn chain(error: &Error) -> Vec<String> {
        let mut texts = vec![error.to_string()];
        let mut source = error.source();
        while let Some(error) = source {
            texts.push(error.to_string());
            source = error.source();
        }
        texts
    }

    #[test]
    fn the_address_is_added_once_and_nothing_else_changes() {
        let refused = Error::SessionRefused {
            code: Some(RefusalCode::TokenRefused),
            text: "bad token".into(),
            addr: None,
        };
        let cut = Error::from(yamux::Error::EndedByPeer);
        let explained = format!("the server at {ADDR} speaks TLS");
        for error in [
            refused,
            #[cfg(feature = "tls")]
            crate::tls::TlsError::TimedOut.into(),
            Error::malformed("session handshake", Malformed::SessionId),
            yamux::Error::from_read(io::ErrorKind::HostUnreachable.into()).into(),
            yamux::Error::PeerFailed(1).into(),
            cut.clone().explained(explained),
            cut,
        ] {
            let located = error.clone().at_server(ADDR);
            let again = located.clone().at_server(ADDR).to_string();
            assert_eq!(again, located.to_string());
            assert_eq!(again.matches(ADDR).count(), 1, "{again}");
            assert_eq!(located.kind(), error.kind());
            assert_eq!(located.is_permanent(), error.is_permanent());
            let sources = error.source().map(ToString::to_string);
            let kept = sources.is_none_or(|source| chain(&located).contains(&source));
            assert!(kept, "{located:?}");
        }
        assert!(matches!(Error::Closed.at_server(ADDR), Error::Closed));
    }
}
