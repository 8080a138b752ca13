//! Sides with TLS, where it is asked for.

use wirenet::Builder;

#[cfg(feature = "tls")]
pub fn server(server: Builder, tls: bool) -> Builder {
    if !tls {
        return server;
    }
    let certificates = wirenet::load_certificates("server", "certs").unwrap();
    server.tls(wirenet::TlsServer::new(certificates).unwrap())
}

#[cfg(feature = "tls")]
pub fn client(client: Builder, tls: bool) -> Builder {
    if !tls {
        return client;
    }
    // Whatever the address: the certificate is this machine's.
    let config = wirenet::TlsClient::with_ca("certs/ca.pem").unwrap();
    client.tls(config.server_name("localhost").unwrap())
}

#[cfg(not(feature = "tls"))]
pub fn server(server: Builder, _tls: bool) -> Builder {
    server
}

#[cfg(not(feature = "tls"))]
pub fn client(client: Builder, _tls: bool) -> Builder {
    client
}
