//! TLS.

use super::Builder;
use crate::tls::TlsConfig;

/// # TLS
impl Builder {
    /// Makes every connection use TLS.
    ///
    /// Takes a [`TlsServer`](crate::TlsServer) for a server or a hub, a
    /// [`TlsClient`](crate::TlsClient) for a client, or one of rustls's own
    /// configurations. The TLS handshake is part of the session's handshake, under the
    /// same [`handshake_timeout`](Self::handshake_timeout). Default: no TLS, so that
    /// everyone on the network path can read and change everything, including tokens.
    ///
    /// A small machine without a correct clock, or without a certificate authority, can
    /// pin the server's certificate with [`TlsClient::pinned`](crate::TlsClient::pinned).
    ///
    /// A server's certificate can be renewed while the server runs: keep a clone of its
    /// `TlsServer`, and call [`TlsServer::reload`](crate::TlsServer::reload).
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{TlsClient, TlsServer, Wire, load_certificates};
    ///
    /// # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
    /// # let certs = folder.path();
    /// // Reads server.pem and server.key from the folder.
    /// let certificates = load_certificates("server", certs)?;
    /// let fingerprint = certificates.fingerprint();
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .tls(TlsServer::new(certificates)?)
    ///     .build()?;
    /// server.start()?;
    /// let addr = server.local_addr().expect("the server listens");
    ///
    /// // The client accepts only the server with this certificate.
    /// let client = Wire::join(addr.to_string())
    ///     .tls(TlsClient::pinned(fingerprint))
    ///     .build()?;
    /// client.start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("certificate", "encryption", "https", "rustls", "ssl"))]
    pub fn tls(mut self, config: impl Into<TlsConfig>) -> Self {
        self.options.tls = Some(config.into());
        self
    }
}
