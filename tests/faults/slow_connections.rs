//! Connections that do not break, but are slow, deliver single bytes, or stall for
//! a while.

use crate::support::{
    PATIENCE,
    fault_proxy::{Direction, FaultProxy, Profile},
    pattern::Pattern,
    tls,
    wires::{addr_of, echo, message, started},
    within,
};
use std::{io, time::Duration};
use wirenet::{Stream, Wire};

const LEN: usize = 20_000;

/// A server and a client, with a relay between them.
struct Ends {
    server: Wire,
    relay: FaultProxy,
    client: Wire,
}

impl Ends {
    fn with(profile: Profile, tls: bool) -> Self {
        let server = Wire::mount("127.0.0.1:0").stream("echo", echo);
        let server = started(tls::server(server, tls));
        let relay = FaultProxy::to(addr_of(&server), profile).unwrap();
        let client = Wire::join(relay.addr.to_string());
        Self {
            client: started(tls::client(client, tls)),
            server,
            relay,
        }
    }

    /// Sends a message on a new stream, which the server is to echo.
    fn send(&self) -> Stream {
        let session = self.client.wait_session(PATIENCE).unwrap();
        let stream = session.open_stream("echo").unwrap();
        let pattern = Pattern::new(1);
        stream.write_message(pattern.at(0, LEN)).unwrap();
        stream
    }

    fn assert_comes_back(self, stream: &Stream) {
        let answer = message(stream).unwrap();
        assert_eq!(answer.len(), LEN);
        Pattern::new(1).check(0, &answer);
        stream.close().unwrap();
        self.client.close().unwrap();
        self.server.close().unwrap();
    }
}

/// Runs a test without TLS, and with TLS if the feature is on.
fn with_and_without_tls(test: impl Fn(bool) + Send + 'static) {
    within(PATIENCE, move || {
        test(false);
        if cfg!(feature = "tls") {
            test(true);
        }
    });
}

/// Checks that a message comes back unchanged over such a connection.
fn assert_echoes_over(profile: Profile) {
    with_and_without_tls(move |tls| {
        let ends = Ends::with(profile, tls);
        let stream = ends.send();
        ends.assert_comes_back(&stream);
    });
}

#[test]
fn a_message_delivered_byte_by_byte_arrives_unchanged() {
    assert_echoes_over(Profile {
        piece: 1,
        ..Profile::default()
    });
}

#[test]
fn a_message_over_a_connection_with_long_delay_and_low_rate_arrives_unchanged() {
    assert_echoes_over(Profile {
        delay: Duration::from_millis(20),
        rate: Some(200_000),
        buffer: 4 * 1024,
        ..Profile::default()
    });
}

#[test]
fn a_stalled_answer_arrives_when_the_connection_recovers() {
    with_and_without_tls(|tls| {
        let ends = Ends::with(Profile::default(), tls);
        let session = ends.client.wait_session(PATIENCE).unwrap();
        let stream = session.open_stream("echo").unwrap();
        ends.relay.hold(Direction::Down);
        stream.write_message(Pattern::new(1).at(0, LEN)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let error = message(&stream).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        ends.relay.release(Direction::Down);
        stream.set_read_timeout(None).unwrap();
        ends.assert_comes_back(&stream);
    });
}
