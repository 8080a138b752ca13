//! Edges that are easily missed: what one call may do to another, and what a
//! timeout, an option or an address means at its end.

mod support;

use crossbeam_channel::{bounded, unbounded};
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};
use support::{
    frames::{ACK, Frame, PING, SYN},
    hand::{confirmation, play, refuse_session},
    in_time,
    link::{Link, addr_of, assert_echoes, echo},
    unreachable::Unreachable,
    within,
};
use wirenet::{Error, Wire, transport::Transport};

/// The natural echo: a message read by a Reader, written back by a Writer, on
/// one thread. The peer resets the stream in between.
#[test]
fn a_write_beside_a_reader_of_the_same_thread_fails_when_the_peer_resets() {
    let (ready, is_ready) = bounded(1);
    let (go, may_go) = bounded(1);
    let (done, is_done) = bounded(1);
    let link = Link::new(
        |server| {
            server.stream("echo", echo).stream("back", move |stream| {
                let mut reader = stream.reader();
                let mut writer = stream.writer();
                io::Read::read_exact(&mut reader, &mut [0; 5])?;
                ready.send(()).unwrap();
                may_go.recv().unwrap();
                let outcome = io::Write::write_all(&mut writer, b"hello");
                let _ = done.send(outcome.map_err(|error| error.kind()));
                Ok(())
            })
        },
        |client| client,
    );
    let stream = link.near.open_stream("back").unwrap();
    io::Write::write_all(&mut &stream, b"hello").unwrap();
    is_ready.recv().unwrap();
    stream.reset();
    // The reset has arrived: what came after it was answered.
    assert_echoes(&link.near);
    go.send(()).unwrap();
    let outcome = is_done.recv_timeout(Duration::from_secs(5));
    // Neither does a close wake it.
    let closed = link.server.close();
    assert_eq!(
        outcome,
        Ok(Err(io::ErrorKind::ConnectionReset)),
        "{closed:?}"
    );
}

/// A timeout below a microsecond is none for ever: the handshake's last read
/// before its deadline asks for what is left, without a lower bound.
#[test]
fn a_read_timeout_of_less_than_a_microsecond_is_not_for_ever() {
    within(Duration::from_secs(10), || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _far = listener.accept().unwrap();
        let mut halves = near.split().unwrap();
        halves
            .reader
            .set_timeout(Some(Duration::from_nanos(900)))
            .unwrap();
        halves.reader.read(&mut [0; 1]).unwrap_err();
    });
}

/// Has a client answer pings, one after another, until so much time has passed.
fn exchange_pings(mut client: &TcpStream, time: Duration) -> io::Result<()> {
    let began = Instant::now();
    let ping = Frame {
        kind: PING,
        ..Frame::flags(0, SYN)
    };
    while began.elapsed() < time {
        client.write_all(&ping.encode())?;
        let answer = Frame::read(client)?.expect("an answer");
        assert_eq!((answer.kind, answer.flags), (PING, ACK));
    }
    Ok(())
}

/// A server that has more to say before it confirms, and closes at once: no
/// session has lived for a while.
#[test]
fn the_time_of_the_opening_is_not_the_life_of_a_session() {
    in_time(|| {
        const PARTS: usize = 8;
        /// A session that lives for so long is no failure.
        const LIFE: Duration = Duration::from_millis(500);
        let (count, counted) = unbounded();
        let part = || {
            let count = count.clone();
            let part: support::hand::Part = Box::new(move |mut client| {
                count.send(()).unwrap();
                let confirmation = confirmation(&client)?;
                exchange_pings(&client, LIFE)?;
                client.write_all(&confirmation)
            });
            part
        };
        let addr = play((0..PARTS).map(|_| part()).collect());
        let client = Wire::join(addr.to_string())
            .retry_wait(Duration::from_millis(1), LIFE)
            .retry_max(2)
            .on_error(|_| {})
            .build()
            .unwrap();
        let _ = client.connect();
        assert_eq!(counted.try_iter().count(), 3);
    });
}

#[test]
fn a_dial_waits_for_its_own_timeout_and_not_for_that_of_writes() {
    in_time(|| {
        let nobody = Unreachable::new();
        let client = Wire::join(nobody.addr.to_string())
            .read_write_timeouts(None, Duration::from_secs(1))
            .dial_timeout(Duration::from_secs(2))
            .retry_max(0)
            .build()
            .unwrap();
        let began = Instant::now();
        let error = client.start().unwrap_err();
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(2), "{took:?}: {error}");
    });
}

#[test]
fn a_client_whose_handshake_failed_tells_both_addresses_and_who_it_is() {
    in_time(|| {
        let addr = play(vec![Box::new(|client| {
            refuse_session(&client, 3, "full")?;
            io::copy(&mut &client, &mut io::sink()).map(drop)
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
        let starting = client.clone();
        let started = thread::spawn(move || starting.start());
        let (identification, (local, peer)) = told.recv().unwrap();
        client.close().unwrap();
        let _ = started.join();
        assert_eq!(
            (identification.as_slice(), local.is_some(), peer),
            (&b"box-1"[..], true, Some(addr))
        );
    });
}

/// Whose token was wrong?
#[test]
fn a_server_tells_who_was_refused() {
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

/// As 0 of the other limits is refused: with 0 streams no session can open.
#[test]
fn no_streams_at_all_is_no_option() {
    let built = Wire::mount("127.0.0.1:0").max_streams(0).build();
    assert!(matches!(built, Err(Error::Option { .. })));
}

/// Without a host, half of what was asked for is not enough.
#[test]
fn a_port_of_which_one_version_is_taken_is_taken() {
    let six = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    six.set_only_v6(true).unwrap();
    six.bind(&"[::]:0".parse::<std::net::SocketAddr>().unwrap().into())
        .unwrap();
    six.listen(1).unwrap();
    let port = six.local_addr().unwrap().as_socket().unwrap().port();
    let server = Wire::mount(format!(":{port}")).build().unwrap();
    let started = server.start();
    assert!(
        started.is_err(),
        "listens at {:?} alone",
        server.local_addr()
    );
}
