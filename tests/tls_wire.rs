//! TLS in a wire.
#![cfg(feature = "tls")]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};
use support::{
    PATIENCE, in_time,
    wires::{assert_echoes, echo, errors},
};
use wirenet::{
    Error, Operation, TlsClient, TlsServer, Wire, load_certificates, transport::TlsStream,
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
    assert!(matches!(error, Error::Tls(_)), "{error}");
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
