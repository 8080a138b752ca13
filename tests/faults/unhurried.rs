//! Connections that do not break: they are slow, cut everything into pieces, or
//! carry nothing for a while.

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

/// Both sides, with such a connection between them.
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

    /// A stream on which a message was sent, which is to come back.
    fn sent(&self) -> Stream {
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

/// Without TLS, and with it where it is built.
fn each(test: impl Fn(bool) + Send + 'static) {
    within(PATIENCE, move || {
        test(false);
        if cfg!(feature = "tls") {
            test(true);
        }
    });
}

#[test]
fn a_message_that_comes_in_single_bytes_is_the_same() {
    each(|tls| {
        let piece = 1;
        let profile = Profile {
            piece,
            ..Profile::default()
        };
        let ends = Ends::with(profile, tls);
        let stream = ends.sent();
        ends.assert_comes_back(&stream);
    });
}

#[test]
fn a_message_over_a_long_and_narrow_connection_is_the_same() {
    each(|tls| {
        let profile = Profile {
            delay: Duration::from_millis(20),
            rate: Some(200_000),
            buffer: 4 * 1024,
            ..Profile::default()
        };
        let ends = Ends::with(profile, tls);
        let stream = ends.sent();
        ends.assert_comes_back(&stream);
    });
}

#[test]
fn an_answer_that_is_held_up_comes_when_the_connection_carries_it_again() {
    each(|tls| {
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
