//! Which peers each side accepts.

use super::{
    PATIENCE,
    fixtures::{Authority, client_config, key_of_another, self_signed, server_config},
    in_time,
    pair::{Outcome, ca, certs, client, meet, server, shake_hands, sockets},
};
use socket2::{Domain, Socket, Type};
use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};
use wirenet::{
    TlsClient, TlsError, TlsServer, load_certificates,
    tls::rustls::{
        self, AlertDescription, CertificateError, crypto::ring, server::ResolvesServerCert,
        sign::SingleCertAndKey,
    },
};

/// The reason for which a certificate was refused.
fn refused(outcome: Outcome) -> CertificateError {
    match outcome.unwrap_err() {
        TlsError::Handshake(rustls::Error::InvalidCertificate(cause)) => cause,
        error => panic!("{error:?}"),
    }
}

/// Asserts that the certificate of `peer` was refused for its authority.
#[track_caller]
fn assert_unknown_issuer(outcome: Outcome, peer: &str) {
    let error = outcome.unwrap_err();
    let is_unknown = matches!(error, TlsError::UnknownIssuer { peer: found, .. } if found == peer);
    assert!(is_unknown, "{error:?}");
}

fn alert(outcome: Outcome) -> AlertDescription {
    match outcome.unwrap_err() {
        TlsError::Handshake(rustls::Error::AlertReceived(alert)) => alert,
        error => panic!("{error:?}"),
    }
}

/// The reason for which a client refuses a server.
fn why(client: TlsClient, server: TlsServer) -> CertificateError {
    refused(meet((client, server)).0)
}

#[test]
fn a_server_of_another_authority_is_refused_with_an_alert() {
    in_time(|| {
        let other = TlsClient::with_ca(Authority::new().ca()).unwrap();
        let (near, far) = meet((other, server()));
        assert_unknown_issuer(near, "server");
        assert_eq!(alert(far), AlertDescription::UnknownCA);
    });
}

#[test]
fn an_expired_certificate_is_refused() {
    in_time(|| {
        let authority = Authority::new();
        let expired = authority.certify(&["127.0.0.1"], |params| {
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        });
        let client = TlsClient::with_ca(authority.ca()).unwrap();
        let cause = why(client, TlsServer::new(expired).unwrap());
        let expired = matches!(cause, CertificateError::ExpiredContext { .. });
        assert!(expired, "{cause:?}");
    });
}

#[test]
fn a_certificate_for_another_name_is_refused_unless_that_name_is_expected() {
    in_time(|| {
        let authority = Authority::new();
        let certificates = authority.certify(&["box.example"], |_| {});
        let client = TlsClient::with_ca(authority.ca()).unwrap();
        let server = TlsServer::new(certificates).unwrap();
        let cause = why(client.clone(), server.clone());
        let wrong_name = matches!(cause, CertificateError::NotValidForNameContext { .. });
        assert!(wrong_name, "{cause:?}");
        let named = client.server_name("box.example").unwrap();
        let (near, far) = meet((named, server));
        near.unwrap();
        far.unwrap();
    });
}

#[test]
fn a_host_name_in_the_address_is_checked() {
    in_time(|| {
        let (near, far) = shake_hands(sockets(), (client(), server()), "localhost");
        near.unwrap();
        far.unwrap();
        let (near, _) = shake_hands(sockets(), (client(), server()), "elsewhere.example");
        let cause = refused(near);
        let wrong_name = matches!(cause, CertificateError::NotValidForNameContext { .. });
        assert!(wrong_name, "{cause:?}");
    });
}

#[test]
fn an_invalid_server_name_is_an_error() {
    in_time(|| {
        let error = client().server_name("no name").unwrap_err();
        assert!(matches!(error, TlsError::ServerName { ref name } if name == "no name"));
        let (near, far) = shake_hands(sockets(), (client(), server()), "no name");
        assert!(matches!(near.unwrap_err(), TlsError::ServerName { .. }));
        assert!(matches!(far.unwrap_err(), TlsError::Connection(_)));
    });
}

fn sockets_over_ipv6() -> io::Result<(TcpStream, TcpStream)> {
    let listener = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    listener.bind(&SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).into())?;
    listener.listen(1)?;
    let listener = TcpListener::from(listener);
    let near = TcpStream::connect(listener.local_addr()?)?;
    Ok((near, listener.accept()?.0))
}

#[test]
fn an_ipv6_address_is_checked() {
    in_time(|| {
        for host in ["::1", "[::1]", "::1%lo"] {
            // Without IPv6 on this machine, only the name is tested.
            let sockets = sockets_over_ipv6().unwrap_or_else(|_| sockets());
            let (near, far) = shake_hands(sockets, (client(), server()), host);
            near.unwrap();
            far.unwrap();
        }
        let (near, _) = shake_hands(sockets(), (client(), server()), "::2");
        refused(near);
    });
}

#[test]
fn only_the_pinned_server_is_accepted() {
    in_time(|| {
        let certificates = load_certificates("server", certs()).unwrap();
        let pinned = TlsClient::pinned(certificates.fingerprint());
        let (near, far) = meet((pinned.clone(), server()));
        near.unwrap();
        far.unwrap();
        let other_certificates = self_signed();
        let other = TlsServer::new(other_certificates.clone()).unwrap();
        let shown = other_certificates.fingerprint();
        let (near, far) = meet((pinned, other));
        assert_eq!(alert(far), AlertDescription::AccessDenied);
        match near.unwrap_err() {
            TlsError::WrongPin {
                certificate,
                pinned,
            } => {
                assert_eq!(certificate, shown);
                assert_eq!(pinned, certificates.fingerprint());
            }
            error => panic!("{error:?}"),
        }
    });
}

