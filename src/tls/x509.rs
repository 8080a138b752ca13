//! Finds the public key and the names of a certificate of any version: webpki, which
//! rustls uses, accepts only version 3. The key is for certificates that are pinned or
//! loaded from a file, where only the key matters; the names are for errors. Pure.

use super::explain::escaped;

/// Tags of DER.
const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, constructed: the version, which certificates of version 1 lack.
const VERSION: u8 = 0xa0;

/// The most characters of a name that are shown.
const SHOWN_NAME: usize = 200;

/// The parts of names that are shown, by their object identifiers (RFC 5280, 4.1.2.4).
const PARTS: [(&[u8], &str); 4] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
];

/// Returns the subject's public key (`SubjectPublicKeyInfo`, RFC 5280, 4.1) of a
/// certificate in DER; `None` if the bytes are not a certificate.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let mut signed = signed_part(certificate)?;
    // Issuer, validity, subject.
    for _ in 0..3 {
        signed.take(SEQUENCE)?;
    }
    Some(signed.take(SEQUENCE)?.whole)
}

/// Who issued a certificate, and to whom, as text for errors: for example
/// `CN=Example CA, O=Example`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) issuer: String,
    pub(super) subject: String,
}

/// Returns the names of a certificate in DER; `None` if the bytes are not a certificate.
pub(super) fn names(certificate: &[u8]) -> Option<Names> {
    let mut signed = signed_part(certificate)?;
    let issuer = name(signed.take(SEQUENCE)?.content)?;
    signed.take(SEQUENCE)?;
    let subject = name(signed.take(SEQUENCE)?.content)?;
    Some(Names { issuer, subject })
}

/// Returns the signed part of a certificate, from the issuer on.
fn signed_part(certificate: &[u8]) -> Option<Der<'_>> {
    let mut outer = Der(certificate);
    let mut certificate = Der(outer.take(SEQUENCE)?.content);
    if !outer.0.is_empty() {
        return None;
    }
    let mut signed = Der(certificate.take(SEQUENCE)?.content);
    if signed.0.first() == Some(&VERSION) {
        signed.take(VERSION)?;
    }
    // The serial number, and the signature algorithm.
    signed.take(INTEGER)?;
    signed.take(SEQUENCE)?;
    Some(signed)
}

/// Shows a name (RFC 5280, 4.1.2.4). Anything that could disturb a terminal is escaped.
fn name(content: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut sets = Der(content);
    while !sets.0.is_empty() {
        let mut set = Der(sets.take(SET)?.content);
        let mut attribute = Der(set.take(SEQUENCE)?.content);
        let kind = attribute.take(OBJECT_IDENTIFIER)?.content;
        let value = attribute.take(*attribute.0.first()?)?.content;
        if let Some((_, key)) = PARTS.iter().find(|(identifier, _)| *identifier == kind) {
            let value = escaped(&String::from_utf8_lossy(value));
            parts.push(format!("{key}={value}"));
        }
    }
    if parts.is_empty() {
        return Some("without a name".into());
    }
    Some(parts.join(", ").chars().take(SHOWN_NAME).collect())
}

/// The rest of a sequence of elements.
struct Der<'a>(&'a [u8]);

struct Element<'a> {
    /// The element with its tag and its length.
    whole: &'a [u8],
    content: &'a [u8],
}

impl<'a> Der<'a> {
    /// Takes the next element, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        let (first, rest) = self.0.split_first()?;
        let (len, rest) = length(rest)?;
        let content = rest.get(..len)?;
        if *first != tag {
            return None;
        }
        let (whole, left) = self.0.split_at(self.0.len() - rest.len() + len);
        self.0 = left;
        Some(Element { whole, content })
    }
}

