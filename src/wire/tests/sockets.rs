//! The options of the sockets of an established session.

use crate::wire::{
    Builder, Wire,
    run::{addr::Addr, client::Client, dial::dial, server, socket::LONGEST},
    state::error_context::ErrorContext,
};
use socket2::{Domain, SockRef, Socket, Type};
use std::time::Duration;

type Set = fn(Builder) -> Builder;

/// Has `look` see the socket that was dialled and the one that was accepted,
/// while a session stands between them; over TCP, and over TLS.
fn for_both_sides(set: Set, look: impl Fn(&SockRef<'_>)) {
    look_at_session(set, set, &look);
    #[cfg(feature = "tls")]
    {
        use crate::{TlsClient, TlsServer, tls::new_certificates};

        let certificates = new_certificates();
        let dialling = TlsClient::pinned(certificates.fingerprint());
        let accepting = TlsServer::new(certificates).unwrap();
        look_at_session(
            |server| set(server).tls(accepting),
            |client| set(client).tls(dialling),
            &look,
        );
    }
}

fn look_at_session(
    server: impl FnOnce(Builder) -> Builder,
    client: impl FnOnce(Builder) -> Builder,
    look: impl Fn(&SockRef<'_>),
) {
    let server = server(Wire::mount("127.0.0.1:0")).build().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = server::listen_at(any, server.state()).unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let client = client(Wire::join(&addr)).build().unwrap();
    let addr = Addr::parse("join", addr).unwrap();
    let dialled = dial(client.state(), &addr).unwrap();
    let (accepted, peer) = listener.accept().unwrap();
    let ends = [&dialled, &accepted].map(|end| end.try_clone().unwrap());
    server::admit(server.state(), accepted, peer);
    let about = ErrorContext::connection(&dialled);
    let opened = Client::new(addr).open_session(client.state(), dialled, &about);
    let _stands = opened.unwrap();
    for end in &ends {
        look(&SockRef::from(end));
    }
}

#[test]
fn what_is_written_is_not_held_back() {
    for_both_sides(|wire| wire, |socket| assert!(socket.tcp_nodelay().unwrap()));
}

#[test]
fn buffers_are_as_large_as_was_asked_for() {
    // The kernel takes what is asked for times two.
    let like = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    like.set_send_buffer_size(50_000).unwrap();
    like.set_recv_buffer_size(60_000).unwrap();
    for_both_sides(
        |wire| wire.send_buffer(50_000).recv_buffer(60_000),
        |socket| {
            let sizes = (socket.send_buffer_size(), socket.recv_buffer_size());
            assert_eq!(sizes.0.unwrap(), like.send_buffer_size().unwrap());
            assert_eq!(sizes.1.unwrap(), like.recv_buffer_size().unwrap());
        },
    );
}

/// Keepalive's time and interval, and the user timeout, in seconds.
fn assert_watches(set: Set, keep_alive: Option<[u64; 2]>, user_timeout: u64) {
    for_both_sides(set, |socket| {
        assert_eq!(socket.keepalive().unwrap(), keep_alive.is_some());
        if let Some([time, interval]) = keep_alive.map(|times| times.map(Duration::from_secs)) {
            assert_eq!(socket.tcp_keepalive_time().unwrap(), time);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), interval);
        }
        let timeout = socket.tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(Duration::from_secs(user_timeout)));
    });
}

#[test]
fn the_kernel_watches_the_peer_as_the_options_say() {
    // A third of ten seconds, in whole ones.
    assert_watches(|wire| wire, Some([15, 3]), 10);
    let other: Set = |wire| {
        wire.keep_alive_interval(Duration::from_secs(40))
            .read_write_timeouts(None, Duration::from_secs(21))
    };
    assert_watches(other, Some([40, 7]), 21);
}

#[test]
fn without_keepalive_the_kernel_sends_none_either() {
    assert_watches(|wire| wire.keep_alive(false), None, 10);
}

#[test]
fn times_that_a_kernel_does_not_take_are_the_nearest_that_it_takes() {
    let long: Set = |wire| {
        let days = Duration::from_secs(500_000);
        wire.keep_alive_interval(days)
            .read_write_timeouts(None, days)
    };
    let longest = LONGEST.as_secs();
    assert_watches(long, Some([longest, longest]), longest);
    let short: Set = |wire| {
        wire.keep_alive_interval(Duration::from_millis(100))
            .read_write_timeouts(None, Duration::from_millis(900))
    };
    assert_watches(short, Some([1, 1]), 1);
}
