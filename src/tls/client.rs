//! The TLS configuration of a client.

#[cfg(feature = "system-roots")]
use super::error_text::listed;
use super::{
    Certificates, Fingerprint, TlsError,
    certificates::roots,
    pem::Pem,
    provider::provider,
    shown::ShownCertificate,
    verify::{Accepts, Issued, Verifier},
};
use rustls::{
    ClientConfig, RootCertStore,
    client::{ResolvesClientCert, Resumption},
    pki_types::ServerName,
    version::TLS13,
};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

/// The TLS configuration of a client, including which servers it accepts. Cheap to
/// clone; clones share the certificate, which [`reload`](Self::reload) replaces.
///
/// Pass it to [`Builder::tls`](crate::Builder::tls).
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: Name,
    /// What [`certificate`](Self::certificate) set.
    shown: Option<Arc<ShownCertificate>>,
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
    /// [`pinned`](Self::pinned) accepts any certificate. [`with_ca_pem`](Self::with_ca_pem)
    /// takes bytes.
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
        Self::accepting(roots(&Pem::read(path.as_ref())?)?)
    }

    /// Takes the authorities from PEM in memory; otherwise like
    /// [`with_ca`](Self::with_ca).
    ///
    /// # Errors
    ///
    /// As with [`with_ca`](Self::with_ca). Instead of a file, the error names `<ca>`.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::TlsClient;
    ///
    /// # const CA: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/certs/ca.pem"));
    /// // const CA: &str = include_str!("../certs/ca.pem");
    /// let client = TlsClient::with_ca_pem(CA)?;
    /// # Ok::<(), wirenet::TlsError>(())
    /// ```
    #[doc(alias = "with_ca_bytes")]
    pub fn with_ca_pem(pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        Self::accepting(roots(&Pem::given("<ca>", pem.as_ref()))?)
    }

    /// Accepts servers whose certificate comes from an authority that the operating system
    /// trusts; otherwise like [`with_ca`](Self::with_ca).
    ///
    /// Needs the feature `system-roots`. Reads the authorities when it is called, which
    /// takes some milliseconds: keep the result, whose clones are cheap. The environment
    /// variables `SSL_CERT_FILE` and `SSL_CERT_DIR`, if set, replace the operating system's
    /// authorities, as with OpenSSL. Certificates that are not valid are skipped, and logged.
    ///
    /// # Errors
    ///
    /// If there is no valid certificate. The error says how many were found, and what
    /// could not be read.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use wirenet::{TlsClient, Wire};
    ///
    /// let client = Wire::join("hub.example:8989")
    ///     .tls(TlsClient::system_roots()?)
    ///     .build()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[cfg(feature = "system-roots")]
    #[doc(alias("native_roots", "rustls_native_certs", "webpki_roots", "SSL_CERT_FILE"))]
    pub fn system_roots() -> Result<Self, TlsError> {
        let loaded = rustls_native_certs::load_native_certs();
        let found = loaded.certs.len();
        let failures = loaded.errors.iter().map(ToString::to_string);
        let failures: Vec<String> = failures.collect();
        let mut roots = RootCertStore::empty();
        let (_, invalid) = roots.add_parsable_certificates(loaded.certs);
        if roots.is_empty() {
            return Err(TlsError::NoSystemRoots { found, failures });
        }
        if invalid > 0 || !failures.is_empty() {
            log::warn!(
                "{invalid} of {found} authorities of the operating system are not valid{}",
                listed(&failures)
            );
        }
        Self::accepting(roots)
    }

    /// Accepts servers with certificates from `roots`.
    fn accepting(roots: RootCertStore) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Config)?;
        let provider = provider();
        let verifier = Issued { roots, provider };
        let config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self::without_sessions(config, Name::Dialled))
    }

    /// Accepts only the server whose certificate has this SHA-256, which
    /// [`Certificates::fingerprint`] returns.
    ///
    /// To read a [`Fingerprint`] from text, such as the output of
    /// `openssl x509 -in server.pem -noout -fingerprint -sha256`, use [`str::parse`].
    ///
    /// Issuer, names, dates and the version of X.509 do not matter, so a
    /// self-signed certificate is enough, and this machine's clock may be wrong.
    /// The server must still prove that it owns the certificate's key.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{Fingerprint, TlsClient};
    ///
    /// let text = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    /// let client = TlsClient::pinned(text.parse::<Fingerprint>()?);
    /// # Ok::<(), wirenet::TlsError>(())
    /// ```
    #[doc(alias("fingerprint", "hex", "self_signed", "sha256sum"))]
    pub fn pinned(sha256: impl Into<Fingerprint>) -> Self {
        Self::with_verifier(Accepts::Pinned(sha256.into()))
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
    /// If `self` was created from rustls's configuration, this switches resumption off: a
    /// server that resumes would not see a certificate that [`reload`](Self::reload) sets.
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
        let shown = ShownCertificate::new(certificates);
        let resolver: Arc<dyn ResolvesClientCert> = Arc::<ShownCertificate>::clone(&shown);
        let config = Arc::make_mut(&mut self.config);
        config.client_auth_cert_resolver = resolver;
        // A resumed connection keeps the certificate of the earlier one.
        config.resumption = Resumption::disabled();
        self.shown = Some(shown);
        Ok(self)
    }

    /// Replaces the [certificate](Self::certificate), even that of running clients: keep a
    /// clone of the `TlsClient` that the client was built with.
    ///
    /// The new certificate is shown from the next TLS handshake on; an existing session
    /// continues. May be called from any thread, and does not block.
    ///
    /// # Errors
    ///
    /// If no certificate was set with [`certificate`](Self::certificate).
    #[doc(alias("renew", "rotate"))]
    pub fn reload(&self, certificates: Certificates) -> Result<(), TlsError> {
        let Some(shown) = &self.shown else {
            return Err(TlsError::Config(rustls::Error::General(
                "this TlsClient shows no certificate that could be replaced; set one with \
                 `certificate`"
                    .into(),
            )));
        };
        shown.replace(certificates);
        Ok(())
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
            shown: None,
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
            shown: None,
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
