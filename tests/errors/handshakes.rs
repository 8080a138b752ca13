//! Peers that speak another protocol, or none.

use crate::{
    support::{
        PATIENCE,
        encoding::{OPEN_SESSION, layer_2, request},
        frames::{Frame, SYN},
        in_time,
        peer::{Peer, play},
        refusing::Refusing,
        tls,
        wires::{Told, addr_of, echo, errors, joining, mounting, started, starting},
    },
    table::row,
};
use crossbeam_channel::{Receiver, unbounded};
use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};
use wirenet::{Builder, Error, Operation, Wire, yamux};

/// A server, and the errors that it reports.
pub fn reporting(server: Builder) -> (Wire, Receiver<Told>) {
    let (handler, told) = errors();
    (started(server.on_error(handler)), told)
}

/// The next failure of a handshake.
pub fn failure(told: &Receiver<Told>) -> String {
    loop {
        match told.recv_timeout(PATIENCE).expect("a failure") {
            (Operation::Handshake, cause) => return cause,
            _ => continue,
        }
    }
}

/// Sends `first` one byte at a time, and ends the connection.
fn send_byte_by_byte(addr: SocketAddr, first: &[u8]) {
    let mut peer = TcpStream::connect(addr).unwrap();
    peer.set_nodelay(true).unwrap();
    for byte in first {
        // The server may have read enough.
        if peer.write_all(&[*byte]).is_err() {
            break;
        }
    }
    let _ = peer.shutdown(Shutdown::Write);
    let _ = io::copy(&mut peer, &mut io::sink());
}

/// What other clients send first, and what the error must say about them.
const CLIENTS: &[(&str, &[u8], &str)] = &[
    (
        "a TLS client",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x8b",
        "the client speaks TLS; this server has no `.tls(…)`",
    ),
    (
        "an HTTP client",
        b"GET / HTTP/1.1\r\n\r\n",
        "speaks HTTP, not wirenet",
    ),
    (
        "an HTTP/2 client",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        "speaks HTTP/2, not wirenet",
    ),
    (
        "an ssh client",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        "speaks SSH, not wirenet",
    ),
    (
        "a Redis client",
        b"*1\r\n$4\r\nPING\r\n",
        "speaks Redis, not wirenet",
    ),
    (
        "a PostgreSQL client",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        "speaks PostgreSQL, not wirenet",
    ),
    (
        "an RDP client",
        b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0",
        "speaks RDP, not wirenet",
    ),
    (
        "an SMB client",
        b"\0\0\0\x54\xfeSMB@\0\0\0\0\0\0\0",
        "speaks SMB, not wirenet",
    ),
    (
        "something else",
        b"\x7fhello\nworld\x1b[2J",
        r#"the client does not speak wirenet: it began with "\x7fhello\nworld"#,
    ),
    (
        "something that begins with a zero",
        b"\0\x09hello, world",
        r#"the client does not speak wirenet: it began with "\x00\thello"#,
    ),
];

#[test]
fn a_server_names_the_protocol_of_a_client_that_speaks_another() {
    in_time(|| {
        let (server, told) = reporting(mounting());
        for (who, first, expected) in CLIENTS {
            // In one piece, and byte by byte.
            let mut peer = TcpStream::connect(addr_of(&server)).unwrap();
            peer.write_all(first).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let whole = failure(&told);
            row(format!("{who} at a server"), &whole, &[expected]);
            send_byte_by_byte(addr_of(&server), first);
            // A header is judged when it is complete.
            let by_bytes = failure(&told);
            let begun = by_bytes.trim_end_matches('"');
            assert!(whole.starts_with(begun), "{by_bytes}");
        }
    });
}

/// A server that reads something from its first client, sends it `first`, and ends the
/// connection.
fn serving(first: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || -> io::Result<()> {
        let (mut client, _) = listener.accept()?;
        client.read_exact(&mut [0; 12])?;
        client.write_all(first)?;
        client.shutdown(Shutdown::Write)?;
        io::copy(&mut client, &mut io::sink())?;
        Ok(())
    });
    addr
}

fn joining_at(addr: SocketAddr) -> Builder {
    Wire::join(addr.to_string()).retry_max(0)
}

fn start_error(client: Builder) -> Error {
    client.build().unwrap().start().unwrap_err()
}

