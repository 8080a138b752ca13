//! Certificates and private keys, read from PEM files.

use super::{
    Fingerprint, TlsError,
    pem::Pem,
    provider::{sha256, with_keys},
    x509,
};
use rustls::{
    CertificateError, InconsistentKeys, RootCertStore,
    pki_types::CertificateDer,
    sign::{CertifiedKey, SigningKey},
};
use std::{fmt, path::Path, sync::Arc};

/// Reads a certificate chain from `NAME.pem` and its private key from
/// `NAME.key`, both in `dir`. [`Certificates::from_files`] takes any two paths.
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
    let chain = dir.join(format!("{name}.pem"));
    let key = dir.join(format!("{name}.key"));
    Certificates::from_files(chain, key)
}

/// A certificate chain and its private key.
///
/// Cheap to clone. `Debug` does not show the key.
#[derive(Clone)]
pub struct Certificates(
    /// Invariant: the chain is not empty.
    pub(super) Arc<CertifiedKey>,
);

impl Certificates {
    /// Reads a certificate chain and its private key from two PEM files.
    ///
    /// The chain begins with the certificate itself, followed by the intermediate
    /// certificates, if there are any. With certbot, the two files are `fullchain.pem` and
    /// `privkey.pem`. Both paths may name the same file, if it holds both. The formats are those
    /// of [`load_certificates`].
    ///
    /// # Errors
    ///
    /// As with [`load_certificates`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use wirenet::{Certificates, TlsServer};
    ///
    /// let live = "/etc/letsencrypt/live/hub.example";
    /// let certificates = Certificates::from_files(
    ///     format!("{live}/fullchain.pem"),
    ///     format!("{live}/privkey.pem"),
    /// )?;
    /// let server = TlsServer::new(certificates)?;
    /// # Ok::<(), wirenet::TlsError>(())
    /// ```
    #[doc(alias("certbot", "fullchain", "letsencrypt", "pem", "privkey"))]
    pub fn from_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        let chain = Pem::read(chain.as_ref())?;
        let certificates = chain.certificates()?;
        let key = Pem::read(key.as_ref())?;
        Self::with_key(certificates, &chain, &key)
    }

    /// Takes a certificate chain and its private key from PEM in memory; otherwise like
    /// [`from_files`](Self::from_files). If one PEM holds both, pass it twice.
    ///
    /// # Errors
    ///
    /// As with [`load_certificates`]. Instead of a file, the error names `<chain>` or
    /// `<key>`.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::Certificates;
    ///
    /// # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
    /// # let certs = folder.path();
    /// let chain = std::fs::read(certs.join("server.pem"))?;
    /// let key = std::fs::read(certs.join("server.key"))?;
    /// let certificates = Certificates::from_pem(&chain, &key)?;
    ///
    /// let both = [chain, key].concat();
    /// let same = Certificates::from_pem(&both, &both)?;
    /// assert_eq!(same.fingerprint(), certificates.fingerprint());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "from_bytes")]
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let chain = Pem::given("<chain>", chain.as_ref());
        let key = Pem::given("<key>", key.as_ref());
        Self::with_key(chain.certificates()?, &chain, &key)
    }

    fn with_key(
        chain: Vec<CertificateDer<'static>>,
        chain_pem: &Pem<'_>,
        key_pem: &Pem<'_>,
    ) -> Result<Self, TlsError> {
        let key = with_keys().key_provider.load_private_key(key_pem.key()?);
        let key = key.map_err(|cause| TlsError::Key {
            path: key_pem.path.into(),
            cause,
        })?;
        check_pair(&chain, &*key, chain_pem.path, key_pem.path)?;
        Ok(Self(Arc::new(CertifiedKey::new(chain, key))))
    }

    /// Returns the SHA-256 of the certificate itself, in DER, which a client can
    /// [pin](crate::TlsClient::pinned). It can be printed.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{TlsClient, load_certificates};
    ///
    /// # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
    /// # let certs = folder.path();
    /// let fingerprint = load_certificates("server", certs)?.fingerprint();
    /// println!("{fingerprint}");
    /// let client = TlsClient::pinned(fingerprint);
    /// # Ok::<(), wirenet::TlsError>(())
    /// ```
    #[doc(alias = "sha256")]
    pub fn fingerprint(&self) -> Fingerprint {
        sha256(&self.0.cert[0]).into()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("chain", &self.0.cert.len())
            .finish_non_exhaustive()
    }
}

/// Checks that the key belongs to the first certificate of the chain.
fn check_pair(
    chain: &[CertificateDer<'_>],
    key: &dyn SigningKey,
    chain_path: &Path,
    key_path: &Path,
) -> Result<(), TlsError> {
    let invalid = |cause| TlsError::Certificate {
        path: chain_path.into(),
        cause,
    };
    let Some(certified) = x509::public_key(&chain[0]) else {
        return Err(invalid(CertificateError::BadEncoding.into()));
    };
    let Some(own) = key.public_key() else {
        return Ok(());
    };
    if own.as_ref() == certified {
        return Ok(());
    }
    let place = |certificate: &CertificateDer<'_>| x509::public_key(certificate) == Some(&own);
    Err(match chain.iter().position(place) {
        Some(index) => invalid(rustls::Error::General(format!(
            "the certificate of the private key must be the first one, but is number {}",
            index + 1
        ))),
        None => TlsError::Key {
            path: key_path.into(),
            cause: InconsistentKeys::KeyMismatch.into(),
        },
    })
}

/// Takes the certificates of authorities.
pub(super) fn roots(pem: &Pem<'_>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem.certificates()? {
        roots
            .add(certificate)
            .map_err(|cause| TlsError::Certificate {
                path: pem.path.into(),
                cause,
            })?;
    }
    Ok(roots)
}
