//! The public key of a certificate, of whichever version: webpki, which rustls
//! asks, takes version 3 alone. For where a certificate is known by its bytes, so
//! that nothing of what it says matters but its key. Pure.

/// Tags of DER.
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed: the version, which one of version 1 does not have.
const VERSION: u8 = 0xa0;

/// The subject's public key (`SubjectPublicKeyInfo`, RFC 5280, 4.1) of a
/// certificate in DER; `None` if it is none.
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
    // The serial number; the signature's algorithm, issuer, validity, subject.
    signed.take(INTEGER)?;
    for _ in 0..4 {
        signed.take(SEQUENCE)?;
    }
    Some(signed.take(SEQUENCE)?.whole)
}

/// What is left of a sequence of elements.
struct Der<'a>(&'a [u8]);

struct Element<'a> {
    /// With its tag and its length.
    whole: &'a [u8],
    content: &'a [u8],
}

impl<'a> Der<'a> {
    /// The next element, which has to have this tag.
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

/// A length, in the fewest bytes that it takes, and what follows.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        return Some((usize::from(*first), rest));
    }
    let count = usize::from(first & 0x7f);
    // 0 is a length that comes later, which DER does not have.
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
    fn the_key_of_a_certificate_of_version_3_is_the_one_that_webpki_finds() {
        for name in ["ca", "server", "client"] {
            let certificate = certificate(&format!("certs/{name}.pem"));
            let parsed = ParsedCertificate::try_from(&certificate).unwrap();
            let expected = parsed.subject_public_key_info();
            assert_eq!(public_key(&certificate), Some(expected.as_ref()));
        }
    }

    #[test]
    fn a_certificate_of_version_1_has_a_key_too() {
        for name in ["ec", "rsa"] {
            let certificate = certificate(&format!("tests/tls/v1/{name}.pem"));
            assert!(ParsedCertificate::try_from(&certificate).is_err());
            let key = public_key(&certificate).unwrap();
            assert_eq!(key[0], SEQUENCE);
        }
    }

    #[test]
    fn what_is_cut_or_has_something_behind_it_is_no_certificate() {
        let whole = certificate("certs/server.pem").to_vec();
        for len in 0..whole.len() {
            assert_eq!(public_key(&whole[..len]), None);
        }
        assert_eq!(public_key(&[&whole[..], &[0]].concat()), None);
    }

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
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
