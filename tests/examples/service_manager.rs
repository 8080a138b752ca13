//! The tunnel as a service manager runs it: programs that are killed and started
//! again, that are started before their hub, and whose output nobody reads.

#![cfg(target_os = "linux")]

use crate::program::{DEADLINE, NONE, Program, example, example_path, join, serve};
use crate::refusing::Refusing;
use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Command,
    thread,
    time::Duration,
};
use wirenet::Wire;

const HUB: [&str; 2] = ["hub", "--addr"];

/// Starts a service that echoes. Returns its address.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let tcp = tcp.unwrap();
            io::copy(&mut &tcp, &mut &tcp).unwrap();
            tcp.shutdown(Shutdown::Write).unwrap();
        }
    });
    addr
}

#[track_caller]
fn assert_echoes(entrance: &str) {
    let mut tcp = TcpStream::connect(entrance).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    tcp.write_all(b"question").unwrap();
    tcp.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "question");
}

fn expose(addr: &str, to: &str, args: &[&str]) -> Program {
    let own = ["--name", "box:echo", "--to", to];
    join("tunnel", "expose", addr, own.iter().chain(args))
}

/// Also returns the address to connect to.
fn forward(addr: &str) -> (Program, String) {
    let args = ["--name", "box:echo", "--listen", "127.0.0.1:0"];
    let forward = join("tunnel", "forward", addr, args);
    let entrance = forward.address();
    forward.line("connected");
    (forward, entrance)
}

/// Runs an example with signals that are ignored at its start.
fn ignoring(signals: &str, name: &str) -> Command {
    let mut command = Command::new("sh");
    let line = format!("trap '' {signals}; exec \"$0\" \"$@\"");
    command.args(["-c", &line]).arg(example_path(name));
    command.env_remove("RUST_LOG");
    command
}

