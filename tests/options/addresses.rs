//! The addresses at which a wire listens, or that it dials.

use crate::support::{
    PATIENCE, in_time,
    process::{self, Other},
    tls,
    wires::{addr_of, assert_echoes, echo, joining, mounting, started},
};
use crossbeam_channel::bounded;
use std::{
    fs,
    io::{ErrorKind, Write},
    net::{
        IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, ToSocketAddrs,
    },
    process::Command,
    time::Duration,
};
use wirenet::{Error, Request, Wire};

fn echoing(addr: &str) -> Wire {
    started(Wire::mount(addr).stream("echo", echo))
}

fn assert_reaches(addr: &str) {
    let client = started(Wire::join(addr).retry_max(0));
    assert_echoes(&client.wait_session(PATIENCE).unwrap());
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn a_port_without_a_host_listens_on_all_interfaces_by_ipv4_and_ipv6() {
    in_time(|| {
        let server = echoing(":0");
        let addr = addr_of(&server);
        assert!(addr.ip().is_unspecified());
        let port = addr.port();
        assert_reaches(&format!("127.0.0.1:{port}"));
        assert_reaches(&format!("127.1.2.3:{port}"));
        if has_ipv6() {
            assert_reaches(&format!("[::1]:{port}"));
        }
    });
}

#[test]
fn the_addresses_of_an_ipv4_client_of_a_dual_stack_server_are_ipv4() {
    in_time(|| {
        for over_tls in [false, cfg!(feature = "tls")] {
            let (caller, callers) = bounded(1);
            let (tell, told) = bounded(1);
            let server = tls::server(Wire::mount(":0"), over_tls)
                .access(move |request| {
                    if let Request::Offer { who, .. } = request {
                        caller.send(who.addr()).unwrap();
                    }
                    Ok(())
                })
                .on_error(move |error| {
                    tell.send([error.local_addr, error.peer_addr]).unwrap();
                });
            let server = started(server);
            let addr = SocketAddr::from(([127, 0, 0, 1], addr_of(&server).port()));
            let client = Wire::join(addr.to_string()).stream("echo", echo);
            let client = started(tls::client(client, over_tls));
            let near = client.wait_session(PATIENCE).unwrap();
            let far = server.wait_session(PATIENCE).unwrap();
            assert_eq!(far.peer_addr(), near.local_addr());
            assert_eq!(far.local_addr(), Some(addr));
            assert_eq!(near.peer_addr(), Some(addr));
            assert_eq!(callers.recv().unwrap(), near.local_addr());
            let mut foreign = TcpStream::connect(addr).unwrap();
            foreign.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let local = foreign.local_addr().unwrap();
            assert_eq!(told.recv().unwrap(), [Some(addr), Some(local)]);
        }
    });
}

#[test]
fn a_port_without_a_host_dials_this_machine() {
    in_time(|| {
        let server = echoing(":0");
        assert_reaches(&format!(":{}", addr_of(&server).port()));
    });
}

#[test]
fn an_ipv6_address_is_written_in_brackets() {
    in_time(|| {
        if !has_ipv6() {
            return;
        }
        let server = echoing("[::1]:0");
        let addr = addr_of(&server);
        assert_eq!(addr.ip(), IpAddr::from(Ipv6Addr::LOCALHOST));
        let client = started(Wire::join(addr.to_string()));
        let session = client.wait_session(PATIENCE).unwrap();
        assert_eq!(session.peer_addr(), Some(addr));
        assert_eq!(client.local_addr(), session.local_addr());
        assert_echoes(&session);
    });
}

#[test]
fn an_ipv4_address_listens_on_that_interface_only() {
    in_time(|| {
        let server = echoing("127.0.0.1:0");
        let addr = addr_of(&server);
        assert_reaches(&addr.to_string());
        let elsewhere = format!("127.0.0.2:{}", addr.port());
        let client = Wire::join(elsewhere).retry_max(0).build().unwrap();
        let Err(Error::Dial { cause, .. }) = client.start() else {
            panic!("nothing listens there");
        };
        assert_eq!(cause.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_server_may_listen_at_a_host_name() {
    in_time(|| {
        let server = echoing("localhost:0");
        assert!(addr_of(&server).ip().is_loopback());
        assert_reaches(&addr_of(&server).to_string());
    });
}

#[test]
fn an_address_in_use_is_a_listen_error() {
    in_time(|| {
        let server = started(mounting());
        let addr = addr_of(&server).to_string();
        let second = Wire::mount(&addr).build().unwrap();
        let Err(Error::Listen {
            addr: reported,
            cause,
        }) = second.connect()
        else {
            panic!("the address is in use");
        };
        assert_eq!((reported, cause.kind()), (addr, ErrorKind::AddrInUse));
        // The port is free after the first server has closed, even while its
        // connections linger.
        let client = started(joining(&server));
        server.close().unwrap();
        second.start().unwrap();
        drop(client);
    });
}

#[test]
fn a_malformed_address_is_an_error_of_build() {
    for wrong in [
        "",
        "host",
        "host:",
        "host:99999",
        "::1:80",
        "[::1:80",
        "host:http",
    ] {
        for built in [
            Wire::join(wrong).build(),
            Wire::mount(wrong).build(),
            Wire::hub(wrong).build(),
        ] {
            let error = built.unwrap_err();
            assert!(matches!(error, Error::Option { .. }), "{error}");
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
    }
}

#[test]
fn a_host_name_that_does_not_resolve_is_a_dial_error() {
    in_time(|| {
        let client = Wire::join("no-such-host.invalid:1").retry_max(0);
        let error = client.build().unwrap().start().unwrap_err();
        assert!(matches!(error, Error::Dial { .. }), "{error}");
        assert!(error.to_string().contains("no-such-host.invalid:1"));
        // The name may resolve later.
        assert!(!error.is_permanent());
    });
}

// -- host names, in a process that can set their addresses --

const NAME: &str = "wirenet.test";

/// The other process of the tests below. It has a hosts file of its own, in a mount
/// namespace of its own.
#[test]
fn other_process() {
    let Some(role) = process::role() else {
        return;
    };
    in_time(move || {
        let (hosts, task) = role.split_once(' ').unwrap();
        let set_addrs = |addrs: &[&str]| {
            let mut file = fs::File::create(hosts).unwrap();
            for addr in addrs {
                writeln!(file, "{addr} {NAME}").unwrap();
            }
        };
        set_addrs(&["127.0.0.9"]);
        match task {
            "can" => {
                let addrs = (NAME, 1).to_socket_addrs();
                let can = addrs.is_ok_and(|mut addrs| {
                    addrs.next() == Some(SocketAddr::from(([127, 0, 0, 9], 1)))
                });
                process::tell(can).unwrap();
            }
            "each" => {
                let server = echoing("127.0.0.3:0");
                set_addrs(&["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
                assert_reaches(&format!("{NAME}:{}", addr_of(&server).port()));
                process::tell("done").unwrap();
            }
            "families" => {
                set_addrs(&["::1", "127.0.0.1"]);
                for listening in ["127.0.0.1:0", "[::1]:0", &format!("{NAME}:0")] {
                    let server = echoing(listening);
                    assert_reaches(&format!("{NAME}:{}", addr_of(&server).port()));
                }
                process::tell("done").unwrap();
            }
            "again" => {
                let server = echoing("127.0.0.3:0");
                set_addrs(&["127.0.0.2"]);
                let (failed, fails) = crossbeam_channel::unbounded();
                let client = Wire::join(format!("{NAME}:{}", addr_of(&server).port()))
                    .retry_policy(|_| Some(Duration::from_secs(3600)))
                    .on_error(move |error| failed.send(error.to_string()).unwrap());
                let client = client.build().unwrap();
                let starting = client.clone();
                let starter = std::thread::spawn(move || starting.start());
                fails.recv().unwrap();
                set_addrs(&["127.0.0.3"]);
                client.reconnect_now();
                starter.join().unwrap().unwrap();
                process::tell("done").unwrap();
            }
            _ => unreachable!("a task"),
        }
    });
}

/// Runs a task in another process. Returns `None` if the system does not allow it.
fn in_other_process(task: &str) -> Option<String> {
    let hosts = tempfile::NamedTempFile::new().unwrap();
    let path = hosts.path().to_str().unwrap();
    let mount = format!("mount --bind {path} /etc/hosts && exec \"$0\" \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &mount]);
    let role = format!("{path} {task}");
    let other = Other::start_in(command, "addresses::other_process", &role).ok()?;
    other.may_tell()
}

fn names_can_be_changed() -> bool {
    let can = in_other_process("can").is_some_and(|answer| answer == "true");
    if !can {
        println!("SKIPPED: this test needs a mount namespace");
    }
    can
}

#[test]
fn a_dial_tries_every_address_of_a_host_name() {
    if names_can_be_changed() {
        assert_eq!(in_other_process("each").unwrap(), "done");
    }
}

/// `localhost` is such a name on most machines.
#[test]
fn a_name_with_addresses_of_both_families_is_reached_at_either() {
    if has_ipv6() && names_can_be_changed() {
        assert_eq!(in_other_process("families").unwrap(), "done");
    }
}

#[test]
fn a_host_name_is_resolved_again_for_each_dial() {
    if names_can_be_changed() {
        assert_eq!(in_other_process("again").unwrap(), "done");
    }
}

#[test]
fn an_address_may_be_a_socket_address_or_a_host_and_a_port() {
    in_time(|| {
        let server = started(Wire::mount((Ipv4Addr::LOCALHOST, 0)).stream("echo", echo));
        let addr = addr_of(&server);
        for joining in [
            Wire::join(addr),
            Wire::join(("localhost", addr.port())),
            Wire::join((addr.ip(), addr.port())),
            Wire::join(format!("127.0.0.1:{}", addr.port())),
        ] {
            let client = joining.retry_max(0).build().unwrap();
            assert_echoes(&client.start_within(PATIENCE).unwrap());
        }
        let hub = started(Wire::hub(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        started(Wire::join(addr_of(&hub)));
    });
}

#[test]
fn the_scope_id_of_an_ipv6_address_is_kept() {
    in_time(|| {
        if !has_ipv6() {
            return;
        }
        let server = echoing("[::1]:0");
        // Each system has an interface with this index.
        let addr = SocketAddrV6::new(Ipv6Addr::LOCALHOST, addr_of(&server).port(), 0, 1);
        let client = Wire::join(addr).retry_max(0).build().unwrap();
        assert_echoes(&client.start_within(PATIENCE).unwrap());
        // No system has one with this.
        let addr = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 4_000_000_000);
        let client = Wire::join(addr).retry_max(0).build().unwrap();
        let error = client.start_within(PATIENCE).unwrap_err().to_string();
        assert!(error.contains("[fe80::1%4000000000]:80"), "{error}");
    });
}
