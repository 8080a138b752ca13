//! TLS under a whole wire: server, hub and client.
#![cfg(feature = "tls")]

mod support;

use std::io::Read;
use support::in_time;
use wirenet::{Error, TlsClient, TlsServer, Wire, load_certificates};

fn server() -> TlsServer {
    TlsServer::new(load_certificates("server", "certs").unwrap()).unwrap()
}

#[test]
fn a_stream_goes_over_tls() {
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
        client.start().unwrap();
        let session = client.sessions().remove(0);
        let mut hello = String::new();
        let mut stream = session.open_stream("hello").unwrap();
        stream.read_to_string(&mut hello).unwrap();
        assert_eq!(hello, "hello");
        drop(stream);
        client.close().unwrap();
        server.close().unwrap();
    });
}

#[test]
fn a_certificate_that_is_not_trusted_is_given_up_at_once_with_the_cause() {
    in_time(|| {
        let server = Wire::mount("127.0.0.1:0").tls(server()).build().unwrap();
        server.start().unwrap();
        let client = Wire::join(server.local_addr().unwrap().to_string())
            .tls(TlsClient::pinned([7; 32]))
            .build()
            .unwrap();
        let error = client.connect().unwrap_err();
        assert!(matches!(error, Error::Tls(_)), "{error}");
        assert!(error.is_permanent());
    });
}

#[test]
fn a_client_certificate_that_is_missing_is_given_up_at_once_as_a_failure_of_tls() {
    in_time(|| {
        let config = server().client_ca("certs/ca.pem").unwrap();
        let server = Wire::mount("127.0.0.1:0").tls(config).build().unwrap();
        server.start().unwrap();
        let client = Wire::join(server.local_addr().unwrap().to_string())
            .tls(TlsClient::with_ca("certs/ca.pem").unwrap())
            .build()
            .unwrap();
        let error = client.connect().unwrap_err();
        assert!(matches!(error, Error::Tls(_)), "{error}");
        assert!(error.is_permanent());
    });
}
