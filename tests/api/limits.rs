//! Limits, and the smallest and largest values of options and timeouts.

use crate::support::{
    PATIENCE,
    frames::{FIN, Frame, SYN},
    in_time,
    peer::Peer,
    wires::{Link, addr_of, as_it_is, errors, message, started},
    within,
};
use crossbeam_channel::{bounded, unbounded};
use socket2::{Domain, Socket, Type};
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};
use wirenet::{Builder, Error, Operation, Refusal, Wire, transport::Transport};

#[test]
fn hooks_do_not_count_as_handlers() {
    in_time(|| {
        let (entered, has_entered) = bounded(1);
        let (release, released) = bounded::<()>(0);
        let server = move |server: Builder| {
            let hooked = server.handler_limit(1).on_session_open(move |_| {
                entered.send(()).unwrap();
                assert!(released.recv().is_err());
            });
            hooked.stream("x", |_| Ok(()))
        };
        let link = Link::new(server, as_it_is);
        has_entered.recv().unwrap();
        link.near.open_stream("x").unwrap();
        drop(release);
    });
}

#[test]
fn idle_threads_of_hooks_do_not_raise_the_handler_limit() {
    in_time(|| {
        let (entered, has_entered) = unbounded();
        let (release, released) = bounded::<()>(0);
        let (end, ended) = bounded::<()>(0);
        let serving = Wire::mount("127.0.0.1:0").handler_limit(2);
        let server = started(
            serving
                .on_session_open(move |_| {
                    entered.send(()).unwrap();
                    assert!(released.recv().is_err());
                })
                .stream("x", move |_| {
                    assert!(ended.recv().is_err());
                    Ok(())
                }),
        );
        let addr = addr_of(&server).to_string();
        let clients: Vec<Wire> = (0..6).map(|_| started(Wire::join(&addr))).collect();
        // Each hook has a thread. When the hooks have returned, the threads are idle.
        has_entered.iter().take(clients.len()).for_each(drop);
        drop(release);
        let open = |client: &Wire| client.wait_session(PATIENCE).unwrap().open_stream("x");
        let (taken, refused): (Vec<_>, Vec<_>) = clients.iter().map(open).partition(Result::is_ok);
        assert_eq!((taken.len(), refused.len()), (2, 4));
        for error in refused.into_iter().map(Result::unwrap_err) {
            let Error::Refused { refusal, .. } = error else {
                panic!("{error}");
            };
            let busy = "wirenet: all 2 handlers are busy".into();
            assert!(refusal.is_for_now());
            assert_eq!(refusal, Refusal::Other(busy));
        }
        drop(end);
    });
}

#[test]
fn a_client_that_opens_streams_and_reads_no_answers_is_cut_off() {
    in_time(|| {
        let (handler, told) = errors();
        let serving = Wire::mount("127.0.0.1:0").send_buffer(4096);
        let server = started(serving.on_error(handler));
        let mut client = Peer::join(&server, [1; 16]);
        // All answers would be more than a megabyte.
        for batch in 0..1024 {
            let opened = (64 * batch..64 * (batch + 1)).map(|n| Frame::flags(2 * n + 3, SYN | FIN));
            let opened: Vec<Frame> = opened.collect();
            // Fails when the client is cut off, which the server reports.
            let _ = client.try_send(opened);
            // Each stream is reported as ended early, unless the session has ended.
            for (operation, cause) in told.iter().take(64) {
                if operation == Operation::Session {
                    let unread = "protocol error by the peer: too many unread answers: it sends \
                                  requests, and does not read";
                    return assert_eq!(cause, unread);
                }
            }
        }
        panic!("the client is never cut off");
    });
}

#[test]
fn no_timeout_is_too_long() {
    in_time(|| {
        let longest = |builder: Builder| builder.handshake_timeout(Duration::MAX);
        let link = Link::new(
            |server| longest(server).stream("hello", |stream| stream.write_message(b"hi")),
            longest,
        );
        let session = link.client.wait_session(Duration::MAX).unwrap();
        let stream = session.open_stream("hello").unwrap();
        stream.set_read_timeout(Some(Duration::MAX)).unwrap();
        stream.set_write_timeout(Some(Duration::MAX)).unwrap();
        assert_eq!(message(&stream).unwrap(), b"hi");
    });
}

#[test]
fn the_names_of_handlers_are_limited_by_what_a_handshake_can_carry() {
    in_time(|| {
        let named = |count: usize| {
            let long = |builder: Builder| builder.identification([1; 4096], [2; 4096]);
            move |builder| {
                (0..count).fold(long(builder), |builder, number| {
                    builder.stream(format!("{number:0255}"), |_| Ok(()))
                })
            }
        };
        let most = 128 * 1024 / 255;
        let link = Link::new(as_it_is, named(most));
        assert_eq!(link.far.stream_names().len(), most);
        let refused = named(most + 1)(Wire::join("host:80")).build().unwrap_err();
        assert!(matches!(refused, Error::Option { .. }), "{refused}");
    });
}

/// Asserts that a server and a client with these options open a session.
fn assert_connects(options: impl Fn(Builder) -> Builder + Send + 'static) {
    in_time(move || {
        let server = options(Wire::mount("127.0.0.1:0")).build().unwrap();
        server.start().unwrap();
        let addr = server.local_addr().unwrap().to_string();
        let client = options(Wire::join(addr)).retry_max(0).build().unwrap();
        client.start().unwrap();
        client.close().unwrap();
        server.close().unwrap();
    });
}

/// The kernel's keepalive interval is limited to 32,767 s.
#[test]
fn a_keep_alive_interval_may_be_a_day() {
    assert_connects(|builder| builder.keep_alive_interval(Duration::from_secs(24 * 3600)));
}

/// The kernel's user timeout is limited to 2³¹ ms.
#[test]
fn a_write_timeout_may_be_longer_than_the_kernel_supports() {
    assert_connects(|builder| builder.read_write_timeouts(None, Duration::MAX));
}

/// A timeout below a microsecond does not mean none: the last read of a handshake uses
/// what is left until the deadline, without a lower bound.
#[test]
fn a_read_timeout_below_a_microsecond_does_not_wait_forever() {
    use std::io::ErrorKind::{TimedOut, WouldBlock};

    within(Duration::from_secs(10), || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _far = listener.accept().unwrap();
        let mut halves = near.split().unwrap();
        halves
            .reader
            .set_timeout(Some(Duration::from_nanos(900)))
            .unwrap();
        let kind = halves.reader.read(&mut [0; 1]).unwrap_err().kind();
        assert!([TimedOut, WouldBlock].contains(&kind), "{kind:?}");
    });
}

/// With 0 streams, no session could open.
#[test]
fn max_streams_must_not_be_zero() {
    let built = Wire::mount("127.0.0.1:0").max_streams(0).build();
    assert!(matches!(built, Err(Error::Option { .. })));
}

/// An address without a host means both IP versions.
#[test]
fn a_port_that_is_taken_for_one_ip_version_is_taken() {
    let six = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    six.set_only_v6(true).unwrap();
    six.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    six.listen(1).unwrap();
    let port = six.local_addr().unwrap().as_socket().unwrap().port();
    let server = Wire::mount(format!(":{port}")).build().unwrap();
    let started = server.start();
    assert!(
        started.is_err(),
        "listens only at {:?}",
        server.local_addr()
    );
}