#[test]
fn a_self_signed_certificate_without_a_name_can_be_pinned() {
    in_time(|| {
        let certificates = self_signed();
        let pinned = TlsClient::pinned(certificates.fingerprint());
        let server = TlsServer::new(certificates).unwrap();
        // The host does not have to be a valid name either.
        let (near, far) = shake_hands(sockets(), (pinned, server), "no name");
        near.unwrap();
        far.unwrap();
    });
}

/// A server that presents the certificate, but does not have its key.
fn impostor() -> TlsServer {
    let mut config = server_config(ring::default_provider());
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(key_of_another()));
    config.cert_resolver = resolver;
    Arc::new(config).into()
}

#[test]
fn a_pinned_server_must_have_the_key_too() {
    in_time(|| {
        let certificates = load_certificates("server", certs()).unwrap();
        let pinned = TlsClient::pinned(certificates.fingerprint());
        assert_eq!(why(pinned, impostor()), CertificateError::BadSignature);
    });
}

#[test]
fn without_verification_any_server_is_accepted() {
    in_time(|| {
        for server in [TlsServer::new(self_signed()).unwrap(), impostor()] {
            let (near, far) = meet((TlsClient::dangerous_without_verification(), server));
            near.unwrap();
            far.unwrap();
        }
    });
}

#[test]
fn a_client_with_a_certificate_of_the_authority_is_accepted() {
    in_time(|| {
        let server = server().client_ca(ca()).unwrap();
        let certificates = load_certificates("client", certs()).unwrap();
        let (near, far) = meet((client().certificate(certificates).unwrap(), server));
        near.unwrap();
        far.unwrap();
    });
}

#[test]
fn a_client_of_another_authority_is_refused_by_the_server() {
    in_time(|| {
        let server = server().client_ca(ca()).unwrap();
        let untrusted = Authority::new().certify(&[], |_| {});
        let (_, far) = meet((client().certificate(untrusted).unwrap(), server));
        assert_unknown_issuer(far, "client");
    });
}

#[test]
fn configurations_of_rustls_are_used_unchanged() {
    in_time(|| {
        let client = TlsClient::from(Arc::new(client_config(ring::default_provider())));
        let server = TlsServer::from(Arc::new(server_config(ring::default_provider())));
        let (near, far) = meet((client, server));
        near.unwrap();
        far.unwrap();
    });
}

#[test]
fn a_peer_that_does_not_speak_tls_is_refused_by_either_side() {
    in_time(|| {
        for ours_is_client in [true, false] {
            let (near, mut far) = sockets();
            far.set_read_timeout(Some(PATIENCE)).unwrap();
            thread::scope(|scope| {
                let ours = scope.spawn(move || {
                    let deadline = super::pair::patience();
                    if ours_is_client {
                        wirenet::transport::TlsStream::client(near, &client(), "::1", deadline)
                    } else {
                        wirenet::transport::TlsStream::server(near, &server(), deadline)
                    }
                });
                far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
                let error = ours.join().unwrap().unwrap_err();
                let peer = if ours_is_client { "server" } else { "client" };
                let foreign = matches!(
                    error,
                    TlsError::NotTls {
                        peer: found,
                        cause: rustls::Error::InvalidMessage(_),
                        ..
                    } if found == peer
                );
                assert!(foreign, "{error:?}");
                // The last record is an alert: fatal, of two bytes.
                let mut received = Vec::new();
                far.read_to_end(&mut received).unwrap();
                let [.., 21, 3, _, 0, 2, 2, _] = received[..] else {
                    panic!("{received:?}");
                };
            });
        }
    });
}

#[test]
fn errors_of_loading_certificates_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let load = |name: &str| load_certificates(name, dir.path()).unwrap_err();
    let copy = |from: &str, to: &str| fs::copy(certs().join(from), path(to)).unwrap();

    let error = load("missing");
    assert!(
        matches!(error, TlsError::File { path: ref named, .. } if *named == path("missing.pem"))
    );

    copy("server.pem", "a.pem");
    let error = load("a");
    assert!(matches!(error, TlsError::File { path: ref named, .. } if *named == path("a.key")));

    fs::write(path("a.key"), "").unwrap();
    let error = load("a");
    assert!(matches!(error, TlsError::NoKey { path: ref named, .. } if *named == path("a.key")));

    copy("client.key", "a.key");
    let error = load("a");
    assert!(matches!(error, TlsError::Key { path: ref named, .. } if *named == path("a.key")));

    fs::write(path("b.pem"), "").unwrap();
    let error = load("b");
    assert!(
        matches!(error, TlsError::NoCertificate { path: ref named, .. } if *named == path("b.pem"))
    );

    fs::write(path("b.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    let error = load("b");
    assert!(matches!(error, TlsError::Pem { path: ref named, .. } if *named == path("b.pem")));
    assert!(error.to_string().contains("b.pem"), "{error}");

    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(path("c.pem"), garbage).unwrap();
    copy("server.key", "c.key");
    for error in [load("c"), TlsClient::with_ca(path("c.pem")).unwrap_err()] {
        assert!(
            matches!(error, TlsError::Certificate { path: ref named, .. } if *named == path("c.pem")),
            "{error:?}"
        );
    }

    let error = TlsClient::with_ca(path("a.key")).unwrap_err();
    assert!(matches!(error, TlsError::NoCertificate { .. }), "{error:?}");
    let error = server().client_ca(path("nowhere.pem")).unwrap_err();
    assert!(matches!(error, TlsError::File { .. }), "{error:?}");
}

#[test]
fn debug_output_contains_no_secrets() {
    let certificates = load_certificates("client", certs()).unwrap();
    let client = client().certificate(certificates.clone()).unwrap();
    let shown = format!("{certificates:?} {client:?} {:?}", server());
    assert!(shown.len() < 300, "{shown}");
}
