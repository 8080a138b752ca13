//! Opening sessions and streams, and errors while doing so.

use crate::support::{
    PATIENCE,
    encoding::field,
    in_time,
    peer::{Peer, ScriptedServer, play},
    unreachable::Unreachable,
    wires::{addr_of, announcing, errors, started, starting},
};
use crossbeam_channel::unbounded;
use std::{
    io,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};
use wirenet::{Error, Operation, Stream, Wire};

#[test]
fn the_session_id_of_another_session_is_refused() {
    in_time(|| {
        let (handler, told) = errors();
        let (serving, sessions) = announcing(Wire::mount("127.0.0.1:0"));
        let server = started(serving.on_error(handler));
        let mut first = Peer::join(&server, [5; 16]);
        let session = sessions.recv().unwrap();
        let (second, answer) = Peer::request(addr_of(&server), &field(1, &[5; 16]));
        assert!(answer.windows(16).any(|text| text == b"wrong session id"));
        drop(second);
        let (operation, _) = told.recv().unwrap();
        assert_eq!(operation, Operation::Handshake);
        // The first session is still open.
        assert!(server.session(session.id()).is_some() && !session.is_closed());
        let closing = thread::spawn(move || server.close().unwrap());
        assert!(first.ends_with_go_away());
        drop(first);
        closing.join().unwrap();
    });
}

#[test]
fn a_validator_may_refuse_with_an_empty_text() {
    in_time(|| {
        let refuse = |_: &str, _: &[u8], _: &[u8]| Err("".into());
        let server = started(Wire::mount("127.0.0.1:0").token_validator(refuse));
        let client = Wire::join(addr_of(&server).to_string()).build().unwrap();
        let refused = client.start().unwrap_err();
        assert!(matches!(refused, Error::SessionRefused { .. }), "{refused}");
        assert_eq!(server.sessions().len(), 0);
    });
}

#[test]
fn open_stream_times_out_while_too_many_streams_are_unacknowledged() {
    in_time(|| {
        let server = ScriptedServer::listen(Peer::confirm_session);
        // Long enough for the handshake too.
        let timeout = Duration::from_millis(800);
        let joining = Wire::join(server.addr.to_string()).handshake_timeout(timeout);
        let client = started(joining);
        let session = client.wait_session(PATIENCE).unwrap();
        let open = || session.open_stream_nowait("x");
        let waiting: Vec<Stream> = (0..256).map(|_| open().unwrap()).collect();
        thread::scope(|scope| {
            let opening = [scope.spawn(|| session.open_stream("x")), scope.spawn(open)];
            for opened in opening.map(|opening| opening.join().unwrap()) {
                assert!(matches!(opened, Err(Error::TimedOut { .. })), "{opened:?}");
            }
        });
        drop(waiting);
        // So that the client's close does not wait for the server.
        drop(server.accepted.recv().unwrap());
    });
}

#[test]
fn a_dial_waits_for_the_dial_timeout_and_not_for_the_write_timeout() {
    // After a second, the system sends the SYN again, and checks its timeouts.
    const DIAL: Duration = Duration::from_millis(1500);

    in_time(|| {
        let nobody = Unreachable::new();
        let client = Wire::join(nobody.addr.to_string())
            .read_write_timeouts(None, Duration::from_millis(100))
            .dial_timeout(DIAL)
            .retry_max(0)
            .build()
            .unwrap();
        let began = Instant::now();
        let error = client.start().unwrap_err();
        let took = began.elapsed();
        assert!(took >= DIAL, "{took:?}: {error}");
        let Error::Dial { cause, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(cause.kind(), io::ErrorKind::TimedOut, "{cause}");
    });
}

#[test]
fn a_failed_handshake_is_reported_with_both_addresses_and_the_identification() {
    in_time(|| {
        let addr = play(vec![Box::new(|mut client| {
            client.refuse_session(3, "full")?;
            io::copy(&mut client, &mut io::sink()).map(drop)
        })]);
        let (sender, told) = unbounded();
        let client = Wire::join(addr.to_string())
            .identification("box-1", "token")
            .on_error(move |error| {
                let addrs = (error.local_addr, error.peer_addr);
                let _ = sender.send((error.identification.clone(), addrs));
            })
            .retry_wait(Duration::from_secs(60), Duration::from_secs(60))
            .build()
            .unwrap();
        let started = starting(&client);
        let (identification, (local, peer)) = told.recv().unwrap();
        client.close().unwrap();
        let _ = started.join();
        assert_eq!(
            (identification.as_slice(), local.is_some(), peer),
            (&b"box-1"[..], true, Some(addr))
        );
    });
}

/// So that the report shows whose token was wrong.
#[test]
fn a_server_reports_the_identification_of_a_refused_client() {
    in_time(|| {
        let (sender, told) = unbounded();
        let server = Wire::mount("127.0.0.1:0")
            .token_validator(|_, _, _| Err("no".into()))
            .on_error(move |error| {
                let _ = sender.send(error.identification.clone());
            })
            .build()
            .unwrap();
        server.start().unwrap();
        let client = Wire::join(addr_of(&server).to_string())
            .identification("box-1", "token")
            .build()
            .unwrap();
        client.start().unwrap_err();
        assert_eq!(told.recv().unwrap(), b"box-1");
    });
}

/// It does not keep its place for the write timeout as well.
#[test]
fn a_silent_unauthenticated_peer_is_disconnected_at_the_handshake_timeout() {
    in_time(|| {
        let (handler, told) = errors();
        let server = Wire::mount("127.0.0.1:0")
            .handshake_timeout(Duration::from_millis(300))
            .read_write_timeouts(None, Duration::from_secs(6))
            .on_error(handler)
            .build()
            .unwrap();
        server.start().unwrap();
        let began = Instant::now();
        let mut silent = TcpStream::connect(addr_of(&server)).unwrap();
        // Until the end of the connection.
        io::copy(&mut silent, &mut io::sink()).unwrap();
        let took = began.elapsed();
        let (operation, _) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(operation, Operation::Handshake);
        assert!(took < Duration::from_secs(3), "{took:?}");
    });
}
