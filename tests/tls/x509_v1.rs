//! X.509 certificates of version 1, which rustls does not accept by itself, and which
//! go-wirenet's repository contains. Those in this folder were made by
//!
//! ```text
//! openssl req -new -key KEY -subj "/CN=wirenet test v1" |
//!     openssl x509 -req -signkey KEY -days 36500
//! ```

use super::{
    fixtures::{certified, server_config},
    in_time,
    pair::{certs, ends, meet},
};
use std::{fs, path::Path, sync::Arc};
use wirenet::{
    Certificates, TlsClient, TlsError, TlsServer, load_certificates,
    tls::rustls::{
        self, CertificateError, crypto::ring, server::ResolvesServerCert, sign::SingleCertAndKey,
    },
};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/v1");

const KINDS: [&str; 2] = ["ec", "rsa"];

fn old(kind: &str) -> Certificates {
    load_certificates(kind, DIR).unwrap()
}

#[test]
fn a_pinned_certificate_may_be_of_version_1() {
    in_time(|| {
        for kind in KINDS {
            let client = TlsClient::pinned(old(kind).fingerprint());
            let server = TlsServer::new(old(kind)).unwrap();
            let (mut near, mut far) = ends((client, server));
            near.send(b"hello");
            far.expect(b"hello");
        }
    });
}

#[test]
fn a_server_must_have_the_key_of_a_pinned_certificate_of_version_1() {
    in_time(|| {
        let dir = tempfile::tempdir().unwrap();
        let copy = |from: &str, to: &str| {
            fs::copy(Path::new(DIR).join(from), dir.path().join(to)).unwrap();
        };
        copy("ec.pem", "mixed.pem");
        copy("rsa.key", "mixed.key");
        let error = load_certificates("mixed", dir.path()).unwrap_err();
        assert!(matches!(error, TlsError::Key { .. }), "{error}");
        // A configuration of rustls presents the certificate anyway.
        let mut config = server_config(ring::default_provider());
        let shown = certified(&Path::new(DIR).join("ec.pem"), &certs().join("server.key"));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(shown));
        config.cert_resolver = resolver;
        let client = TlsClient::pinned(old("ec").fingerprint());
        let (near, _) = meet((client, Arc::new(config).into()));
        let error = near.unwrap_err();
        let bad = rustls::Error::InvalidCertificate(CertificateError::BadSignature);
        assert!(
            matches!(&error, TlsError::Handshake(cause) if *cause == bad),
            "{error}"
        );
    });
}

#[test]
fn with_an_authority_the_error_says_to_pin_the_certificate() {
    in_time(|| {
        for kind in KINDS {
            let client = TlsClient::with_ca(format!("{DIR}/{kind}.pem")).unwrap();
            let server = TlsServer::new(old(kind)).unwrap();
            let (near, _) = meet((client, server));
            let error = near.unwrap_err().to_string();
            assert!(
                error.contains("version 1") && error.contains("pin it"),
                "{error}"
            );
        }
    });
}

#[test]
fn an_invalid_certificate_is_an_error_that_names_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let nonsense = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    fs::write(dir.path().join("bad.pem"), nonsense).unwrap();
    fs::copy(Path::new(DIR).join("ec.key"), dir.path().join("bad.key")).unwrap();
    let error = load_certificates("bad", dir.path()).unwrap_err();
    assert!(matches!(error, TlsError::Certificate { .. }), "{error}");
    assert!(error.to_string().contains("bad.pem"), "{error}");
}
