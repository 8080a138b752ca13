//! yamux over TLS.

use super::{
    in_time,
    pair::{both, ca, client, meet, narrow_sockets, server, shake_hands, sockets, streams},
    rustls_peer::with_client,
    support::both_ways::Load,
};
use std::{
    io::{Read, Write},
    net::Shutdown,
    thread,
};
use wirenet::{
    load_certificates,
    tls::rustls::{self, AlertDescription},
    transport::TlsStream,
    yamux::{Config, Connection, Error},
};

fn connect((near, far): (TlsStream, TlsStream)) -> (Connection, Connection) {
    (
        Connection::client(near, Config::default()).unwrap(),
        Connection::server(far, Config::default()).unwrap(),
    )
}

#[test]
fn streams_carry_messages_both_ways() {
    in_time(|| {
        let (near, far) = connect(streams(both()));
        let mut asking = near.open().unwrap();
        asking.write_all(b"question").unwrap();
        asking.shutdown(Shutdown::Write).unwrap();
        let mut answering = far.accept().unwrap();
        let mut question = String::new();
        answering.read_to_string(&mut question).unwrap();
        assert_eq!(question, "question");
        answering.write_all(b"answer").unwrap();
        answering.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
        near.ping().unwrap();
        far.ping().unwrap();
    });
}

#[test]
fn a_connection_with_certificates_on_both_sides_carries_streams() {
    in_time(|| {
        let certificates = load_certificates("client", super::pair::certs()).unwrap();
        let client = client().certificate(certificates).unwrap();
        let server = server().client_ca(ca()).unwrap();
        let (near, far) = connect(streams((client, server)));
        near.open().unwrap().write_all(b"here").unwrap();
        let mut received = [0; 4];
        far.accept().unwrap().read_exact(&mut received).unwrap();
        assert_eq!(&received, b"here");
    });
}

/// Over sockets with the smallest buffers, with many writers on each side.
#[test]
fn both_sides_write_on_many_streams_as_fast_as_they_can() {
    in_time(|| {
        let (near, far) = shake_hands(narrow_sockets(), both(), "127.0.0.1");
        let (near, far) = connect((near.unwrap(), far.unwrap()));
        let load = Load {
            streams: 4,
            bytes: 1 << 20,
        };
        load.carry(&near, &far);
        near.close();
    });
}

#[test]
fn a_close_is_a_close_to_the_peer() {
    in_time(|| {
        for server_closes in [false, true] {
            let (near, far) = connect(streams(both()));
            let (closing, other) = if server_closes {
                (far, near)
            } else {
                (near, far)
            };
            closing.close();
            let error = other.accept().unwrap_err();
            assert!(matches!(error, Error::ClosedByPeer), "{error:?}");
            let reason = closing.end_reason().unwrap();
            assert!(matches!(reason, Error::Closed), "{reason:?}");
        }
    });
}

#[test]
fn a_stream_finished_before_a_close_arrives_whole() {
    in_time(|| {
        let (near, far) = shake_hands(narrow_sockets(), both(), "127.0.0.1");
        let (near, far) = connect((near.unwrap(), far.unwrap()));
        let mut stream = near.open().unwrap();
        let reading = thread::spawn(move || {
            let mut received = Vec::new();
            let mut stream = far.accept().unwrap();
            stream.read_to_end(&mut received).map(|_| received.len())
        });
        stream.write_all(&[9; 200_000]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        near.close();
        assert_eq!(reading.join().unwrap().unwrap(), 200_000);
    });
}

/// All streams are finished, but the connection ends without an alert.
#[test]
fn a_cut_is_an_error_even_between_two_frames() {
    in_time(|| {
        let (near, peer) = with_client_stream();
        peer.shutdown(Shutdown::Write).unwrap();
        let error = near.accept().unwrap_err();
        assert!(matches!(error, Error::EndedByPeer), "{error:?}");
    });
}

fn with_client_stream() -> (Connection, std::net::TcpStream) {
    let (near, peer) = with_client(sockets(), client());
    let near = Connection::client(super::pair::Ready(near.0), Config::default()).unwrap();
    (near, peer.socket)
}

#[test]
fn the_connection_of_a_refused_client_ends_with_the_refusal() {
    in_time(|| {
        let server = server().client_ca(ca()).unwrap();
        let (near, far) = meet((client(), server));
        far.unwrap_err();
        let near = Connection::client(near.unwrap(), Config::default()).unwrap();
        let Error::Io(cause) = near.accept().unwrap_err() else {
            panic!("{:?}", near.end_reason());
        };
        let error = cause.get_ref().and_then(|inner| inner.downcast_ref());
        let required = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_eq!(error, Some(&required));
    });
}
