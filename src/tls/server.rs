//! The TLS configuration of a server.

use super::{
    Certificates, TlsError, certificates::roots, pem::Pem, provider::provider,
    shown::ShownCertificate, verify::ClientVerifier,
};
use rustls::{
    ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier,
    server::{
        NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    version::TLS13,
};
use std::{fmt, path::Path, sync::Arc};

/// The TLS configuration of a server or a hub. Cheap to clone; clones share the
/// certificate, which [`reload`](Self::reload) replaces.
///
/// Pass it to [`Builder::tls`](crate::Builder::tls).
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    /// `None` if the configuration is rustls's own.
    shown: Option<Arc<ShownCertificate>>,
}

impl TlsServer {
    /// Creates a configuration that shows this certificate and accepts any client.
    ///
    /// # Errors
    ///
    /// When rustls refuses the configuration.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{TlsServer, Wire, load_certificates};
    ///
    /// # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
    /// # let certs = folder.path();
    /// let certificates = load_certificates("server", certs)?;
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .tls(TlsServer::new(certificates)?)
    ///     .build()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    pub fn new(certificates: Certificates) -> Result<Self, TlsError> {
        let shown = ShownCertificate::new(certificates);
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<ShownCertificate>::clone(&shown);
        let config = Self::builder()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        Ok(Self::without_sessions(config, Some(shown)))
    }

    /// Replaces the certificate, even that of running servers: keep a clone of the
    /// `TlsServer` that the server was built with.
    ///
    /// TLS handshakes that begin afterwards show the new certificate. Existing sessions and
    /// their streams continue. May be called from any thread, and does not block.
    ///
    /// A client that [pins](crate::TlsClient::pinned) the old certificate does not accept
    /// the new one.
    ///
    /// The authorities of clients ([`client_ca`](Self::client_ca)) stay as they are: a
    /// server takes them when it is built. To replace an authority, give `client_ca` a PEM
    /// file with the old and the new one, restart the server, and renew the certificates of
    /// all clients. Then restart the server with the new authority alone.
    ///
    /// # Errors
    ///
    /// If `self` was created from rustls's own configuration, whose `cert_resolver`
    /// chooses the certificate. If a file cannot be read, or a key does not belong to its
    /// certificate, [`Certificates::from_files`] fails before this call, and the old
    /// certificate stays in use.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{Certificates, TlsServer, Wire, load_certificates};
    ///
    /// # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
    /// # let certs = folder.path();
    /// let tls = TlsServer::new(load_certificates("server", certs)?)?;
    /// let server = Wire::mount("127.0.0.1:0").tls(tls.clone()).build()?;
    /// server.start()?;
    ///
    /// // Once the certificate has been renewed, for example on a thread that handles signals.
    /// tls.reload(Certificates::from_files(certs.join("server.pem"), certs.join("server.key"))?)?;
    /// # server.close()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("certbot", "hot_reload", "renew", "rotate", "SIGHUP"))]
    pub fn reload(&self, certificates: Certificates) -> Result<(), TlsError> {
        let Some(shown) = &self.shown else {
            return Err(TlsError::Config(rustls::Error::General(
                "the certificate of rustls's own ServerConfig is replaced in its cert_resolver"
                    .into(),
            )));
        };
        shown.replace(certificates);
        Ok(())
    }

    /// Accepts only clients that show a certificate from these authorities: a PEM
    /// file with one or more certificates. Default: any client.
    ///
    /// The certificate is not compared with the client's
    /// [identification](crate::Builder::identification): a client with any such certificate may
    /// present any identification. If clients do not trust each other, also give each its own
    /// token, and check it with a [validator](crate::Builder::token_validator).
    ///
    /// Replaces the authorities of an earlier call. [`reload`](Self::reload) does not change
    /// them.
    ///
    /// If `self` was created from rustls's configuration, only its certificate is
    /// kept. [`client_ca_pem`](Self::client_ca_pem) takes bytes.
    ///
    /// # Errors
    ///
    /// When the file is missing, empty, not PEM, or contains no valid certificate.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{TlsServer, load_certificates};
    ///
    /// # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
    /// # let certs = folder.path();
    /// let server = TlsServer::new(load_certificates("server", certs)?)?
    ///     .client_ca("certs/ca.pem")?;
    /// # Ok::<(), wirenet::TlsError>(())
    /// ```
    #[doc(alias = "mtls")]
    #[doc(alias = "client_auth")]
    pub fn client_ca(self, path: impl AsRef<Path>) -> Result<Self, TlsError> {
        self.accepting(roots(&Pem::read(path.as_ref())?)?)
    }

    /// Takes the authorities from PEM in memory; otherwise like
    /// [`client_ca`](Self::client_ca).
    ///
    /// # Errors
    ///
    /// As with [`client_ca`](Self::client_ca). Instead of a file, the error names `<ca>`.
    #[doc(alias = "client_ca_bytes")]
    pub fn client_ca_pem(self, pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        self.accepting(roots(&Pem::given("<ca>", pem.as_ref()))?)
    }

    /// Accepts only clients with certificates from `roots`.
    fn accepting(self, roots: RootCertStore) -> Result<Self, TlsError> {
        let verifier: Arc<dyn ClientCertVerifier> =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|error| TlsError::Config(rustls::Error::General(error.to_string())))?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&self.config.cert_resolver);
        let config = Self::builder()?
            .with_client_cert_verifier(Arc::new(ClientVerifier(verifier)))
            .with_cert_resolver(resolver);
        Ok(Self::without_sessions(config, self.shown))
    }

    fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsError> {
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Config)
    }

    /// Switches off session tickets: connections last long, so resumption is not
    /// worth the cost of the tickets.
    fn without_sessions(mut config: ServerConfig, shown: Option<Arc<ShownCertificate>>) -> Self {
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Self {
            config: Arc::new(config),
            shown,
        }
    }

    pub(crate) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

impl From<Arc<ServerConfig>> for TlsServer {
    /// Uses rustls's own configuration without changes.
    fn from(config: Arc<ServerConfig>) -> Self {
        let shown = None;
        Self { config, shown }
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::new_certificates;

    #[test]
    fn tickets_and_early_data_are_off() {
        let server = TlsServer::new(new_certificates()).unwrap();
        for server in [server.clone(), server.client_ca("certs/ca.pem").unwrap()] {
            assert_eq!(server.config.send_tls13_tickets, 0);
            assert_eq!(server.config.max_early_data_size, 0);
        }
    }
}
