//! Unusual certificates, and configurations of rustls.

use super::pair::{ca, certs};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use wirenet::{
    Certificates, load_certificates,
    tls::rustls::{
        ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite, Tls13CipherSuite,
        crypto::{CipherSuiteCommon, CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{ServerSessionMemoryCache, WebPkiClientVerifier},
        sign::CertifiedKey,
        version::TLS13,
    },
};

/// An authority that is not trusted, and a directory for its certificates.
pub struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = named("another authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { dir, issuer }
    }

    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for these names, changed by `edit`.
    pub fn certify(
        &self,
        names: &[&str],
        edit: impl FnOnce(&mut CertificateParams),
    ) -> Certificates {
        let key = KeyPair::generate().unwrap();
        let mut params = named("certified", names);
        edit(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        load(&self.dir, &certificate.pem(), &key)
    }
}

fn named(subject: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params
}

/// A certificate as `openssl req -x509` makes it: an authority, without a SAN.
pub fn self_signed() -> Certificates {
    let key = KeyPair::generate().unwrap();
    let mut params = named("self-signed", &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    load(&tempfile::tempdir().unwrap(), &certificate.pem(), &key)
}

fn load(dir: &TempDir, certificate: &str, key: &KeyPair) -> Certificates {
    fs::write(dir.path().join("made.pem"), certificate).unwrap();
    fs::write(dir.path().join("made.key"), key.serialize_pem()).unwrap();
    load_certificates("made", dir.path()).unwrap()
}

/// A configuration of rustls with the certificates in `certs/`, for a server that sends
/// tickets.
pub fn server_config(provider: CryptoProvider) -> ServerConfig {
    let provider = Arc::new(provider);
    let chain = vec![CertificateDer::from_pem_file(certs().join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certs().join("server.key")).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.session_storage = ServerSessionMemoryCache::new(32);
    config
}

/// The same for a server that accepts only clients with certificates.
pub fn mutual_config(provider: CryptoProvider) -> ServerConfig {
    let config = server_config(provider.clone());
    let provider = Arc::new(provider);
    let roots = Arc::new(roots());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let mut mutual = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_cert_resolver(config.cert_resolver);
    mutual.session_storage = config.session_storage;
    mutual
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca()).unwrap())
        .unwrap();
    roots
}

/// The same for a client that accepts tickets.
pub fn client_config(provider: CryptoProvider) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth()
}

/// The server's certificate with another key.
pub fn key_of_another() -> CertifiedKey {
    certified(&certs().join("server.pem"), &certs().join("client.key"))
}

/// A certificate with any key.
pub fn certified(certificate: &Path, key: &Path) -> CertifiedKey {
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    CertifiedKey::new(vec![certificate], key)
}

/// A provider whose cipher needs new keys after 16 records.
pub fn short_lived() -> CryptoProvider {
    let usual = ring::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .unwrap();
    let suite = Box::leak(Box::new(Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: usual.common.suite,
            hash_provider: usual.common.hash_provider,
            confidentiality_limit: 16,
        },
        hkdf_provider: usual.hkdf_provider,
        aead_alg: usual.aead_alg,
        quic: None,
    }));
    CryptoProvider {
        cipher_suites: vec![SupportedCipherSuite::Tls13(suite)],
        ..ring::default_provider()
    }
}
