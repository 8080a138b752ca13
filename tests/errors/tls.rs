//! Peers without TLS, and certificates that are not accepted.

#[path = "../tls/fixtures.rs"]
#[allow(dead_code, reason = "the tests of TLS use it")]
mod fixtures;
#[path = "../tls/pair.rs"]
#[allow(dead_code, reason = "the tests of TLS use it")]
pub mod pair;

use super::table::row;
use crate::support::{
    self, PATIENCE, in_time,
    wires::{addr_of, errors, started},
};
use fixtures::{Authority, key_of_another, server_config};
use pair::{Outcome, ca, certs, client, meet, patience, server, shake_hands, sockets};
use std::{
    error::Error as _,
    fs,
    io::{self, Write},
    net::Shutdown,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use wirenet::{
    Certificates, Fingerprint, TlsClient, TlsError, TlsServer, Wire, load_certificates,
    tls::rustls::{crypto::ring, server::ResolvesServerCert, sign::SingleCertAndKey},
    transport::TlsStream,
    yamux,
};

/// What a client reads when a server answers with these bytes, and then closes.
fn answered(bytes: &[u8]) -> TlsError {
    let (near, mut far) = sockets();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut hello = [0; 16 * 1024];
            let _ = std::io::Read::read(&mut far, &mut hello);
            let _ = far.write_all(bytes);
            let _ = far.shutdown(Shutdown::Write);
        });
        TlsStream::client(near, &client(), "localhost", patience()).unwrap_err()
    })
}

/// What a server reads when a client begins with these bytes, and then closes.
fn begun(bytes: &[u8]) -> TlsError {
    let (mut near, far) = sockets();
    near.write_all(bytes).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    TlsStream::server(far, &server(), patience()).unwrap_err()
}

type Meeting = fn(&[u8]) -> TlsError;

#[test]
fn peers_without_tls() {
    const IS_IT_OFF: &str = "is TLS off there, or the port wrong?";
    in_time(|| {
        for (side, meeting, first, expected) in [
            (
                "server",
                answered as Meeting,
                &[0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..],
                &["the server did not answer with TLS", "yamux", IS_IT_OFF][..],
            ),
            (
                "server",
                answered,
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
                &["HTTP", "\"HTTP/1.1 400 Bad Request\"", IS_IT_OFF],
            ),
            (
                "server",
                answered,
                b"SSH-2.0-OpenSSH_9.2\r\n",
                &["SSH", "\"SSH-2.0-OpenSSH_9.2\"", IS_IT_OFF],
            ),
            (
                "server",
                answered,
                b"",
                &["the peer closed it", "is TLS off at the peer"],
            ),
            (
                "client",
                begun,
                &[0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
                &["the client did not begin with TLS", "yamux", IS_IT_OFF],
            ),
            (
                "client",
                begun,
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                &["HTTP", "\"GET / HTTP/1.1\"", IS_IT_OFF],
            ),
            ("client", begun, b"", &["the peer closed it"]),
        ] {
            let input = format!(
                "a {side} that sends \"{}\" and closes",
                first.escape_ascii()
            );
            row(input, meeting(first), expected);
        }
        let closed = answered(b"");
        let cause = closed.source().and_then(|cause| cause.downcast_ref());
        let kind = cause.map(io::Error::kind);
        assert_eq!(kind, Some(io::ErrorKind::UnexpectedEof), "{closed:?}");
        let (near, _silent) = sockets();
        let soon = Instant::now() + Duration::from_millis(20);
        row(
            "a server that sends nothing",
            TlsStream::client(near, &client(), "localhost", soon).unwrap_err(),
            &["within the handshake timeout", "is TLS off at the peer"],
        );
    });
}

#[test]
fn peers_that_have_nothing_in_common_with_this_side() {
    in_time(|| {
        for (input, alert, expected) in [
            (
                "a server without a common cipher",
                40,
                &["no cipher", "update the older side", "handshake_failure"],
            ),
            (
                "a server without a common protocol",
                120,
                &[
                    "ALPN",
                    "set the same one on both",
                    "no_application_protocol",
                ],
            ),
        ] {
            row(input, answered(&[21, 3, 3, 0, 2, 2, alert]), expected);
        }
        row(
            "a server without TLS 1.3",
            answered(&[21, 3, 3, 0, 2, 2, 70]),
            &["TLS 1.3, which is required", "protocol_version"],
        );
        row(
            "a client without TLS 1.3",
            begun(&hello_of_tls_1_2()),
            &["TLS 1.3, which is required"],
        );
    });
}

/// The first message of a client that knows only TLS 1.2 (RFC 5246, 7.4.1.2).
fn hello_of_tls_1_2() -> Vec<u8> {
    // Version, random, no session, one cipher, no compression.
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    // Its signatures and groups: ECDSA with SHA-256, P-256.
    body.extend([0, 16, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23]);
    let len = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, len + 4, 1, 0, 0, len], &body[..]].concat()
}

