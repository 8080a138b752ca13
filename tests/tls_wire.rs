//! TLS in a wire.
#![cfg(feature = "tls")]

mod support;

#[path = "tls/fixtures.rs"]
#[allow(dead_code, reason = "the tests of the transport use it")]
mod fixtures;
#[path = "tls/pair.rs"]
#[allow(dead_code, reason = "the tests of the transport use it")]
mod pair;

use crossbeam_channel::unbounded;
use fixtures::Authority;
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use support::{
    PATIENCE, in_time,
    wires::{addr_of, assert_echoes, echo, errors, mounting, started},
};
use wirenet::{
    Certificates, Error, Operation, TlsClient, TlsError, TlsServer, Wire, load_certificates,
    tls::rustls::{
        self, RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
        server::WebPkiClientVerifier,
        time_provider::TimeProvider,
        version::TLS13,
    },
    transport::TlsStream,
};

fn server() -> TlsServer {
    TlsServer::new(load_certificates("server", "certs").unwrap()).unwrap()
}

#[test]
fn a_stream_works_over_tls() {
    in_time(|| {
        let server = Wire::mount("127.0.0.1:0")
            .tls(server())
            .stream("hello", |stream| stream.write_message(b"hello"))
            .build()
            .unwrap();
        server.start().unwrap();
        let client = Wire::join(server.local_addr().unwrap().to_string())
            .tls(TlsClient::with_ca("certs/ca.pem").unwrap())
            .build()
            .unwrap();
        let session = client.start_within(PATIENCE).unwrap();
        let mut hello = String::new();
        let mut stream = session.open_stream("hello").unwrap();
        stream.read_to_string(&mut hello).unwrap();
        assert_eq!(hello, "hello");
        drop(stream);
        client.close().unwrap();
        server.close().unwrap();
    });
}

/// Asserts that a client fails permanently with an error of TLS.
fn assert_given_up(server: TlsServer, client: TlsClient) {
    let server = Wire::mount("127.0.0.1:0").tls(server).build().unwrap();
    server.start().unwrap();
    let client = Wire::join(server.local_addr().unwrap().to_string()).tls(client);
    let error = client.build().unwrap().connect().unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    assert!(error.is_permanent());
}

#[test]
fn an_untrusted_certificate_is_a_permanent_error() {
    in_time(|| assert_given_up(server(), TlsClient::pinned([7; 32])));
}

#[test]
fn a_missing_client_certificate_is_a_permanent_error() {
    in_time(|| {
        let server = server().client_ca("certs/ca.pem").unwrap();
        assert_given_up(server, TlsClient::with_ca("certs/ca.pem").unwrap());
    });
}

/// A certificate for the server and one for clients, valid between these years.
fn between(authority: &Authority, from: i32, to: i32) -> Certificates {
    authority.certify(&["127.0.0.1"], |params| {
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
    })
}

/// Asserts that a client retries, each time for a reason that contains this text, until `mend`
/// is called, and then gets a session.
fn assert_retries_until(server: TlsServer, client: TlsClient, reason: &str, mend: impl FnOnce()) {
    let server = started(mounting().tls(server).stream("echo", echo));
    let (handler, told) = errors();
    let soon = Duration::from_millis(1);
    let client = Wire::join(addr_of(&server).to_string())
        .tls(client)
        .retry_wait(soon, soon)
        .on_error(handler)
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| client.connect());
        for _ in 0..3 {
            let (_, cause) = told.recv_timeout(PATIENCE).unwrap();
            assert!(cause.contains(reason), "{cause}");
        }
        mend();
        assert_echoes(&client.wait_session(PATIENCE).unwrap());
        client.close().unwrap();
        running.join().unwrap().unwrap();
    });
}

/// A clock that is set later.
#[derive(Debug, Default)]
struct Clock(AtomicU64);

impl Clock {
    fn set(&self, to: UnixTime) {
        self.0.store(to.as_secs(), Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = Duration::from_secs(self.0.load(Ordering::Relaxed));
        Some(UnixTime::since_unix_epoch(seconds))
    }
}

/// A server that requires client certificates, and has this clock.
fn mutual_server(clock: Arc<Clock>) -> TlsServer {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file("certs/ca.pem").unwrap();
    roots.add(ca).unwrap();
    let roots = Arc::new(roots);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let chain = vec![CertificateDer::from_pem_file("certs/server.pem").unwrap()];
    let key = PrivateKeyDer::from_pem_file("certs/server.key").unwrap();
    let config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key);
    Arc::new(config.unwrap()).into()
}

