//! The command line options for TLS.

use super::{output::say, stop::Stop};
use std::{
    io,
    path::{Path, PathBuf},
};
use wirenet::{Builder, Certificates, Fingerprint, TlsClient, TlsServer, load_certificates};

// These are not doc comments because clap would show them as the program's help.

// A server's certificate, if it uses TLS.
#[derive(clap::Args)]
pub struct ServerTls {
    /// Use TLS with `server.pem` and `server.key` from this folder, and print
    /// the fingerprint for the clients' --pin; SIGHUP reads both files again
    #[arg(long, value_name = "DIR")]
    pub certs: Option<PathBuf>,
}

// The server that a client trusts, if it uses TLS.
#[derive(clap::Args)]
pub struct ClientTls {
    /// Use TLS, and trust servers whose certificate this authority issued
    #[arg(long, value_name = "FILE", conflicts_with = "pin")]
    pub ca: Option<PathBuf>,
    /// Use TLS, and trust only the certificate with this SHA-256 fingerprint
    #[arg(long, value_name = "HEX")]
    pub pin: Option<Fingerprint>,
}

impl ServerTls {
    /// Sets the certificate, which SIGHUP replaces with what the folder contains then.
    pub fn apply(&self, wire: Builder, stop: &Stop) -> io::Result<Builder> {
        let Some(dir) = &self.certs else {
            return Ok(wire);
        };
        let certificates = load_certificates("server", dir)?;
        say_fingerprint(&certificates);
        let config = TlsServer::new(certificates)?;
        let (shown, dir) = (config.clone(), dir.clone());
        stop.on_hang_up(move || {
            if let Err(error) = renew(&shown, &dir) {
                log::error!("the certificate stays as it was: {error}");
            }
        });
        Ok(wire.tls(config))
    }
}

fn renew(shown: &TlsServer, dir: &Path) -> io::Result<()> {
    let certificates = load_certificates("server", dir)?;
    shown.reload(certificates.clone())?;
    say_fingerprint(&certificates);
    Ok(())
}

fn say_fingerprint(certificates: &Certificates) {
    say!("fingerprint {}", certificates.fingerprint());
}

impl ClientTls {
    pub fn apply(&self, wire: Builder) -> io::Result<Builder> {
        Ok(match (self.pin, &self.ca) {
            (Some(fingerprint), _) => wire.tls(TlsClient::pinned(fingerprint)),
            (None, Some(ca)) => wire.tls(TlsClient::with_ca(ca).map_err(io::Error::other)?),
            (None, None) => wire,
        })
    }
}