/// The messages of the client and of the server.
fn both((near, far): (Outcome, Outcome)) -> (String, String) {
    let text = |outcome: Outcome| match outcome {
        Ok(_) => "succeeded".into(),
        Err(error) => error.to_string(),
    };
    (text(near), text(far))
}

#[test]
fn fingerprints() {
    for (input, text, expected) in [
        (
            "no fingerprint",
            "",
            "\"\" is not the SHA-256 fingerprint of a certificate: it has 0",
        ),
        (
            "a SHA-1",
            &"ab:".repeat(20)[..59],
            "it has 40 digits, as a SHA-1 has",
        ),
        ("a file name", "server.pem\n", "\"server.pem\\n\" is not"),
    ] {
        let error = text.parse::<Fingerprint>().unwrap_err();
        row(
            input,
            error,
            &[
                expected,
                "openssl x509 -in FILE -noout -fingerprint -sha256",
            ],
        );
    }
}

#[test]
fn certificates_of_servers() {
    in_time(|| {
        let certificates = load_certificates("server", certs()).unwrap();
        let (near, far) = both(meet((TlsClient::pinned([7; 32]), server())));
        let shown = certificates.fingerprint().to_string();
        row(
            "a wrong pin",
            near,
            &[&shown, "but pinned is", &"07".repeat(32), "pin the new one"],
        );
        row(
            "a wrong pin, seen by the server",
            far,
            &["does not accept this side's certificate", "access_denied"],
        );

        let authority = Authority::new();
        let other = TlsClient::with_ca(authority.ca()).unwrap();
        let (near, far) = both(meet((other, server())));
        row(
            "an unknown authority",
            near,
            &[
                "CN=wirenet test server",
                "not trusted (CN=wirenet test authority)",
                "with_ca",
                "TlsClient::pinned",
                "fullchain",
            ],
        );
        row(
            "an unknown authority, seen by the server",
            far,
            &[
                "trusts no authority that has issued",
                "unknown_ca",
                "with_ca",
            ],
        );
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
        let own = Certificates::from_pem(own.cert.pem(), own.signing_key.serialize_pem());
        let (near, _) = both(meet((client(), TlsServer::new(own.unwrap()).unwrap())));
        row(
            "a self-signed certificate",
            near,
            &[
                "CN=rcgen self signed cert",
                "is self-signed",
                "TlsClient::pinned",
            ],
        );

        let (near, _) = both(shake_hands(sockets(), pair::both(), "elsewhere.example"));
        row(
            "a certificate for other names",
            near,
            &[
                "is for localhost, 127.0.0.1, ::1",
                "\"elsewhere.example\" was asked for",
                "server_name",
            ],
        );
        row(
            "a dialled host that is no name",
            shake_hands(sockets(), pair::both(), "no name")
                .0
                .unwrap_err(),
            &[
                "\"no name\" is neither a DNS name nor an IP address",
                "server_name",
            ],
        );
    });
}

/// Both messages for a server whose certificate is valid between these years.
fn between(from: i32, to: i32) -> (String, String) {
    let authority = Authority::new();
    let certificates = authority.certify(&["127.0.0.1"], |params| {
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
    });
    let client = TlsClient::with_ca(authority.ca()).unwrap();
    both(meet((client, TlsServer::new(certificates).unwrap())))
}

