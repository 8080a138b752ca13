//! Certificates that are replaced while a server runs.

use super::{
    fixtures::{Authority, client_config, mutual_config, self_signed, server_config},
    in_time,
    pair::{ca, certs, client, ends, meet, patience, server},
    support::{
        PATIENCE,
        wires::{addr_of, assert_echoes, echo, started},
    },
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use wirenet::{
    Certificates, TlsClient, TlsError, TlsServer, Wire, load_certificates,
    tls::rustls::{Error, crypto::ring},
    transport::TlsStream,
};

/// A running server, and the handle that replaces its certificate.
fn running(certificates: &Certificates) -> (Wire, TlsServer) {
    let tls = TlsServer::new(certificates.clone()).unwrap();
    let server = Wire::mount("127.0.0.1:0").tls(tls.clone());
    (started(server.stream("echo", echo)), tls)
}

/// Returns whether a new connection to the server gets this certificate.
fn shows(addr: SocketAddr, certificates: &Certificates) -> bool {
    let socket = TcpStream::connect(addr).unwrap();
    let client = TlsClient::pinned(certificates.fingerprint());
    TlsStream::client(socket, &client, "::1", patience()).is_ok()
}

#[test]
fn a_running_server_shows_its_new_certificate_and_its_sessions_go_on() {
    in_time(|| {
        let (old, new) = (self_signed(), self_signed());
        let (server, tls) = running(&old);
        let addr = addr_of(&server);
        let join = |certificates: &Certificates| {
            let tls = TlsClient::pinned(certificates.fingerprint());
            started(Wire::join(addr.to_string()).tls(tls))
        };
        let before = join(&old);
        let session = before.wait_session(PATIENCE).unwrap();
        let mut stream = session.open_stream("echo").unwrap();
        stream.write_all(b"before ").unwrap();
        stream.flush().unwrap();

        tls.reload(new.clone()).unwrap();
        assert!(shows(addr, &new));
        assert!(!shows(addr, &old));
        assert_echoes(&join(&new).wait_session(PATIENCE).unwrap());

        stream.write_all(b"and after").unwrap();
        stream.finish().unwrap();
        let mut echoed = String::new();
        stream.read_to_string(&mut echoed).unwrap();
        assert_eq!(echoed, "before and after");
        assert_echoes(&session);
    });
}

#[test]
fn a_bad_pair_is_refused_and_the_old_certificate_stays() {
    in_time(|| {
        let old = load_certificates("server", certs()).unwrap();
        let (server, tls) = running(&old);
        let renew = |certificate: &str, key: &str| {
            let pair = Certificates::from_files(certs().join(certificate), certs().join(key))?;
            tls.reload(pair)
        };
        let error = renew("client.pem", "server.key").unwrap_err();
        assert!(matches!(error, TlsError::Key { .. }), "{error}");
        let error = renew("client.pem", "nowhere.key").unwrap_err();
        assert!(matches!(error, TlsError::File { .. }), "{error}");
        assert!(shows(addr_of(&server), &old));
        renew("client.pem", "client.key").unwrap();
        assert!(!shows(addr_of(&server), &old));
    });
}

#[test]
fn a_certificate_is_replaced_together_with_its_key() {
    in_time(|| {
        let authority = Authority::new();
        let pairs = [(); 2].map(|()| authority.certify(&["127.0.0.1"], |_| {}));
        let client = TlsClient::with_ca(authority.ca()).unwrap();
        let server = TlsServer::new(pairs[0].clone()).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut next = pairs.iter().cycle();
                while !done.load(Ordering::Relaxed) {
                    server.reload(next.next().unwrap().clone()).unwrap();
                }
            });
            for _ in 0..20 {
                let (near, far) = meet((client.clone(), server.clone()));
                near.unwrap();
                far.unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn reloading_keeps_the_authorities_of_clients() {
    in_time(|| {
        let first = server();
        let mutual = first.clone().client_ca(ca()).unwrap();
        let new = self_signed();
        first.reload(new.clone()).unwrap();
        let pinned = TlsClient::pinned(new.fingerprint());
        let (_, far) = meet((pinned.clone(), mutual.clone()));
        let error = far.unwrap_err();
        assert!(
            matches!(error, TlsError::Handshake(Error::NoCertificatesPresented)),
            "{error:?}"
        );
        let shown = load_certificates("client", certs()).unwrap();
        let (near, far) = meet((pinned.certificate(shown).unwrap(), mutual));
        near.unwrap();
        far.unwrap();
    });
}

/// Replaces the authority of the clients. No client is refused meanwhile.
#[test]
fn the_authorities_of_clients_are_replaced_by_way_of_a_file_with_both() {
    in_time(|| {
        let (old, new) = (Authority::new(), Authority::new());
        let pem = |authority: &Authority| fs::read_to_string(authority.ca()).unwrap();
        let both = server().client_ca_pem(pem(&old) + &pem(&new)).unwrap();
        let only_new = server().client_ca_pem(pem(&new)).unwrap();
        for (issuer, accepted_at_the_end) in [(&old, false), (&new, true)] {
            let shown = issuer.certify(&[], |_| {});
            let client = client().certificate(shown).unwrap();
            let (near, far) = meet((client.clone(), both.clone()));
            near.unwrap();
            far.unwrap();
            let (_, far) = meet((client, only_new.clone()));
            assert_eq!(far.is_ok(), accepted_at_the_end);
        }
    });
}

#[test]
fn a_client_shows_its_new_certificate() {
    in_time(|| {
        let server = server().client_ca(ca()).unwrap();
        let shown = load_certificates("client", certs()).unwrap();
        let client = client().certificate(shown.clone()).unwrap();
        let given_away = client.clone();
        client
            .reload(Authority::new().certify(&[], |_| {}))
            .unwrap();
        let (_, far) = meet((given_away.clone(), server.clone()));
        assert!(far.is_err());
        client.reload(shown).unwrap();
        let (near, far) = meet((given_away, server));
        near.unwrap();
        far.unwrap();
    });
}

/// With tickets, a client whose certificate was accepted resumes its connection, and shows no
/// certificate.
#[test]
fn a_client_shows_its_new_certificate_to_a_server_that_sends_tickets() {
    in_time(|| {
        let tickets = Arc::new(mutual_config(ring::default_provider()));
        let shown = load_certificates("client", certs()).unwrap();
        let client = TlsClient::from(Arc::new(client_config(ring::default_provider())));
        let client = client.certificate(shown).unwrap();
        for _ in 0..2 {
            let (mut near, mut far) = ends((client.clone(), Arc::clone(&tickets).into()));
            far.send(b"after the tickets");
            near.expect(b"after the tickets");
        }
        let new = Authority::new().certify(&[], |_| {});
        client.reload(new).unwrap();
        let (_, far) = meet((client, tickets.into()));
        far.expect_err("the new certificate is not trusted");
    });
}

#[test]
fn what_cannot_be_reloaded_is_an_error() {
    let config = server_config(ring::default_provider());
    let error = TlsServer::from(Arc::new(config)).reload(self_signed());
    assert!(error.unwrap_err().to_string().contains("cert_resolver"));
    let error = client().reload(self_signed()).unwrap_err();
    assert!(error.to_string().contains("`certificate`"), "{error}");
}
