//! Certificates and private keys, read from PEM files.

use super::{
    TlsError,
    provider::{sha256, with_keys},
    x509,
};
use rustls::{
    CertificateError, InconsistentKeys, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use std::{fmt, path::Path, sync::Arc};

/// Reads a certificate chain from `NAME.pem` and its private key from
/// `NAME.key`, both in `dir`.
///
/// The chain begins with the certificate itself, followed by the intermediate
/// certificates, if there are any. The key must not be encrypted. It may have any
/// of the formats of OpenSSL: PKCS#8, SEC1 or PKCS#1.
///
/// X.509 version 1 certificates, which `openssl x509 -req` creates without extensions,
/// can also be loaded. Only clients that [pin](crate::TlsClient::pinned) such a
/// certificate accept it: verification by an authority requires version 3.
///
/// # Errors
///
/// When a file is missing, empty, not PEM, or contains something else, or when the
/// key does not belong to the certificate. The error names the file.
///
/// # Examples
///
/// ```
/// use wirenet::{TlsError, TlsServer, load_certificates};
///
/// # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
/// # let certs = folder.path();
/// // Reads server.pem and server.key from the folder.
/// let certificates = load_certificates("server", certs)?;
/// let server = TlsServer::new(certificates)?;
///
/// let error = load_certificates("nobody", certs).unwrap_err();
/// assert!(matches!(error, TlsError::File { .. }));
/// # Ok::<(), TlsError>(())
/// ```
#[doc(alias = "pem")]
#[doc(alias = "private_key")]
#[doc(alias = "with_single_cert")]
pub fn load_certificates(name: &str, dir: impl AsRef<Path>) -> Result<Certificates, TlsError> {
    let dir = dir.as_ref();
    let chain_path = dir.join(format!("{name}.pem"));
    let key_path = dir.join(format!("{name}.key"));
    let chain = read_chain(&chain_path)?;
    let key = read_key(&key_path)?;
    let key = with_keys().key_provider.load_private_key(key);
    let wrong_key = |cause| {
        let path = key_path;
        TlsError::Key { path, cause }
    };
    let key = match key {
        Ok(key) => key,
        Err(cause) => return Err(wrong_key(cause)),
    };
    let Some(certified) = x509::public_key(&chain[0]) else {
        let (path, cause) = (chain_path, CertificateError::BadEncoding.into());
        return Err(TlsError::Certificate { path, cause });
    };
    if key
        .public_key()
        .is_some_and(|own| own.as_ref() != certified)
    {
        return Err(wrong_key(InconsistentKeys::KeyMismatch.into()));
    }
    Ok(Certificates(Arc::new(CertifiedKey::new(chain, key))))
}

/// A certificate chain and its private key, from [`load_certificates`].
///
/// Cheap to clone. `Debug` does not show the key.
#[derive(Clone)]
pub struct Certificates(
    /// Invariant: the chain is not empty.
    pub(super) Arc<CertifiedKey>,
);

impl Certificates {
    /// Returns the SHA-256 of the certificate itself, in DER, which a client can
    /// [pin](crate::TlsClient::pinned).
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{TlsClient, load_certificates};
    ///
    /// # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
    /// # let certs = folder.path();
    /// let fingerprint = load_certificates("server", certs)?.fingerprint();
    /// let client = TlsClient::pinned(fingerprint);
    /// # Ok::<(), wirenet::TlsError>(())
    /// ```
    #[doc(alias = "sha256")]
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.0.cert[0])
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("chain", &self.0.cert.len())
            .finish_non_exhaustive()
    }
}

/// Reads the certificates of authorities.
pub(super) fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(path)? {
        roots
            .add(certificate)
            .map_err(|cause| TlsError::Certificate {
                path: path.into(),
                cause,
            })?;
    }
    Ok(roots)
}

/// Reads all certificates of a file, at least one.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(path, error))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.into() });
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.into() },
        error => unreadable(path, error),
    })
}

fn unreadable(path: &Path, error: pem::Error) -> TlsError {
    let path = path.into();
    match error {
        pem::Error::Io(error) => TlsError::File {
            path,
            cause: Arc::new(error),
        },
        error => TlsError::Pem {
            path,
            cause: Arc::new(error),
        },
    }
}