#[test]
fn certificates_that_are_not_valid_now() {
    in_time(|| {
        let (near, far) = between(2019, 2020);
        row(
            "an expired certificate",
            near,
            &[
                "expired on 2020-01-01 00:00:00 UTC",
                "clock says 20",
                "renew",
            ],
        );
        let seen = [
            "expired or is not valid yet",
            "both clocks",
            "certificate_expired",
        ];
        row("an expired certificate, seen by the server", far, &seen);
        let (near, far) = between(2190, 2191);
        row(
            "a certificate that is not valid yet",
            near,
            &[
                "valid from 2190-01-01 00:00:00 UTC",
                "clock says 20",
                "set the clock",
            ],
        );
        row(
            "a certificate that is not valid yet, seen by the server",
            far,
            &seen,
        );
    });
}

#[test]
fn certificates_that_servers_may_not_use() {
    in_time(|| {
        let dir = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let made = params.self_signed(&key).unwrap();
        let ca = dir.path().join("ca.pem");
        fs::write(&ca, made.pem()).unwrap();
        let authority = Certificates::from_pem(made.pem(), key.serialize_pem()).unwrap();
        let server = TlsServer::new(authority).unwrap();
        let (near, _) = both(meet((TlsClient::with_ca(&ca).unwrap(), server)));
        row(
            "an authority as a server",
            near,
            &["CA:TRUE", "pin it", "CA:FALSE"],
        );

        let authority = Authority::new();
        let for_clients = authority.certify(&["127.0.0.1"], |params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        });
        let server = TlsServer::new(for_clients).unwrap();
        let client = TlsClient::with_ca(authority.ca()).unwrap();
        let (near, far) = both(meet((client, server)));
        row(
            "a client's certificate as a server's",
            near,
            &[
                "may not be used for server authentication",
                "extended key usage",
            ],
        );
        row(
            "the same, seen by the server",
            far,
            &["extended key usage", "unsupported_certificate"],
        );

        let mut config = server_config(ring::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> =
            Arc::new(SingleCertAndKey::from(key_of_another()));
        config.cert_resolver = resolver;
        let (near, _) = both(meet((pair::client(), Arc::new(config).into())));
        row(
            "a server without the certificate's key",
            near,
            &["a signature of the peer does not match"],
        );
    });
}

/// The messages of a client and of its server over wires: what `connect` returns, and what
/// the server's error handler gets.
fn over_wires(client: TlsClient, server: TlsServer) -> (String, String) {
    let (handler, told) = errors();
    let server = started(Wire::mount("127.0.0.1:0").tls(server).on_error(handler));
    let client = Wire::join(addr_of(&server).to_string()).tls(client);
    let error = client.retry_max(0).build().unwrap().connect().unwrap_err();
    let (_, seen) = told.recv_timeout(PATIENCE).unwrap();
    (error.to_string(), seen)
}

/// The same over yamux: what the connection's first call returns.
fn over_yamux(client: TlsClient, server: TlsServer) -> (String, String) {
    let (near, far) = meet((client, server));
    let near = yamux::Connection::client(near.unwrap(), Default::default()).unwrap();
    let error = near.accept().unwrap_err();
    (error.to_string(), far.unwrap_err().to_string())
}

#[test]
fn certificates_of_clients() {
    in_time(|| {
        let mutual = || server().client_ca(ca()).unwrap();
        let untrusted = Authority::new().certify(&[], |_| {});
        let untrusted = client().certificate(untrusted).unwrap();
        for (kind, meeting) in [
            ("a wire", over_wires as fn(_, _) -> _),
            ("yamux", over_yamux),
        ] {
            let (near, far) = meeting(client(), mutual());
            row(
                format!("{kind}, whose server requires a certificate"),
                near,
                &[
                    "requires a certificate",
                    "TlsClient::certificate",
                    "certificate_required",
                ],
            );
            row(
                "the same, seen by the server",
                far,
                &["the client showed no certificate", "client_ca"],
            );
            let (near, far) = meeting(untrusted.clone(), mutual());
            row(
                format!("{kind}, whose client is of another authority"),
                near,
                &["trusts no authority", "client_ca", "unknown_ca"],
            );
            row(
                "the same, seen by the server",
                far,
                &[
                    "the client's certificate (CN=certified)",
                    "CN=another authority",
                    "client_ca",
                ],
            );
        }
    });
}
