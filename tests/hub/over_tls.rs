//! The tests' transport: TLS, with the certificates in certs/.

use std::{
    net::{IpAddr, Ipv4Addr, TcpStream},
    sync::Arc,
};
use wirenet::{
    Builder, TlsClient, TlsServer, load_certificates,
    tls::rustls::{
        ClientConfig, ClientConnection, RootCertStore, StreamOwned,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

/// What a peer by hand reads and writes.
pub type Socket = StreamOwned<ClientConnection, TcpStream>;

pub fn hub(builder: Builder) -> Builder {
    let certificates = load_certificates("server", "certs").unwrap();
    builder.tls(TlsServer::new(certificates).unwrap())
}

pub fn client(builder: Builder) -> Builder {
    builder.tls(TlsClient::with_ca("certs/ca.pem").unwrap())
}

pub fn by_hand(socket: TcpStream) -> Socket {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter("certs/ca.pem").unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = IpAddr::from(Ipv4Addr::LOCALHOST).into();
    StreamOwned::new(
        ClientConnection::new(Arc::new(config), name).unwrap(),
        socket,
    )
}
