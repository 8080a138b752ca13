//! What a peer speaks instead of this protocol, as far as its first bytes tell. Pure.

/// What a peer speaks instead of yamux. Programs often dial the port of a wire by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    Tls,
    /// Text or bytes of this protocol.
    Named(&'static str),
    Unknown,
}

/// What clients and servers of other protocols send first. Bytes of yamux begin with a
/// version of 0 and a type of at most 3.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"GET ", "HTTP"),
    (b"HEAD ", "HTTP"),
    (b"POST ", "HTTP"),
    (b"PUT ", "HTTP"),
    (b"PATCH ", "HTTP"),
    (b"DELETE ", "HTTP"),
    (b"OPTIONS ", "HTTP"),
    (b"CONNECT ", "HTTP"),
    (b"TRACE ", "HTTP"),
    (b"HTTP/", "HTTP"),
    (b"PRI * HTTP/2", "HTTP/2"),
    (b"SSH-", "SSH"),
    (b"220 ", "SMTP or FTP"),
    (b"220-", "SMTP or FTP"),
    (b"EHLO ", "SMTP"),
    (b"HELO ", "SMTP"),
    (b"* OK ", "IMAP"),
    (b"+OK ", "POP3"),
    (b"PROXY ", "the PROXY protocol of a load balancer"),
    (
        b"\r\n\r\n\0\r\nQUIT\n",
        "the PROXY protocol of a load balancer",
    ),
    (b"*1\r\n", "Redis"),
    (b"*2\r\n", "Redis"),
    (b"*3\r\n", "Redis"),
    (b"PING\r\n", "Redis"),
    (b"-ERR ", "Redis"),
    (b"-NOAUTH ", "Redis"),
    (b"-DENIED ", "Redis"),
    (b"+PONG", "Redis"),
    (b"\x05\x01\0", "SOCKS"),
    (b"\x05\x02\0", "SOCKS"),
    (b"\x04\x01", "SOCKS"),
    (b"\x03\0\0", "RDP"),
    (b"\0\0\0\x08\x04\xd2\x16", "PostgreSQL"),
];

impl Foreign {
    /// Recognizes the protocol of a peer whose first bytes are these. Returns `None` if
    /// they may be the beginning of yamux, or if there are none.
    pub(crate) fn recognize(first: &[u8]) -> Option<Self> {
        let &version = first.first()?;
        // The content type of a handshake or an alert, then the first byte of the version.
        if matches!(version, 0x15 | 0x16) && first.get(1).is_none_or(|major| *major == 3) {
            return Some(Self::Tls);
        }
        let mut beginnings = BEGINNINGS.iter();
        if let Some((_, name)) = beginnings.find(|(begins, _)| first.starts_with(begins)) {
            return Some(Self::Named(name));
        }
        // Empty if fewer bytes were received: then it begins with nothing below.
        let rest = first.get(4..).unwrap_or_default();
        if version == 0 && (rest.starts_with(b"\xffSMB") || rest.starts_with(b"\xfeSMB")) {
            return Some(Self::Named("SMB"));
        }
        // The length, then version 3.0 of the protocol.
        if version == 0 && rest.starts_with(b"\0\x03\0\0") {
            return Some(Self::Named("PostgreSQL"));
        }
        // The length, packet number 0, then version 10 of the protocol.
        if version != 0 && first.get(3) == Some(&0) && rest.first() == Some(&10) {
            return Some(Self::Named("MySQL"));
        }
        let kind = first.get(1).copied().unwrap_or(0);
        (version != 0 || kind > 3).then_some(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_known_from_its_first_bytes_however_many_have_arrived() {
        use Foreign::{Named, Tls, Unknown};
        for (expected, first) in [
            (Tls, &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..]),
            (Tls, b"\x15\x03\x03\0\x02\x02\x0a"),
            (Named("HTTP"), b"GET / HTTP/1.1\r\n"),
            (Named("HTTP"), b"HTTP/1.1 400 Bad Request\r\n"),
            (Named("HTTP/2"), b"PRI * HTTP/2.0\r\n\r\nSM"),
            (Named("SSH"), b"SSH-2.0-OpenSSH_9.2\r\n"),
            (Named("SMTP or FTP"), b"220 mail.example ESMTP\r\n"),
            (Named("Redis"), b"*1\r\n$4\r\nPING\r\n"),
            (Named("PostgreSQL"), b"\0\0\0\x08\x04\xd2\x16\x2f"),
            (Named("PostgreSQL"), b"\0\0\0\x54\0\x03\0\0user\0"),
            (Named("MySQL"), b"J\0\0\0\x0a8.0.36\0"),
            (Named("RDP"), b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0"),
            (Named("SMB"), b"\0\0\0\x54\xffSMBr\0\0\0"),
            (Named("SMB"), b"\0\0\0\xb6\xfeSMB@\0"),
            (Unknown, b"\0\x04\0\0"),
            (Unknown, b"hello"),
            (Unknown, b"\x01"),
        ] {
            assert_eq!(Foreign::recognize(first), Some(expected), "{first:?}");
            // Byte by byte, the answer is never another protocol's name.
            for len in 0..first.len() {
                let known = Foreign::recognize(&first[..len]);
                assert!(
                    matches!(known, None | Some(Unknown)) || known == Some(expected),
                    "{known:?} from {len} bytes of {first:?}"
                );
            }
        }
    }

    #[test]
    fn yamux_is_not_taken_for_anything_else() {
        for first in [
            &b""[..],
            // A SYN and a large body, as Data and as a window update; a ping; a go-away.
            b"\0\0\0\x01\0\0\0\x01\0\x01\0\0",
            b"\0\x01\0\x01\0\0\0\x01\0\0\0\0",
            b"\0\x02\0\x01\0\0\0\0\0\0\0\0",
            b"\0\x03\0\0\0\0\0\0\0\0\0\x01",
        ] {
            for len in 0..=first.len() {
                assert_eq!(Foreign::recognize(&first[..len]), None, "{first:?}");
            }
        }
    }
}
