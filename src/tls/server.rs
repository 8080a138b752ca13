//! The TLS configuration of a server.

use super::{Certificates, TlsError, certificates::read_roots, provider::provider};
use rustls::{
    ConfigBuilder, ServerConfig, WantsVerifier,
    server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::SingleCertAndKey,
    version::TLS13,
};
use std::{fmt, path::Path, sync::Arc};

/// The TLS configuration of a server or a hub. Cheap to clone.
///
/// Pass it to [`Builder::tls`](crate::Builder::tls).
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
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
        let resolver = SingleCertAndKey::from(certificates.0);
        let config = Self::builder()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        Ok(Self::without_sessions(config))
    }

    /// Accepts only clients that show a certificate from these authorities: a PEM
    /// file with one or more certificates. Default: any client.
    ///
    /// If `self` was created from rustls's configuration, only its certificate is
    /// kept.
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

    /// Switches off session tickets: connections last long, so resumption is not
    /// worth the cost of the tickets.
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
    /// Uses rustls's own configuration without changes.
    fn from(config: Arc<ServerConfig>) -> Self {
        Self { config }
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