#[test]
fn a_client_names_the_protocol_of_a_server_that_speaks_another() {
    in_time(|| {
        for (who, first, expected) in [
            (
                "a TLS server",
                &b"\x15\x03\x03\0\x02\x02\x0a"[..],
                " speaks TLS; this client has no `.tls(…)`",
            ),
            (
                "an HTTP server",
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
                " speaks HTTP, not wirenet",
            ),
            (
                "an ssh server",
                b"SSH-2.0-OpenSSH_9.2\r\n",
                " speaks SSH, not wirenet",
            ),
            (
                "an FTP server",
                b"220 (vsFTPd 3.0.3)\r\n",
                " speaks SMTP or FTP, not wirenet",
            ),
            (
                "a Redis server",
                b"-ERR unknown command\r\n",
                " speaks Redis, not wirenet",
            ),
            (
                "a server that closes without a word",
                b"",
                "; does it need TLS",
            ),
        ] {
            let addr = serving(first);
            let error = start_error(joining_at(addr));
            let named = format!("the server at {addr}");
            row(format!("a client at {who}"), &error, &[&named, expected]);
            let Error::Explained { cause, .. } = &error else {
                panic!("{error:?}");
            };
            assert!(matches!(**cause, Error::Connection(_)), "{cause:?}");
            assert!(!error.is_permanent());
            // The explanation does not change the kind.
            let kind = io::Error::from((**cause).clone()).kind();
            let error = io::Error::from(error);
            assert_eq!(error.kind(), kind);
            assert!(error.get_ref().is_some_and(|inner| inner.is::<Error>()));
        }
    });
}

#[test]
fn a_server_that_says_nothing_is_named_as_such() {
    in_time(|| {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = silent.local_addr().unwrap();
        let client = joining_at(addr);
        let error = start_error(client.handshake_timeout(Duration::from_millis(50)));
        let expected = format!("no answer from the server at {addr}, which accepted");
        row(
            "a silent server",
            &error,
            &[&expected, "is it a wirenet server?", "within 50ms"],
        );
        assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    });
}

#[test]
fn yamux_without_a_session_handshake_is_named_as_such() {
    in_time(|| {
        let (server, told) = reporting(mounting());
        let (hub, hub_told) = reporting(Wire::hub("127.0.0.1:0"));
        for (who, wire, told) in [("server", server, told), ("hub", hub, hub_told)] {
            let mut bare = Peer::dial(addr_of(&wire));
            bare.send([
                Frame::flags(1, SYN),
                Frame::data(1, b"hello, anybody?".to_vec()),
            ]);
            let expected = [
                "malformed session handshake",
                "does the client speak yamux without wirenet's session handshake?",
            ];
            row(format!("bare yamux at a {who}"), failure(&told), &expected);
        }
        // An echo server that speaks yamux, for example.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || -> io::Result<()> {
            let bare = yamux::Connection::server(listener.accept()?.0, Default::default())?;
            let mut stream = bare.accept()?;
            stream.write_all(&layer_2(OPEN_SESSION, "openSession", b""))?;
            io::copy(&mut stream, &mut io::sink())?;
            Ok(())
        });
        let error = start_error(joining_at(addr));
        let named = format!("does the server at {addr} speak yamux");
        let expected = "without wirenet's session handshake?";
        row(
            "a client at a bare yamux server",
            error,
            &[&named, expected],
        );
    });
}