/// Reads a length in its shortest form. Returns the length and the bytes that
/// follow.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        return Some((usize::from(*first), rest));
    }
    let count = usize::from(first & 0x7f);
    // 0 is BER's indefinite length, which DER does not allow.
    if !(1..=3).contains(&count) {
        return None;
    }
    let (number, rest) = rest.split_at_checked(count)?;
    let len = number
        .iter()
        .fold(0, |len, byte| len << 8 | usize::from(*byte));
    let is_shortest = len >= 0x80 && number[0] != 0;
    is_shortest.then_some((len, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::{
        pki_types::{CertificateDer, pem::PemObject},
        server::ParsedCertificate,
    };

    fn certificate(path: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(path).unwrap()
    }

    #[test]
    fn the_key_of_a_certificate_of_version_3_is_the_same_as_in_webpki() {
        for name in ["ca", "server", "client"] {
            let certificate = certificate(&format!("certs/{name}.pem"));
            let parsed = ParsedCertificate::try_from(&certificate).unwrap();
            let expected = parsed.subject_public_key_info();
            assert_eq!(public_key(&certificate), Some(expected.as_ref()));
        }
    }

    #[test]
    fn the_key_of_a_certificate_of_version_1_is_found() {
        for name in ["ec", "rsa"] {
            let certificate = certificate(&format!("tests/tls/v1/{name}.pem"));
            assert!(ParsedCertificate::try_from(&certificate).is_err());
            let key = public_key(&certificate).unwrap();
            assert_eq!(key[0], SEQUENCE);
        }
    }

    #[test]
    fn names_are_shown_without_what_a_terminal_obeys() {
        let found = names(&certificate("certs/server.pem")).unwrap();
        assert!(found.issuer.starts_with("CN="), "{found:?}");
        assert_ne!(found.issuer, found.subject);

        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = &mut params.distinguished_name;
        name.push(rcgen::DnType::CommonName, "a\n\u{1b}[2J\u{202e}");
        name.push(rcgen::DnType::OrganizationName, "x".repeat(1000));
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let found = names(made.der()).unwrap();
        assert_eq!(found.issuer, found.subject);
        assert!(found.subject.starts_with("CN=a\\n\\u{1b}[2J\\u{202e}, O=x"));
        assert_eq!(found.subject.len(), SHOWN_NAME);

        params.distinguished_name = rcgen::DistinguishedName::new();
        let made = params.self_signed(&key).unwrap();
        assert_eq!(names(made.der()).unwrap().subject, "without a name");
    }

    #[test]
    fn truncated_certificates_and_trailing_bytes_are_refused() {
        let whole = certificate("certs/server.pem").to_vec();
        for len in 0..whole.len() {
            assert_eq!(public_key(&whole[..len]), None);
            assert_eq!(names(&whole[..len]), None);
        }
        assert_eq!(public_key(&[&whole[..], &[0]].concat()), None);
    }

    #[test]
    fn only_the_shortest_form_of_a_length_is_accepted() {
        for (bytes, expected) in [
            (&[0x7f][..], Some(0x7f)),
            (&[0x81, 0x80], Some(0x80)),
            (&[0x83, 1, 0, 0], Some(0x1_0000)),
            (&[0x80], None),
            (&[0x81, 0x7f], None),
            (&[0x82, 0, 0x80], None),
            (&[0x82, 1], None),
            (&[0x84, 1, 0, 0, 0], None),
            (&[0xff], None),
            (&[], None),
        ] {
            assert_eq!(length(bytes).map(|(len, _)| len), expected, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
        ) {
            // What is found does not matter here.
            let _ = (public_key(&bytes), names(&bytes), name(&bytes));
            let mut like_one = certificate("tests/tls/v1/ec.pem").to_vec();
            let at = at.index(like_one.len());
            for (byte, other) in like_one[at..].iter_mut().zip(bytes) {
                *byte = other;
            }
            // As above.
            let _ = names(&like_one);
            if let Some(key) = public_key(&like_one) {
                prop_assert!(key.len() <= like_one.len());
            }
        }
    }
}
