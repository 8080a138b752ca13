//! Recognizes what a peer sends instead of TLS. Pure.

use crate::foreign::Foreign;

/// The most bytes of a peer's first line that an error shows.
const SHOWN: usize = 60;

/// Returns whether the first bytes of a peer may be a TLS record.
pub(super) fn is_tls(bytes: &[u8]) -> bool {
    // A content type, and the first half of a version (RFC 8446, 5.1).
    matches!(bytes, [] | [20..=24] | [20..=24, 3, ..])
}

/// Says what the first bytes of a peer are, if they are not TLS.
pub(super) fn name(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    // There is always a first line, which may be empty.
    let line = line.unwrap_or_default();
    let line = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
    let first_line = format!("{line:?}");
    let is_text = bytes
        .iter()
        .take(4)
        .all(|byte| (b' '..=b'~').contains(byte));
    match (bytes, Foreign::recognize(bytes)) {
        // Version 0, and one of the four types of frames.
        ([0, 0..=3, ..], None) => "plain yamux".into(),
        (_, Some(Foreign::Named(name))) if is_text => format!("{name} ({first_line})"),
        (_, Some(Foreign::Named(name))) => name.into(),
        _ if is_text => format!("the text {first_line}"),
        _ => {
            let bytes = bytes.iter().take(8).map(|byte| format!(" {byte:02x}"));
            format!("bytes that begin with{}", bytes.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_tls_are_recognized() {
        for bytes in [&[][..], &[22], &[22, 3, 1, 2, 0], &[21, 3, 3, 0, 2, 2, 70]] {
            assert!(is_tls(bytes), "{bytes:?}");
        }
        for bytes in [&b"HTTP/1.1"[..], b"SSH-2.0", &[0, 1, 0, 1], &[22, 4]] {
            assert!(!is_tls(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn other_protocols_are_named_with_their_first_line() {
        for (bytes, expected) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\nServer: x"[..],
                "HTTP (\"HTTP/1.1 400 Bad Request\")",
            ),
            (b"GET / HTTP/1.1\r\n", "HTTP (\"GET / HTTP/1.1\")"),
            (
                b"SSH-2.0-OpenSSH_9.2p1\r\n",
                "SSH (\"SSH-2.0-OpenSSH_9.2p1\")",
            ),
            (b"220 mail\x1b[2J\n", "SMTP or FTP (\"220 mail\\u{1b}[2J\")"),
            (&[0, 1, 0, 1, 0, 0, 0, 1], "plain yamux"),
            (&[0xff; 20], "bytes that begin with ff ff ff ff ff ff ff ff"),
            (&[b'a'; 5], "the text \"aaaaa\""),
        ] {
            assert_eq!(name(bytes), expected);
        }
    }
}