/// A peer leaves before its first byte: by closing, and by a reset.
fn check_health(addr: SocketAddr) {
    drop(TcpStream::connect(addr).unwrap());
    let reset = TcpStream::connect(addr).unwrap();
    socket2::SockRef::from(&reset)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[test]
fn a_peer_that_leaves_before_its_first_byte_is_not_reported_and_one_that_sent_something_is() {
    in_time(|| {
        for over_tls in [false, cfg!(feature = "tls")] {
            // No peer is evicted, however slowly the server's threads run.
            let server = mounting().max_handshakes(1_000);
            let (server, told) = reporting(tls::server(server, over_tls));
            for _ in 0..100 {
                check_health(addr_of(&server));
            }
            for first in [&b"\0"[..], b"\x16", b"x"] {
                send_byte_by_byte(addr_of(&server), first);
                failure(&told);
            }
            server.close().unwrap();
            drop(server);
            let others: Vec<Told> = told.try_iter().collect();
            assert!(others.is_empty(), "{others:?}");
        }
    });
}

#[cfg(feature = "tls")]
#[test]
fn a_peer_without_tls_is_named_at_both_sides() {
    in_time(|| {
        let (server, told) = reporting(tls::server(mounting(), true));
        let error = start_error(joining(&server).retry_max(0));
        let expected = "speaks TLS; this client has no `.tls(…)`";
        row("a client without TLS at a TLS server", error, &[expected]);
        let expected = "the client did not begin with TLS, but with plain yamux";
        row("the same, at the server", failure(&told), &[expected]);
        let mut http = TcpStream::connect(addr_of(&server)).unwrap();
        http.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let expected = "the client did not begin with TLS, but with HTTP (\"GET / HTTP/1.1\")";
        row(
            "an HTTP client at a TLS server",
            failure(&told),
            &[expected],
        );

        let (server, told) = reporting(mounting());
        let client = tls::client(joining(&server).retry_max(0), true);
        let error = start_error(client);
        row(
            "a TLS client at a server without TLS",
            error,
            &["the server did not answer with TLS", "is TLS off there"],
        );
        let expected = "the client speaks TLS; this server has no `.tls(…)`";
        row("the same, at the server", failure(&told), &[expected]);
    });
}

#[test]
fn an_address_that_cannot_be_reached_is_named_in_the_first_error() {
    in_time(|| {
        let refusing = Refusing::new();
        let refused = refusing.addr.to_string();
        for addr in ["no-such-host.invalid:8989", &*refused] {
            let (handler, told) = errors();
            let client = Wire::join(addr).on_error(handler).build().unwrap();
            let starter = starting(&client);
            let (operation, cause) = told.recv_timeout(PATIENCE).unwrap();
            row(addr, &cause, &[&format!("cannot connect to {addr}: ")]);
            assert_eq!(operation, Operation::Dial);
            client.close().unwrap();
            starter.join().unwrap().unwrap_err();
        }
    });
}

#[test]
fn a_refused_stream_says_what_to_do() {
    in_time(|| {
        let hub = started(Wire::hub("127.0.0.1:0"));
        let server = started(mounting().stream("echo", echo));
        for (who, wire) in [("server", server), ("hub", hub)] {
            let client = started(joining(&wire));
            let error = client.sessions()[0].open_stream("ecko").unwrap_err();
            let expected = [
                "stream \"ecko\" refused: no handler for this name",
                "at a hub: no connected client offers it",
            ];
            row(format!("an unknown name at a {who}"), error, &expected);
        }
        for (text, expected) in [
            (
                "wirenet: session not found",
                "try again once it is connected",
            ),
            (
                "wirenet: session closed",
                "open the stream on the next session",
            ),
            ("not for\nyou", "stream \"s\" refused: not for\\nyou"),
        ] {
            let addr = play(vec![Box::new(move |mut client: Peer| {
                client.confirm_session()?;
                let open = client.next_open();
                client.refuse(&open, text);
                io::copy(&mut client, &mut io::sink())?;
                Ok(())
            })]);
            let client = started(joining_at(addr).session_close_timeout(Duration::ZERO));
            let error = client.sessions()[0].open_stream("s").unwrap_err();
            row(format!("a refusal with {text:?}"), error, &[expected]);
        }
    });
}

#[test]
fn two_clients_with_one_identification_are_named_at_the_hub_and_at_the_client_that_lost() {
    in_time(|| {
        let (sender, told) = unbounded();
        let hub = Wire::hub("127.0.0.1:0").on_error(move |error| {
            // The whole text has the address of the client that took over.
            let _ = sender.send((error.operation.clone(), error.to_string()));
        });
        let hub = started(hub);
        let (handler, lost) = errors();
        let handler = Arc::new(handler);
        let clients = [(); 2].map(|()| {
            let handler = Arc::clone(&handler);
            let client = joining(&hub)
                .identification("box-1", "secret")
                .stream("backup", echo)
                .retry_wait(Duration::from_millis(1), Duration::from_secs(60))
                .on_error(move |error| handler(error));
            started(client)
        });
        // A handshake that a takeover has cut may be reported first.
        let at_the_hub = loop {
            let text = failure(&told);
            if text.contains("took over") {
                break text;
            }
        };
        let ports: BTreeSet<u16> = at_the_hub
            .split("127.0.0.1:")
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap())
            .map(|port| port.parse().unwrap())
            .collect();
        let of_clients = ports.len() - usize::from(ports.contains(&addr_of(&hub).port()));
        assert_eq!(of_clients, 2, "both are named: {at_the_hub}");
        let expected = [
            "took over the session of the client at 127.0.0.1:",
            "do two clients use it? Give each its own",
        ];
        row(
            "two clients with one identification, at their hub",
            at_the_hub,
            &expected,
        );
        let expected = "does another client use the identification \"box-1\"?";
        let at_the_loser = loop {
            let (operation, cause) = lost.recv_timeout(PATIENCE).expect("a lost session");
            if operation == Operation::Session && cause.contains(expected) {
                break cause;
            }
        };
        let expected = [
            "the server ended 3 sessions in a row",
            "is the server restarting",
            expected,
        ];
        row("the same, at the client that lost", at_the_loser, &expected);
        for client in clients {
            // The other client may have taken over its session meanwhile.
            let _ = client.close();
        }
        let again = told
            .try_iter()
            .filter(|(_, cause)| cause.contains("took over"));
        assert_eq!(again.count(), 0, "it is reported once in a while");
    });
}

#[test]
fn a_client_that_reconnects_is_not_taken_for_two() {
    in_time(|| {
        let (hub, told) = reporting(Wire::hub("127.0.0.1:0"));
        // Its old connection is still open at the hub. Then it is closed before it returns.
        let request = request("box-1", &["backup"]);
        let (_old, _) = Peer::request(addr_of(&hub), &request);
        let (new, _) = Peer::request(addr_of(&hub), &request);
        drop(new);
        for _ in 0..5 {
            let client = joining(&hub).identification("box-1", "secret");
            let client = started(client.stream("backup", echo).retry_max(None));
            client.close().unwrap();
        }
        hub.close().unwrap();
        drop(hub);
        let told: Vec<Told> = told.iter().collect();
        let contested = told
            .iter()
            .filter(|(_, cause)| cause.contains("two clients"));
        assert_eq!(contested.count(), 0, "{told:?}");
    });
}
