//! Certificates, and the TLS configuration of each side.
//!
//! TLS 1.3 with [rustls], without session tickets, resumption and early data.
//! [`TlsServer`] and [`TlsClient`] have the options that most programs need. For
//! everything else, rustls's own configurations can be converted into them. Keys of
//! connections are never written to a file: the variable `SSLKEYLOGFILE` has no effect,
//! unless rustls's own configuration sets a `key_log`.
//!
//! # Examples
//!
//! ```
//! use wirenet::{TlsClient, TlsServer, load_certificates};
//!
//! # let folder = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/example_certificates.rs"));
//! # let certs = folder.path();
//! // Reads server.pem and server.key from the folder.
//! let server = TlsServer::new(load_certificates("server", certs)?)?;
//! let client = TlsClient::with_ca("certs/ca.pem")?.server_name("localhost")?;
//!
//! // Mutual TLS: both sides show a certificate.
//! let server = server.client_ca("certs/ca.pem")?;
//! let client = client.certificate(load_certificates("client", certs)?)?;
//! # Ok::<(), wirenet::TlsError>(())
//! ```

mod certificates;
mod client;
mod date;
mod error;
mod error_text;
mod explain;
mod fingerprint;
mod foreign;
mod pem;
mod provider;
mod refusal;
mod server;
mod shown;
mod verify;
mod x509;

pub use certificates::{Certificates, load_certificates};
pub use client::TlsClient;
pub use error::TlsError;
pub use fingerprint::Fingerprint;
/// The TLS library, in the version whose types are part of this crate's API.
pub use rustls;
pub use server::TlsServer;

use rustls::{ClientConfig, ServerConfig};
use std::{io, sync::Arc};

/// The TLS configuration of either side, for [`Builder::tls`](crate::Builder::tls).
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

/// Explains the error of rustls that an I/O error of a connection holds, if it does.
pub(crate) fn explained(error: &io::Error) -> Option<String> {
    let cause = error.get_ref()?.downcast_ref()?;
    Some(explain::Explained(cause).to_string())
}

/// Creates a certificate for this machine, with its key, because the package
/// contains no keys.
#[cfg(test)]
pub(crate) fn new_certificates() -> Certificates {
    let folder = include!("example_certificates.rs");
    load_certificates("server", folder.path()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[test]
    fn configurations_can_be_passed_between_threads() {
        fn check<T: Clone + fmt::Debug + Send + Sync + 'static>() {}
        check::<Certificates>();
        check::<TlsServer>();
        check::<TlsClient>();
    }
}
