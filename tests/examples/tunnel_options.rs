//! The options of the tunnel's roles.

use crate::program::{DEADLINE, join, run};
use crate::tunnel::{TOKEN, Tunnel, assert_reads, connect, forward, service};
use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
};

#[test]
fn wrong_arguments_are_refused() {
    let complete = [
        "--name",
        "x",
        "--to",
        "127.0.0.1:22",
        "--listen",
        "127.0.0.1:0",
    ];
    for (role, args, reason) in [
        ("expose", &complete[..2], "--to <HOST:PORT>"),
        ("expose", &complete[2..4], "--name <NAME>"),
        ("expose", &complete[..], "--listen"),
        ("forward", &complete[..2], "--listen <HOST:PORT>"),
        ("expose", &["--name", "", "--to", "127.0.0.1:22"], "--name"),
        ("expose", &["--name", "x", "--to", "22"], "error: 22: "),
        ("expose", &["--service", "x"], "NAME=HOST:PORT"),
        ("expose", &["--service", "=127.0.0.1:22"], "NAME=HOST:PORT"),
        ("expose", &["--service", "x=22"], "error: 22: "),
        (
            "expose",
            &["--service", "x=[::1]:22", "--service", "x=[::1]:23"],
            "two services have the name \"x\"",
        ),
        (
            "forward",
            &["--name", "x", "--listen", "22"],
            "error: cannot listen at 22: ",
        ),
    ] {
        let args = [&[role], args].concat();
        run("tunnel", args).assert_failure(reason);
    }
    let long = "x".repeat(250);
    let args = ["expose", "--name", &long, "--to", "127.0.0.1:22"];
    run("tunnel", args).assert_failure("257 bytes");
}

#[test]
fn a_listening_name_is_reachable_at_all_its_addresses_and_a_port_at_all_interfaces() {
    let tunnel = Tunnel::new();
    let args = ["--name", "box:echo", "--token", "a secret", "--listen"];
    let addrs: Vec<_> = "localhost:0".to_socket_addrs().unwrap().collect();
    let of_name = join(
        "tunnel",
        "forward",
        &tunnel.addr,
        args.iter().chain(&["localhost:0"]),
    );
    let first: SocketAddr = of_name.address().parse().unwrap();
    for mut addr in addrs {
        addr.set_port(first.port());
        // Not every system has both IPv4 and IPv6.
        if TcpListener::bind((addr.ip(), 0)).is_ok() {
            let (client, served) = (
                connect(&addr.to_string()),
                tunnel.service.recv_timeout(DEADLINE),
            );
            drop((client, served.unwrap()));
        }
    }
    let of_port = join(
        "tunnel",
        "forward",
        &tunnel.addr,
        args.iter().chain(&[":0"]),
    );
    let entrance: SocketAddr = of_port.address().parse().unwrap();
    for ip in ["127.0.0.1", "::1"] {
        if TcpListener::bind((ip, 0)).is_ok() {
            let client = TcpStream::connect((ip, entrance.port())).unwrap();
            drop((client, tunnel.service.recv_timeout(DEADLINE).unwrap()));
        }
    }
    of_name.terminate();
    of_port.terminate();
    tunnel.end();
}

#[test]
fn one_program_exposes_several_services_and_the_refusal_of_one_does_not_affect_the_others() {
    let tunnel = Tunnel::new();
    let [(one, served_one), (two, served_two)] = [service(), service()];
    // `box:echo` is taken.
    let args = [
        "--service",
        &format!("box:one={one}"),
        "--service",
        &format!("box=two={two}"),
        "--service",
        "box:echo=127.0.0.1:22",
        "--fail-fast",
    ];
    let both = join("tunnel", "expose", &tunnel.addr, args.iter().chain(&TOKEN));
    let warning = both.warning("\"box:echo\" is not exposed");
    assert!(warning.contains("session refused"), "{warning}");
    for (name, served) in [("box:one", served_one), ("box=two", served_two)] {
        let (forward, entrance) = forward(&tunnel.addr, name, &TOKEN);
        let client = connect(&entrance);
        let mut served = served.recv_timeout(DEADLINE).unwrap();
        served.write_all(name.as_bytes()).unwrap();
        assert_reads(&client, name);
        drop((client, served));
        forward.terminate().assert_success();
    }
    both.terminate();
    tunnel.forward.terminate().assert_success();
    tunnel.expose.terminate().assert_success();
    // It reports the refusal.
    tunnel.hub.terminate();
}
