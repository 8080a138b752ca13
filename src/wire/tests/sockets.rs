//! Socket options of the two ends of an established session.

use crate::{
    wire::{
        Builder, Wire,
        run::{addr::Addr, client::Client, dial::dial, server, socket},
        state::{error_context::ErrorContext, options::LONGEST_TCP_TIMER},
    },
    yamux::Role,
};
use socket2::{Domain, SockRef, Socket, Type};
use std::time::Duration;
#[cfg(unix)]
use std::{
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

type Set = fn(Builder) -> Builder;

/// Returns two connected sockets that refuse every option of TCP, as sockets of a small
/// kernel refuse some of them.
#[cfg(unix)]
fn sockets_without_tcp_options() -> [TcpStream; 2] {
    let (one, other) = UnixStream::pair().unwrap();
    [one, other].map(|end| OwnedFd::from(end).into())
}

/// Calls `check` with the socket that was dialled and the one that was accepted, while a
/// session is open between them; over TCP, and over TLS.
fn for_both_sides(set: Set, check: impl Fn(&SockRef<'_>)) {
    check_session(set, set, &check);
    #[cfg(feature = "tls")]
    {
        use crate::{TlsClient, TlsServer, tls::new_certificates};

        let certificates = new_certificates();
        let dialling = TlsClient::pinned(certificates.fingerprint());
        let accepting = TlsServer::new(certificates).unwrap();
        check_session(
            |server| set(server).tls(accepting),
            |client| set(client).tls(dialling),
            &check,
        );
    }
}

fn check_session(
    server: impl FnOnce(Builder) -> Builder,
    client: impl FnOnce(Builder) -> Builder,
    check: impl Fn(&SockRef<'_>),
) {
    let server = server(Wire::mount("127.0.0.1:0")).build().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = server::listen_at(any, server.state()).unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let client = client(Wire::join(&addr)).build().unwrap();
    let addr = Addr::parse("join", Role::Client, addr).unwrap();
    let dialled = dial(client.state(), &addr).unwrap();
    let (accepted, peer) = listener.accept().unwrap();
    let ends = [&dialled, &accepted].map(|end| end.try_clone().unwrap());
    server::admit(server.state(), accepted, peer);
    let about = ErrorContext::connection(&dialled);
    let opened = Client::new(addr).open_session(client.state(), dialled, &about);
    let _session = opened.unwrap();
    for end in &ends {
        check(&SockRef::from(end));
    }
}

#[test]
fn nagles_algorithm_is_off() {
    for_both_sides(|wire| wire, |socket| assert!(socket.tcp_nodelay().unwrap()));
}

#[test]
fn buffers_have_the_size_of_the_options() {
    // The kernel doubles the value that is set, so compare with another socket.
    let expected = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    expected.set_send_buffer_size(50_000).unwrap();
    expected.set_recv_buffer_size(60_000).unwrap();
    for_both_sides(
        |wire| wire.send_buffer(50_000).recv_buffer(60_000),
        |socket| {
            let sizes = (socket.send_buffer_size(), socket.recv_buffer_size());
            assert_eq!(sizes.0.unwrap(), expected.send_buffer_size().unwrap());
            assert_eq!(sizes.1.unwrap(), expected.recv_buffer_size().unwrap());
        },
    );
}

/// Checks the time and interval of TCP keepalive, and the user timeout, in seconds.
fn assert_tcp_timers(set: Set, keep_alive: Option<[u64; 2]>, user_timeout: u64) {
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
fn tcp_timers_follow_the_options() {
    // A third of ten seconds, in whole seconds.
    assert_tcp_timers(|wire| wire, Some([15, 3]), 10);
    let other: Set = |wire| {
        wire.keep_alive_interval(Duration::from_secs(40))
            .read_write_timeouts(None, Duration::from_secs(21))
    };
    assert_tcp_timers(other, Some([40, 7]), 21);
}

#[test]
fn without_keep_alive_tcp_keepalive_is_off() {
    assert_tcp_timers(|wire| wire.keep_alive(false), None, 10);
}

#[test]
fn durations_outside_the_range_of_the_kernel_are_clamped() {
    let long: Set = |wire| {
        let days = Duration::from_secs(500_000);
        wire.keep_alive_interval(days)
            .read_write_timeouts(None, days)
    };
    let longest = LONGEST_TCP_TIMER.as_secs();
    assert_tcp_timers(long, Some([longest, longest]), longest);
    let short: Set = |wire| {
        wire.keep_alive_interval(Duration::from_millis(100))
            .read_write_timeouts(None, Duration::from_millis(900))
    };
    assert_tcp_timers(short, Some([1, 1]), 1);
}

/// Old kernels, WSL 1 and gVisor lack some of TCP's options.
#[cfg(unix)]
#[test]
fn a_session_is_opened_on_sockets_that_refuse_every_option_of_tcp() {
    let server = Wire::mount("127.0.0.1:0").build().unwrap();
    let client = Wire::join("127.0.0.1:1").build().unwrap();
    let [accepted, dialled] = sockets_without_tcp_options();
    let peer = "127.0.0.1:1".parse().unwrap();
    server::admit(server.state(), accepted, peer);
    // What a dial sets once it is connected.
    socket::watch(&SockRef::from(&dialled), &client.state().options);
    let about = ErrorContext::connection(&dialled);
    let addr = Addr::parse("join", Role::Client, "127.0.0.1:1".into()).unwrap();
    let opened = Client::new(addr).open_session(client.state(), dialled, &about);
    opened.unwrap();
}

/// The options are set one by one if the kernel does not take all.
#[cfg(unix)]
#[test]
fn a_refused_option_does_not_keep_the_others_from_being_set() {
    let [socket, _] = sockets_without_tcp_options();
    let socket = SockRef::from(&socket);
    let wire = Wire::mount("127.0.0.1:0").send_buffer(50_000);
    let wire = wire.build().unwrap();
    socket.set_tcp_nodelay(true).unwrap_err();
    socket::watch(&socket, &wire.state().options);
    assert!(socket.keepalive().unwrap());
}

#[cfg(unix)]
#[test]
fn sizes_of_buffers_that_the_system_refuses_are_ignored() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let wire = Wire::mount("127.0.0.1:0");
    let wire = wire.send_buffer(50_000).recv_buffer(50_000);
    let pipe = SockRef::from(&writer);
    pipe.set_send_buffer_size(50_000).unwrap_err();
    socket::set_buffers(&pipe, &wire.build().unwrap().state().options);
}