/// A stderr or stdout that accepts nothing until it is read.
fn full() -> (UnixStream, OwnedFd) {
    let (reader, mut writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    let error = loop {
        if let Err(error) = writer.write_all(b"x") {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    writer.set_nonblocking(false).unwrap();
    (reader, writer.into())
}

/// A stderr or stdout whose reader is gone.
fn closed() -> OwnedFd {
    UnixStream::pair().unwrap().0.into()
}

/// The old program is frozen. The hub does not learn of its end, as if its machine had lost
/// power.
#[test]
fn a_restarted_service_with_an_id_takes_its_name_back() {
    let (hub, addr) = serve("tunnel", "hub", NONE);
    let to = echo();
    let id = ["--id", "box-1"];
    let frozen = expose(&addr, &to, &id);
    frozen.line("connected");
    frozen.signal("STOP");
    // With `--fail-fast`: the first attempt succeeds.
    let restarted = expose(&addr, &to, &["--id", "box-1", "--fail-fast"]);
    restarted.line("connected");
    let (forward, entrance) = forward(&addr);
    assert_echoes(&entrance);
    frozen.signal("KILL");
    forward.terminate().assert_success();
    restarted.terminate().assert_success();
    hub.terminate();
}

#[test]
fn a_restarted_service_without_an_id_waits_for_its_name() {
    // A hub that finds a dead session sooner than the example does: a third of this time.
    let hub = Wire::hub("127.0.0.1:0").handshake_timeout(Duration::from_secs(2));
    let hub = hub.build().unwrap();
    hub.start().unwrap();
    let addr = hub.local_addr().expect("it listens").to_string();
    let to = echo();
    let frozen = expose(&addr, &to, &[]);
    frozen.line("connected");
    frozen.signal("STOP");
    // It waits until the hub finds the old session dead.
    let restarted = expose(&addr, &to, &[]);
    restarted.line("connected");
    let (forward, entrance) = forward(&addr);
    assert_echoes(&entrance);
    frozen.signal("KILL");
    forward.terminate().assert_success();
    restarted.terminate();
}

#[test]
fn a_killed_service_returns_whenever_it_is_started_again() {
    let (hub, addr) = serve("tunnel", "hub", NONE);
    let to = echo();
    for args in [&["--id", "box-1"][..], &[]] {
        for _ in 0..3 {
            let killed = expose(&addr, &to, args);
            killed.line("connected");
            // The drop kills it. The hub may not have noticed when the next one starts.
            drop(killed);
        }
        let service = expose(&addr, &to, args);
        service.line("connected");
        let (forward, entrance) = forward(&addr);
        assert_echoes(&entrance);
        forward.terminate().assert_success();
        service.terminate();
    }
    hub.terminate();
}

#[test]
fn a_service_waits_while_another_program_has_its_name() {
    let (hub, addr) = serve("tunnel", "hub", NONE);
    let to = echo();
    let first = expose(&addr, &to, &[]);
    first.line("connected");
    let second = expose(&addr, &to, &[]);
    let warning = second.warning("box:echo");
    assert!(warning.ends_with("trying again"), "{warning}");
    first.terminate();
    second.line("connected");
    second.terminate().assert_success();
    hub.terminate();
}

#[test]
fn programs_started_before_their_hub_wait_for_it() {
    let stand_in = TcpListener::bind("127.46.0.1:0").unwrap();
    let addr = stand_in.local_addr().unwrap().to_string();
    let to = echo();
    let args = ["--name", "box:echo", "--listen", "127.0.0.1:0"];
    let service = expose(&addr, &to, &[]);
    let forward = join("tunnel", "forward", &addr, args);
    // Both have tried.
    drop([(); 2].map(|()| stand_in.accept().unwrap()));
    drop(stand_in);
    service.warning(&format!("cannot connect to {addr}: "));
    forward.warning(&format!("cannot connect to {addr}: "));
    let entrance = forward.address();

    let hub = Program::start(example("tunnel").args(HUB).arg(&addr));
    service.line("connected");
    forward.line("connected");
    assert_echoes(&entrance);
    // Each cause is printed once.
    for client in [service, forward] {
        let ended = client.terminate();
        assert!(!ended.stderr.contains("cannot connect"), "{ended:?}");
    }
    hub.terminate();
}

#[test]
fn a_mistyped_address_is_visible_and_can_be_stopped() {
    let service = expose("hub.invalid:7722", "127.0.0.1:22", &[]);
    service.warning("cannot connect to hub.invalid:7722: ");
    service.terminate();
    let fast = expose("hub.invalid:7722", "127.0.0.1:22", &["--fail-fast"]);
    fast.end()
        .assert_failure("error: cannot connect to hub.invalid:7722: ");
    let (hub, addr) = serve("tunnel", "hub", NONE);
    let service = expose(&addr, "service.invalid:22", &[]);
    service.warning("service.invalid:22: ");
    service.terminate();
    hub.terminate();
}

#[test]
fn each_signal_that_is_not_ignored_ends_every_program_with_success() {
    for signal in ["TERM", "INT", "HUP"] {
        let (hub, addr) = serve("tunnel", "hub", NONE);
        let service = expose(&addr, &echo(), &[]);
        service.line("connected");
        let (forward, entrance) = forward(&addr);
        assert_echoes(&entrance);
        for program in [forward, service, hub] {
            program.signal(signal);
            let ended = program.end();
            assert!(ended.status.success(), "{signal}: {ended:?}");
        }
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let mut command = ignoring("HUP INT", "tunnel");
    let hub = Program::start(command.args(HUB).arg("127.0.0.1:0"));
    let addr = hub.address();
    let status = fs::read_to_string(format!("/proc/{}/status", hub.id())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    // SIGHUP is 1, and SIGINT is 2.
    assert_eq!(mask & 0b11, 0b11, "{status}");
    hub.signal("HUP");
    hub.signal("INT");
    let service = expose(&addr, &echo(), &[]);
    service.line("connected");
    service.terminate().assert_success();
    hub.terminate();
}

#[test]
fn a_second_signal_ends_a_program_at_once() {
    let mut command = example("tunnel");
    command.env("RUST_LOG", "info").args(HUB);
    let hub = Program::start(command.arg("127.0.0.1:0"));
    let addr = hub.address();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = expose(&addr, &listener.local_addr().unwrap().to_string(), &[]);
    service.line("connected");
    let (_forward, entrance) = forward(&addr);
    // An open connection delays the end after the first signal.
    let _client = TcpStream::connect(entrance).unwrap();
    let _served = listener.accept().unwrap();
    hub.signal("TERM");
    hub.warning("stopping");
    hub.signal("HUP");
    hub.signal("TERM");
    let ended = hub.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
}

/// With RUST_LOG=trace, the log is far longer than the program's queue.
#[test]
fn a_stderr_that_nobody_reads_neither_blocks_clients_nor_the_end() {
    let (_readers, blocked): (Vec<_>, Vec<_>) = (0..3).map(|_| full()).unzip();
    let closed = (0..3).map(|_| closed()).collect();
    for stderr in [blocked, closed] {
        let mut stderr = stderr.into_iter();
        let mut start = |args: &[&str]| {
            let mut command = example("tunnel");
            command.args(args).env("RUST_LOG", "trace");
            Program::start_with_stderr(&mut command, stderr.next().unwrap())
        };
        let hub = start(&["hub", "--addr", "127.0.0.1:0"]);
        let addr = hub.address();
        // The hub reports each of these.
        for _ in 0..20 {
            let mut garbage = TcpStream::connect(&addr).unwrap();
            garbage.write_all(&[0xff; 100]).unwrap();
            // The hub may reset the connection.
            let _ = garbage.read_to_end(&mut Vec::new());
        }
        let to = echo();
        let own = ["--addr", &addr, "--name", "box:echo"];
        let service = start(&[&["expose", "--to", &to][..], &own].concat());
        service.line("connected");
        let listen = ["forward", "--listen", "127.0.0.1:0"];
        let forward = start(&[&listen[..], &own].concat());
        let entrance = forward.address();
        forward.line("connected");
        for _ in 0..20 {
            assert_echoes(&entrance);
        }
        forward.terminate();
        service.terminate();
        hub.terminate();
    }
}

#[test]
fn a_stdout_that_nobody_reads_neither_blocks_clients_nor_the_end() {
    let (_reader, blocked) = full();
    let refusing = Refusing::new();
    let addr = refusing.addr.to_string();
    for stdout in [blocked, closed()] {
        let mut command = example("tunnel");
        let hub = Program::start_with_stdout(command.args(HUB).arg(&addr), stdout);
        for _ in 0..3 {
            // It waits for the hub.
            let service = expose(&addr, "127.0.0.1:22", &[]);
            service.line("connected");
            service.terminate();
        }
        hub.terminate();
    }
}
