//! Certificates, and how each side of a TLS connection is set up.
//!
//! TLS 1.3 with [rustls]: no session tickets, no resumption, no early data.
//! [`TlsServer`] and [`TlsClient`] cover what most programs need; rustls's own
//! configurations convert into them where that is not enough.
//!
//! # Examples
//!
//! ```
//! use wirenet::{TlsClient, TlsServer, load_certificates};
//!
//! // certs/server.pem and certs/server.key
//! let server = TlsServer::new(load_certificates("server", "certs")?)?;
//! let client = TlsClient::with_ca("certs/ca.pem")?.server_name("localhost")?;
//!
//! // Both sides show a certificate.
//! let server = server.client_ca("certs/ca.pem")?;
//! let client = client.certificate(load_certificates("client", "certs")?)?;
//! # Ok::<(), wirenet::TlsError>(())
//! ```

mod error;
mod provider;
mod verify;
mod x509;

pub use error::TlsError;
/// The TLS library, in the version whose types this crate takes and gives.
pub use rustls;

use provider::{provider, sha256, with_keys};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, InconsistentKeys, RootCertStore, ServerConfig,
    WantsVerifier,
    client::{ResolvesClientCert, Resumption},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject},
    server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    sync::Arc,
};
use verify::{Accepts, Verifier};

/// Reads a certificate chain from `NAME.pem` and its private key from
/// `NAME.key`, both in `dir`.
///
/// The chain begins with the certificate itself; those that lead from it to
/// the authority follow, if there are any. The key may be in any of the forms
/// that OpenSSL writes without encryption: PKCS#8, SEC1 or PKCS#1.
///
/// # Errors
///
/// When a file is missing, empty, not PEM, or holds something else; when the
/// key does not belong to the certificate. The error names the file.
///
/// A certificate of X.509's version 1, as `openssl x509 -req` makes without
/// extensions, is loaded, and is of use to clients that [pin](TlsClient::pinned)
/// it; where an authority is asked, it has to be version 3.
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
/// A cheap clone. `Debug` shows nothing of the key.
#[derive(Clone)]
pub struct Certificates(
    /// Invariant: the chain is not empty.
    Arc<CertifiedKey>,
);

impl Certificates {
    /// The SHA-256 of the certificate itself, in DER: what a client
    /// [pins](TlsClient::pinned).
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

/// How the accepting side does TLS. A cheap clone.
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
}

impl TlsServer {
    /// A server that shows this certificate and takes any client.
    ///
    /// # Errors
    ///
    /// When rustls refuses.
    pub fn new(certificates: Certificates) -> Result<Self, TlsError> {
        let resolver = SingleCertAndKey::from(certificates.0);
        let config = Self::builder()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        Ok(Self::without_sessions(config))
    }

    /// Takes only clients that show a certificate from this authority, a PEM
    /// file with one certificate or more. Default: any client.
    ///
    /// Of a server that was made from rustls's configuration, nothing but its
    /// certificate is kept.
    ///
    /// # Errors
    ///
    /// When the file is missing, empty, not PEM or no certificate.
    pub fn client_ca(self, path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let roots = Arc::new(read_roots(path.as_ref())?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| TlsError::Config(rustls::Error::General(error.to_string())))?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&self.config.cert_resolver);
        let config = Self::builder()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver);
        Ok(Self::without_sessions(config))
    }

    fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsError> {
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Config)
    }

    /// Sessions last long, so that resuming them is not worth what the tickets
    /// for it cost.
    fn without_sessions(mut config: ServerConfig) -> Self {
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Self {
            config: Arc::new(config),
        }
    }

    pub(crate) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

impl From<Arc<ServerConfig>> for TlsServer {
    /// Takes rustls's own configuration as it is.
    fn from(config: Arc<ServerConfig>) -> Self {
        Self { config }
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").finish_non_exhaustive()
    }
}

/// How the dialling side does TLS, and which server it takes. A cheap clone.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: Name,
}

