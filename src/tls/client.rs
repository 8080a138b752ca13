//! The TLS configuration of a client.

use super::{
    Certificates, TlsError,
    certificates::read_roots,
    provider::provider,
    verify::{Accepts, Verifier},
};
use rustls::{
    ClientConfig,
    client::{ResolvesClientCert, Resumption},
    pki_types::ServerName,
    sign::SingleCertAndKey,
    version::TLS13,
};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

/// The TLS configuration of a client, including which servers it accepts. Cheap to
/// clone.
///
/// Pass it to [`Builder::tls`](crate::Builder::tls).
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: Name,
}

/// The name that is sent to the server and checked.
#[derive(Clone, Debug)]
enum Name {
    /// The host of the dialled address.
    Dialled,
    /// The host of the dialled address, but not checked: it may be invalid.
    Unchecked,
    /// This name.
    Given(ServerName<'static>),
}

impl TlsClient {
    /// Accepts servers whose certificate comes from these authorities (a PEM file
    /// with one or more certificates) and matches the dialled host: a DNS name, or
    /// an IP address among the certificate's subject alternative names.
    ///
    /// A self-signed certificate can be its own authority if it has `CA:FALSE`;
    /// [`pinned`](Self::pinned) accepts any certificate.
    ///
    /// # Errors
    ///
    /// When the file is missing, empty, not PEM, or contains no valid certificate.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{TlsClient, Wire};
    ///
    /// let client = Wire::join("localhost:8989")
    ///     .tls(TlsClient::with_ca("certs/ca.pem")?)
    ///     .build()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias = "root_certificates")]
    #[doc(alias = "RootCertStore")]
    pub fn with_ca(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let roots = read_roots(path.as_ref())?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Config)?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self::without_sessions(config, Name::Dialled))
    }

    /// Accepts only the server whose certificate has this SHA-256: see
    /// [`Certificates::fingerprint`], or run
    /// `openssl x509 -in server.pem -outform der | sha256sum`.
    ///
    /// Issuer, names, dates and the version of X.509 do not matter, so a
    /// self-signed certificate is enough, and this machine's clock may be wrong.
    /// The server must still prove that it owns the certificate's key.
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
    #[doc(alias = "fingerprint")]
    #[doc(alias = "self_signed")]
    pub fn pinned(sha256: [u8; 32]) -> Self {
        Self::with_verifier(Accepts::Pinned(sha256))
    }

    /// **Dangerous.** Accepts every server without any check: an attacker on the
    /// network can read and change everything. Only for tests;
    /// [`pinned`](Self::pinned) is as easy, and safe.
    #[doc(alias = "insecure")]
    #[doc(alias = "danger_accept_invalid_certs")]
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

    /// Shows this certificate to servers that request one. Default: none.
    ///
    /// # Errors
    ///
    /// When rustls refuses the certificate.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{TlsClient, load_certificates};
    ///
    /// # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
    /// # let certs = folder.path();
    /// let client = TlsClient::with_ca("certs/ca.pem")?
    ///     .certificate(load_certificates("client", certs)?)?;
    /// # Ok::<(), wirenet::TlsError>(())
    /// ```
    #[doc(alias = "client_auth")]
    #[doc(alias = "mtls")]
    pub fn certificate(mut self, certificates: Certificates) -> Result<Self, TlsError> {
        let resolver: Arc<dyn ResolvesClientCert> =
            Arc::new(SingleCertAndKey::from(certificates.0));
        Arc::make_mut(&mut self.config).client_auth_cert_resolver = resolver;
        Ok(self)
    }

    /// Sends and checks this DNS name or IP address instead of the dialled host.
    ///
    /// # Errors
    ///
    /// When the name is neither of these.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{TlsClient, TlsError};
    ///
    /// let client = TlsClient::with_ca("certs/ca.pem")?.server_name("localhost")?;
    /// assert!(matches!(client.server_name("no name"), Err(TlsError::ServerName { .. })));
    /// # Ok::<(), TlsError>(())
    /// ```
    #[doc(alias = "sni")]
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

    /// Returns the name for a server that was dialled as `host` and has the address
    /// `peer`.
    pub(crate) fn name_for(
        &self,
        host: &str,
        peer: IpAddr,
    ) -> Result<ServerName<'static>, TlsError> {
        match &self.name {
            Name::Given(name) => Ok(name.clone()),
            Name::Dialled => parse_name(host),
            // The name is only sent, not checked, so any valid name works.
            Name::Unchecked => Ok(parse_name(host).unwrap_or_else(|_| peer.into())),
        }
    }
}

impl From<Arc<ClientConfig>> for TlsClient {
    /// Uses rustls's own configuration without changes.
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

/// Parses a DNS name or an IP address. An IPv6 address may have brackets and a
/// zone, which certificates do not have.
fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bare.unwrap_or(name);
    let without_zone = bare.split_once('%').map_or(bare, |(address, _)| address);
    // Otherwise the name is a DNS name, an IPv4 address, or invalid.
    if let Ok(address) = without_zone.parse::<Ipv6Addr>() {
        return Ok(IpAddr::V6(address).into());
    }
    let name = name.to_owned();
    ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> Option<String> {
        parse_name(name).ok().map(|name| name.to_str().into_owned())
    }

    #[test]
    fn names_and_addresses_of_any_notation_are_recognized() {
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
    fn a_given_name_takes_precedence_over_the_dialled_host() {
        let peer = IpAddr::from([192, 0, 2, 1]);
        let client = TlsClient::pinned([0; 32]);
        let name = |client: &TlsClient, host| client.name_for(host, peer).unwrap();
        assert_eq!(name(&client, "host").to_str(), "host");
        assert_eq!(name(&client, "no name").to_str(), "192.0.2.1");
        let named = client.server_name("other").unwrap();
        assert_eq!(name(&named, "host").to_str(), "other");
    }

    #[test]
    fn early_data_is_off() {
        let client = TlsClient::with_ca("certs/ca.pem").unwrap();
        assert!(!client.config.enable_early_data);
    }
}
