//! Fingerprints of certificates, and their text. Pure.

use super::{TlsError, error::hex};
use std::{fmt, str::FromStr};

/// The number of bytes of a SHA-256.
const LEN: usize = 32;

/// The most characters of an invalid text that an error shows.
const SHOWN_TEXT: usize = 100;

/// The SHA-256 of a certificate in DER, which a client can
/// [pin](crate::TlsClient::pinned).
///
/// [`Display`](fmt::Display) prints 64 lowercase hexadecimal digits, as `sha256sum` does.
/// [`FromStr`] reads the whole output of one of these commands:
///
/// - `openssl x509 -in server.pem -noout -fingerprint -sha256`
/// - `openssl x509 -in server.pem -outform der | sha256sum`
///
/// That is: 64 hexadecimal digits in upper or lower case, all of their bytes or none
/// separated by colons, with or without `sha256 Fingerprint=` before them and a file name
/// after them.
///
/// # Examples
///
/// ```
/// use wirenet::{Fingerprint, TlsClient};
///
/// let text = "sha256 Fingerprint=9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:\
///     A3:BF:4F:1B:2B:0B:82:2C:D1:5D:6C:15:B0:F0:0A:08";
/// let pin: Fingerprint = text.parse()?;
/// let digits = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// assert_eq!(pin.to_string(), digits);
/// assert_eq!(pin, digits.parse()?);
/// let client = TlsClient::pinned(pin);
/// # Ok::<(), wirenet::TlsError>(())
/// ```
#[doc(alias("hash", "hex", "pin", "sha256", "thumbprint"))]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; LEN]);

impl Fingerprint {
    /// Returns the 32 bytes of the SHA-256.
    pub fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl From<[u8; LEN]> for Fingerprint {
    fn from(sha256: [u8; LEN]) -> Self {
        Self(sha256)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = TlsError;

    /// # Errors
    ///
    /// [`TlsError::Fingerprint`] if `text` is anything else.
    fn from_str(text: &str) -> Result<Self, TlsError> {
        parse(text).map_err(|reason| TlsError::Fingerprint {
            text: text.chars().take(SHOWN_TEXT).collect(),
            reason,
        })
    }
}

/// Returns the fingerprint, or what is wrong with the text.
fn parse(text: &str) -> Result<Fingerprint, String> {
    let value = match text.split_once('=') {
        Some((label, value)) if is_label(label) => value,
        _ => text,
    };
    // `sha256sum` prints the name of the file after the digits. An empty text has 0 digits,
    // which is an error below.
    let value = value.split_whitespace().next().unwrap_or_default();
    let digits = value.chars().filter(|c| *c != ':').map(|c| {
        let digit = c.to_digit(16);
        digit.ok_or_else(|| format!("{c:?} is not a hexadecimal digit"))
    });
    let digits = digits.collect::<Result<Vec<u32>, String>>()?;
    let has_colons = value.contains(':');
    if has_colons && value.split(':').any(|byte| byte.len() != 2) {
        return Err("there are not two digits between all colons".into());
    }
    if digits.len() != 2 * LEN {
        let kind = match digits.len() {
            32 => ", as an MD5 has",
            40 => ", as a SHA-1 has",
            _ => "",
        };
        return Err(format!("it has {} digits{kind}", digits.len()));
    }
    let mut bytes = [0; LEN];
    for (byte, digits) in bytes.iter_mut().zip(digits.chunks(2)) {
        // Each digit is less than 16.
        *byte = digits
            .iter()
            .fold(0, |byte, digit| byte << 4 | *digit as u8);
    }
    Ok(Fingerprint(bytes))
}

/// Returns whether it is OpenSSL's label: `sha256 Fingerprint`, or `SHA256 Fingerprint` in
/// older versions.
fn is_label(label: &str) -> bool {
    label.trim().eq_ignore_ascii_case("sha256 fingerprint")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_colons(fingerprint: Fingerprint) -> String {
        let bytes = fingerprint.0.map(|byte| format!("{byte:02X}"));
        bytes.join(":")
    }

    proptest! {
        #[test]
        fn what_openssl_and_sha256sum_print_is_read(bytes: [u8; LEN]) {
            let fingerprint = Fingerprint::from(bytes);
            let (digits, colons) = (fingerprint.to_string(), with_colons(fingerprint));
            for text in [
                digits.clone(),
                digits.to_uppercase(),
                format!("{digits}  -\n"),
                format!("{digits}  server=1.der\n"),
                format!("  {colons}\r\n"),
                format!("sha256 Fingerprint={colons}\n"),
                format!("SHA256 Fingerprint={colons}\n"),
            ] {
                prop_assert_eq!(text.parse::<Fingerprint>().unwrap(), fingerprint);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            // Whether it is a fingerprint does not matter here.
            let _ = text.parse::<Fingerprint>();
        }
    }

    #[test]
    fn what_is_not_a_sha256_is_refused_with_the_reason() {
        let digits = "ab".repeat(LEN);
        for (text, reason) in [
            ("", "it has 0 digits"),
            (&digits[1..], "it has 63 digits"),
            (&format!("{digits}0"), "it has 65 digits"),
            (&digits[24..], "it has 40 digits, as a SHA-1 has"),
            ("sha256 Fingerprint=", "it has 0 digits"),
            ("SHA1 Fingerprint=AB:CD", "'S' is not a hexadecimal digit"),
            ("sha256//abc=", "'s' is not a hexadecimal digit"),
            ("é", "'é' is not a hexadecimal digit"),
            (
                &digits.replacen("ab", "ab:", 1),
                "there are not two digits between all colons",
            ),
            (
                &format!("{}:", "ab:".repeat(31)),
                "there are not two digits between all colons",
            ),
        ] {
            assert_eq!(parse(text), Err(reason.into()), "{text}");
        }
    }
}
