//! Plain rustls, as a peer of the comparison: one connection per stream, and one
//! thread per connection that uses `rustls::StreamOwned`. Also the TLS
//! configuration of the library's own TLS peer.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::DerefMut;
use std::path::Path;
use std::sync::Arc;

use wirenet::tls::rustls::client::Resumption;
use wirenet::tls::rustls::crypto::CryptoProvider;
use wirenet::tls::rustls::crypto::ring::{
    cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider,
};
use wirenet::tls::rustls::pki_types::pem::PemObject;
use wirenet::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use wirenet::tls::rustls::server::NoServerSessionStorage;
use wirenet::tls::rustls::version::TLS13;
use wirenet::tls::rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig,
    ServerConnection, SideData, StreamOwned,
};
use wirenet::{TlsClient, TlsServer, load_certificates};

use crate::blocking::{self, Duplex, Listening, Session};
use crate::workload::{Job, Service};

fn certs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/certs"))
}

// -- the library's configuration --

pub fn library_server() -> io::Result<TlsServer> {
    let certificates = load_certificates("server", certs()).map_err(io::Error::other)?;
    TlsServer::new(certificates).map_err(io::Error::other)
}

pub fn library_client() -> io::Result<TlsClient> {
    TlsClient::with_ca(certs().join("ca.pem")).map_err(io::Error::other)
}

// -- the same configuration for plain rustls --

/// Uses the cipher suite that the library negotiates on processors with AES
/// instructions.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        ..default_provider()
    })
}

fn server_config() -> io::Result<Arc<ServerConfig>> {
    let chain = chain("server.pem")?;
    let key = PrivateKeyDer::from_pem_file(certs().join("server.key")).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

fn client_config() -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for authority in chain("ca.pem")? {
        roots.add(authority).map_err(io::Error::other)?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn chain(name: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(certs().join(name)).map_err(io::Error::other)?;
    found.collect::<Result<_, _>>().map_err(io::Error::other)
}

pub struct TlsSession {
    job: Job,
    config: Arc<ClientConfig>,
    /// Stands in for the session while no stream is open.
    _idle: ClientStream,
}

type ClientStream = StreamOwned<ClientConnection, TcpStream>;

impl Session for TlsSession {
    type Stream = ClientStream;

    fn dial(job: &Job) -> io::Result<Self> {
        let config = client_config()?;
        Ok(Self {
            job: job.clone(),
            _idle: connect(job, &config)?,
            config,
        })
    }

    fn open(&self, service: Service) -> io::Result<ClientStream> {
        let mut stream = connect(&self.job, &self.config)?;
        blocking::request_service(&mut stream, &self.job, service)?;
        Ok(stream)
    }
}

/// Returns a connection after its handshake.
fn connect(job: &Job, config: &Arc<ClientConfig>) -> io::Result<ClientStream> {
    let mut socket = TcpStream::connect(job.addr)?;
    socket.set_nodelay(true)?;
    let name = ServerName::from(job.addr.ip());
    let mut connection =
        ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

pub fn listen(job: &Job) -> io::Result<Listening> {
    let served = job.clone();
    let config = server_config()?;
    Listening::thread_each(job, move |socket| {
        socket.set_nodelay(true)?;
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, socket);
        let service = blocking::requested_service(&mut stream, &served)?;
        blocking::serve(&mut stream, service)?;
        stream.finish()
    })
}

impl<C, D> Duplex for StreamOwned<C, TcpStream>
where
    C: DerefMut<Target = ConnectionCommon<D>>,
    D: SideData,
{
    fn finish(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.sock.shutdown(Shutdown::Write)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.write_all(message)?;
        self.flush()
    }

    fn receive(&mut self, message: &mut [u8]) -> io::Result<bool> {
        blocking::receive_bytes(self, message)
    }

    fn close(self) -> io::Result<()> {
        Ok(())
    }
}