/// Which name goes to the server and is checked, if names are.
#[derive(Clone, Debug)]
enum Name {
    /// That of the dialled address.
    Dialled,
    /// The same, but nobody checks it: so it need not be one.
    Unchecked,
    /// This one.
    Given(ServerName<'static>),
}

impl TlsClient {
    /// Takes servers whose certificate comes from this authority, a PEM file
    /// with one certificate or more, and is for the dialled address: its DNS
    /// name, or its IP address as a SAN of its own.
    ///
    /// A self-signed certificate can be its own authority, if it says
    /// `CA:FALSE`; [`pinned`](Self::pinned) takes any.
    ///
    /// # Errors
    ///
    /// When the file is missing, empty, not PEM or no certificate.
    pub fn with_ca(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let roots = read_roots(path.as_ref())?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Config)?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self::without_sessions(config, Name::Dialled))
    }

    /// Takes the one server whose certificate has this SHA-256, see
    /// [`Certificates::fingerprint`]; `openssl x509 -in server.pem -outform der |
    /// sha256sum` gives it too.
    ///
    /// Issuer, names and dates do not matter, so that a self-signed
    /// certificate will do, and a clock that is wrong; nor does the version of
    /// X.509, which elsewhere has to be 3. The server still has to prove that it
    /// has the certificate's key.
    pub fn pinned(sha256: [u8; 32]) -> Self {
        Self::with_verifier(Accepts::Pinned(sha256))
    }

    /// **Dangerous.** Takes every server: nothing is checked, so that anyone
    /// on the way can read and change everything. For tests alone;
    /// [`pinned`](Self::pinned) is as little work and safe.
    pub fn dangerous_without_verification() -> Self {
        Self::with_verifier(Accepts::Anything)
    }

    fn with_verifier(accepts: Accepts) -> Self {
        let verifier = Verifier {
            accepts,
            provider: provider(),
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has ciphers of TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Self::without_sessions(config, Name::Unchecked)
    }

    /// Shows this certificate to servers that ask for one. Default: none.
    ///
    /// # Errors
    ///
    /// When rustls refuses.
    pub fn certificate(mut self, certificates: Certificates) -> Result<Self, TlsError> {
        let resolver: Arc<dyn ResolvesClientCert> =
            Arc::new(SingleCertAndKey::from(certificates.0));
        Arc::make_mut(&mut self.config).client_auth_cert_resolver = resolver;
        Ok(self)
    }

    /// Asks for, and checks, this DNS name or IP address instead of that of
    /// the dialled address.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub fn server_name(mut self, name: &str) -> Result<Self, TlsError> {
        self.name = Name::Given(parse_name(name)?);
        Ok(self)
    }

    fn without_sessions(mut config: ClientConfig, name: Name) -> Self {
        config.resumption = Resumption::disabled();
        Self {
            config: Arc::new(config),
            name,
        }
    }

    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The name for a server that was dialled as `host` and has the address
    /// `peer`.
    pub(crate) fn name_for(
        &self,
        host: &str,
        peer: IpAddr,
    ) -> Result<ServerName<'static>, TlsError> {
        match &self.name {
            Name::Given(name) => Ok(name.clone()),
            Name::Dialled => parse_name(host),
            // What is not checked may be anything: it is only sent as the server's name.
            Name::Unchecked => Ok(parse_name(host).unwrap_or_else(|_| peer.into())),
        }
    }
}

impl From<Arc<ClientConfig>> for TlsClient {
    /// Takes rustls's own configuration as it is.
    fn from(config: Arc<ClientConfig>) -> Self {
        Self {
            config,
            name: Name::Dialled,
        }
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A DNS name or an IP address; an IPv6 address also in brackets or with a
/// zone, which certificates know nothing of.
fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bare.unwrap_or(name);
    let without_zone = bare.split_once('%').map_or(bare, |(address, _)| address);
    // Anything else is a name, or an IPv4 address, or refused below.
    if let Ok(address) = without_zone.parse::<Ipv6Addr>() {
        return Ok(IpAddr::V6(address).into());
    }
    let name = name.to_owned();
    ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName { name })
}

fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
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

/// All certificates of a file; at least one.
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

/// One side's setup, for [`Builder::tls`](crate::Builder::tls).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TlsConfig {
    /// For a server or a hub.
    Server(TlsServer),
    /// For a client.
    Client(TlsClient),
}

impl From<TlsServer> for TlsConfig {
    fn from(server: TlsServer) -> Self {
        Self::Server(server)
    }
}

impl From<TlsClient> for TlsConfig {
    fn from(client: TlsClient) -> Self {
        Self::Client(client)
    }
}

impl From<Arc<ServerConfig>> for TlsConfig {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self::Server(config.into())
    }
}

impl From<Arc<ClientConfig>> for TlsConfig {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self::Client(config.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> Option<String> {
        parse_name(name).ok().map(|name| name.to_str().into_owned())
    }

    #[test]
    fn names_and_addresses_are_told_apart_however_an_address_is_written() {
        for (name, expected) in [
            ("localhost", "localhost"),
            ("box-1.example", "box-1.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%eth0]", "fe80::1"),
        ] {
            assert_eq!(parsed(name).as_deref(), Some(expected), "{name}");
        }
        for name in ["", "no name", "[localhost]", "localhost%eth0", "a:1"] {
            assert_eq!(parsed(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_that_was_given_goes_before_that_of_the_address() {
        let peer = IpAddr::from([192, 0, 2, 1]);
        let client = TlsClient::pinned([0; 32]);
        let name = |client: &TlsClient, host| client.name_for(host, peer).unwrap();
        assert_eq!(name(&client, "host").to_str(), "host");
        assert_eq!(name(&client, "no name").to_str(), "192.0.2.1");
        let named = client.server_name("other").unwrap();
        assert_eq!(name(&named, "host").to_str(), "other");
    }

    #[test]
    fn settings_are_for_sessions_that_last() {
        let certificates = load_certificates("server", "certs").unwrap();
        let server = TlsServer::new(certificates).unwrap();
        for server in [server.clone(), server.client_ca("certs/ca.pem").unwrap()] {
            assert_eq!(server.config.send_tls13_tickets, 0);
            assert_eq!(server.config.max_early_data_size, 0);
        }
        let client = TlsClient::with_ca("certs/ca.pem").unwrap();
        assert!(!client.config.enable_early_data);
    }

    #[test]
    fn what_is_set_up_can_be_passed_between_threads() {
        fn check<T: Clone + fmt::Debug + Send + Sync + 'static>() {}
        check::<Certificates>();
        check::<TlsServer>();
        check::<TlsClient>();
    }
}