#[test]
fn a_client_retries_while_the_clock_of_the_server_is_behind_its_certificate() {
    in_time(|| {
        let clock = Arc::new(Clock::default());
        let server = mutual_server(Arc::clone(&clock));
        let client = TlsClient::with_ca("certs/ca.pem").unwrap();
        let client = client.certificate(load_certificates("client", "certs").unwrap());
        let mend = || clock.set(UnixTime::now());
        assert_retries_until(server, client.unwrap(), "by the peer's clock", mend);
    });
}

#[test]
fn a_client_retries_with_its_new_certificate() {
    in_time(|| {
        let authority = Authority::new();
        let server = server().client_ca(authority.ca()).unwrap();
        let client = TlsClient::with_ca("certs/ca.pem").unwrap();
        let client = client.certificate(between(&authority, 2000, 2001)).unwrap();
        let mend = || client.reload(between(&authority, 2000, 2191)).unwrap();
        assert_retries_until(server, client.clone(), "by the peer's clock", mend);
    });
}

#[test]
fn a_client_retries_while_its_clock_is_behind_or_the_server_has_not_renewed_its_certificate() {
    in_time(|| {
        let authority = Authority::new();
        for (from, to, reason) in [(2190, 2191, "valid from 2190"), (2000, 2001, "expired on")] {
            let server = TlsServer::new(between(&authority, from, to)).unwrap();
            let client = TlsClient::with_ca(authority.ca()).unwrap();
            let mend = || server.reload(between(&authority, 2000, 2191)).unwrap();
            assert_retries_until(server.clone(), client, reason, mend);
        }
    });
}

#[test]
fn a_retry_policy_may_give_up_when_the_server_refuses_a_certificate_for_its_dates() {
    in_time(|| {
        let authority = Authority::new();
        let server = server().client_ca(authority.ca()).unwrap();
        let server = started(mounting().tls(server));
        let client = TlsClient::with_ca("certs/ca.pem").unwrap();
        let client = client.certificate(between(&authority, 2190, 2191)).unwrap();
        let (tell, told) = unbounded();
        let client = Wire::join(addr_of(&server).to_string())
            .tls(client)
            .retry_policy(move |retry| {
                tell.send(retry.wait.is_some()).unwrap();
                None
            });
        let error = client.build().unwrap().connect().unwrap_err();
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [true]);
        let expired = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired);
        assert!(
            matches!(&error, Error::Tls { cause: TlsError::Handshake(cause), .. } if *cause == expired),
            "{error:?}"
        );
    });
}

/// After its TLS handshake, a client sends a record byte by byte. One deadline applies to
/// both handshakes together.
#[test]
fn a_record_that_trickles_in_does_not_extend_the_handshake_timeout() {
    in_time(|| {
        let (handler, told) = errors();
        let timeout = Duration::from_millis(400);
        let server = Wire::mount("127.0.0.1:0")
            .tls(server())
            .handshake_timeout(timeout)
            .on_error(handler)
            .stream("echo", echo)
            .build()
            .unwrap();
        server.start().unwrap();
        let addr = server.local_addr().unwrap();
        let config = || TlsClient::with_ca("certs/ca.pem").unwrap();
        let other = Wire::join(addr.to_string()).tls(config());
        let other = other.build().unwrap();
        other.start().unwrap();
        let session = other.wait_session(PATIENCE).unwrap();
        let began = Instant::now();
        let mut raw = TcpStream::connect(addr).unwrap();
        let same = raw.try_clone().unwrap();
        let _tls = TlsStream::client(same, &config(), "127.0.0.1", began + PATIENCE).unwrap();
        // A record of 16 KiB, sent slowly: the server answers an echo between two bytes.
        let head = [0x17, 3, 3, 0x40, 0];
        for byte in head.into_iter().chain(std::iter::repeat_n(0, 0x4000)) {
            if !told.is_empty() {
                break;
            }
            let _ = raw.write_all(&[byte]);
            assert_echoes(&session);
        }
        let (operation, cause) = told.recv().unwrap();
        assert_eq!(operation, Operation::Handshake, "{cause}");
        assert!(cause.contains("within"), "{cause}");
        let took = began.elapsed();
        assert!(took < timeout * 2, "{took:?}");
    });
}
