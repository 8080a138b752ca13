//! What happens on broken networks: nothing hangs, nothing is left over, and
//! fewer bytes are never taken for all.

mod support;

#[path = "faults/names.rs"]
mod names;
#[path = "faults/signals.rs"]
mod signals;
#[path = "faults/silence.rs"]
mod silence;
#[path = "faults/transfer.rs"]
mod transfer;

use wirenet::Builder;

#[cfg(feature = "tls")]
fn secure_server(server: Builder, tls: bool) -> Builder {
    if !tls {
        return server;
    }
    let certificates = wirenet::load_certificates("server", "certs").unwrap();
    server.tls(wirenet::TlsServer::new(certificates).unwrap())
}

#[cfg(feature = "tls")]
fn secure_client(client: Builder, tls: bool) -> Builder {
    match tls {
        true => client.tls(wirenet::TlsClient::with_ca("certs/ca.pem").unwrap()),
        false => client,
    }
}

#[cfg(not(feature = "tls"))]
fn secure_server(server: Builder, _tls: bool) -> Builder {
    server
}

#[cfg(not(feature = "tls"))]
fn secure_client(client: Builder, _tls: bool) -> Builder {
    client
}
