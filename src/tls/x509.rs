//! Finds the public key of a certificate of any version: webpki, which rustls
//! uses, accepts only version 3. For certificates that are pinned or loaded from a
//! file, where only the key matters. Pure.

/// Tags of DER.
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed: the version, which certificates of version 1 lack.
const VERSION: u8 = 0xa0;

/// Returns the subject's public key (`SubjectPublicKeyInfo`, RFC 5280, 4.1) of a
/// certificate in DER; `None` if the bytes are not a certificate.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let mut outer = Der(certificate);
    let mut certificate = Der(outer.take(SEQUENCE)?.content);
    if !outer.0.is_empty() {
        return None;
    }
    let mut signed = Der(certificate.take(SEQUENCE)?.content);
    if signed.0.first() == Some(&VERSION) {
        signed.take(VERSION)?;
    }
    // The serial number; then signature algorithm, issuer, validity, subject.
    signed.take(INTEGER)?;
    for _ in 0..4 {
        signed.take(SEQUENCE)?;
    }
    Some(signed.take(SEQUENCE)?.whole)
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
    fn truncated_certificates_and_trailing_bytes_are_refused() {
        let whole = certificate("certs/server.pem").to_vec();
        for len in 0..whole.len() {
            assert_eq!(public_key(&whole[..len]), None);
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
            let _ = public_key(&bytes);
            let mut like_one = certificate("tests/tls/v1/ec.pem").to_vec();
            let at = at.index(like_one.len());
            for (byte, other) in like_one[at..].iter_mut().zip(bytes) {
                *byte = other;
            }
            if let Some(key) = public_key(&like_one) {
                prop_assert!(key.len() <= like_one.len());
            }
        }
    }
}
