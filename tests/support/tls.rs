//! TLS, with the certificates in `certs/`, for the tests that run over it.
//!
//! There are two kinds. Most tests use the transport that the environment
//! selects: TCP, or TLS if `WIRENET_TESTS_OVER_TLS` is set. They ask
//! [`is_selected`]. Where a test tries several transports itself, the
//! transport is one of its parameters.

use wirenet::Builder;

/// Whether the environment selects TLS.
pub fn is_selected() -> bool {
    cfg!(feature = "tls") && std::env::var_os("WIRENET_TESTS_OVER_TLS").is_some()
}

/// Sets up TLS for a server if `tls` is set.
pub fn server(server: Builder, tls: bool) -> Builder {
    match tls {
        true => with_tls::server(server),
        false => server,
    }
}

/// Sets up TLS for a client if `tls` is set. The client takes the certificate
/// whatever the address of the server is.
pub fn client(client: Builder, tls: bool) -> Builder {
    match tls {
        true => with_tls::client(client),
        false => client,
    }
}

#[cfg(feature = "tls")]
#[allow(unused_imports, reason = "each test file uses a part of it")]
pub use with_tls::{Socket, client_hello, connect};

#[cfg(feature = "tls")]
mod with_tls {
    use std::{net::TcpStream, sync::Arc};
    use wirenet::{
        Builder, TlsClient, TlsServer, load_certificates,
        tls::rustls::{
            ClientConfig, ClientConnection, RootCertStore, StreamOwned,
            crypto::ring,
            pki_types::{CertificateDer, pem::PemObject},
        },
    };

    pub fn server(server: Builder) -> Builder {
        let certificates = load_certificates("server", "certs").unwrap();
        server.tls(TlsServer::new(certificates).unwrap())
    }

    pub fn client(client: Builder) -> Builder {
        let config = TlsClient::with_ca("certs/ca.pem").unwrap();
        client.tls(config.server_name("localhost").unwrap())
    }

    /// What a scripted peer reads and writes.
    pub type Socket = StreamOwned<ClientConnection, TcpStream>;

    /// Completes the handshake of a client.
    pub fn connect(mut socket: TcpStream) -> Socket {
        let mut tls = connection();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        StreamOwned::new(tls, socket)
    }

    /// The first message of a client's handshake.
    pub fn client_hello() -> Vec<u8> {
        let mut hello = Vec::new();
        connection().write_tls(&mut hello).unwrap();
        hello
    }

    fn connection() -> ClientConnection {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file("certs/ca.pem").unwrap();
        roots.add(ca).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "127.0.0.1".try_into().unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    }
}

#[cfg(not(feature = "tls"))]
mod with_tls {
    use wirenet::Builder;

    pub fn server(_: Builder) -> Builder {
        unreachable!("built without TLS")
    }

    pub fn client(_: Builder) -> Builder {
        unreachable!("built without TLS")
    }
}
