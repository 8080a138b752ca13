//! What the library logs. This test has a process of its own, as a process has one
//! logger.

mod support;

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    io::{self, Write},
    net::{TcpListener, TcpStream},
    sync::Once,
    thread,
    time::{Duration, Instant},
};
use support::{
    PATIENCE, in_time,
    refusing::Refusing,
    wires::{Link, addr_of, assert_echoes, echo, joining, mounting, started},
};
#[cfg(unix)]
use wirenet::transport::Transport;
use wirenet::{Builder, Operation, Wire};

/// A log entry: level, target and text.
type Entry = (Level, String, String);

/// Collects the library's log entries by wire. The wire's name is that of the thread that logs,
/// up to its first `-`. If it is [`BLOCKED`], the thread blocks forever.
struct Collector(Mutex<Vec<(String, Entry)>>);

static COLLECTOR: Collector = Collector(Mutex::new(Vec::new()));

const BLOCKED: &str = "blocked";

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let thread = thread::current();
        let wire = thread.name().unwrap_or("").split('-').next().unwrap_or("");
        if wire == BLOCKED {
            loop {
                thread::park();
            }
        }
        let target = record.target().to_owned();
        let entry = (record.level(), target, record.args().to_string());
        self.0.lock().push((wire.to_owned(), entry));
    }

    fn flush(&self) {}
}

fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        log::set_logger(&COLLECTOR).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
}

/// Returns the entries of a wire since the last call.
fn take_entries(wire: &str) -> Vec<Entry> {
    let mut all = COLLECTOR.0.lock();
    let (of_wire, others) = all.drain(..).partition(|(other, _)| other == wire);
    *all = others;
    let of_wire: Vec<(String, Entry)> = of_wire;
    of_wire.into_iter().map(|(_, entry)| entry).collect()
}
#[test]
fn normal_work_logs_nothing_above_debug_and_an_error_is_a_warning() {
    in_time(|| {
        install();
        let link = Link::new(
            |server| {
                let server = server.thread_name("normal");
                let server = server.stream("echo", echo);
                server.stream("bad", |_| Err(io::Error::other("no disk")))
            },
            |client| client.retry_max(0).thread_name("normal"),
        );
        let startup = take_entries("normal");
        // Only that the server is listening.
        let unexpected = |(level, _, text): &&(Level, String, String)| {
            *level <= Level::Info && !text.starts_with("listening at ")
        };
        assert_eq!(startup.iter().find(unexpected), None);
        assert!(
            startup
                .iter()
                .all(|(_, target, _)| target.starts_with("wirenet::"))
        );
        for _ in 0..50 {
            assert_echoes(&link.near);
        }
        let working = take_entries("normal");
        let loud: Vec<_> = working
            .iter()
            .filter(|(level, ..)| *level <= Level::Info)
            .collect();
        assert!(loud.is_empty(), "{loud:?}");
        // Without an error handler, an error is logged as a warning.
        link.near.open_stream("bad").unwrap();
        link.client.close().unwrap();
        link.server.close().unwrap();
        let wrong = take_entries("normal");
        let warnings: Vec<_> = wrong
            .iter()
            .filter(|(level, ..)| *level == Level::Warn)
            .collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].2.contains("handler of stream \"bad\""));
        assert!(warnings[0].2.contains("no disk"));
        // The target is the module, so that levels can be set for each module.
        let targets: BTreeSet<_> = wrong.iter().map(|(_, target, _)| target).collect();
        assert!(targets.iter().all(|target| target.starts_with("wirenet::")));
    });
}

/// A Unix socket has no options of TCP.
#[cfg(unix)]
#[test]
fn a_socket_option_that_is_refused_is_logged_once() {
    let split_twice = || {
        install();
        for _ in 0..2 {
            let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
            let near = TcpStream::from(std::os::fd::OwnedFd::from(near));
            near.split().unwrap();
        }
    };
    let thread = thread::Builder::new().name("options".into());
    thread.spawn(split_twice).unwrap().join().unwrap();
    let refused = take_entries("options");
    assert_eq!(refused.len(), 1, "{refused:?}");
    let (level, _, text) = &refused[0];
    assert_eq!(*level, Level::Debug);
    assert!(text.contains("refuses TCP_NODELAY"), "{text}");
}

/// For example, standard error is a pipe that nobody reads.
#[test]
fn a_logger_that_blocks_stops_neither_accepting_nor_sessions_nor_close() {
    in_time(|| {
        install();
        let blocked = |builder: Builder| {
            let builder = builder.thread_name(BLOCKED);
            builder.session_close_timeout(Duration::from_millis(100))
        };
        let server = started(blocked(mounting()).handler_limit(8).stream("echo", echo));
        for _ in 0..1000 {
            let mut bad = TcpStream::connect(addr_of(&server)).unwrap();
            // The server may have closed the connection, if too many are open.
            let _ = bad.write_all(b"GET / HTTP/1.1\r\n\r\n");
        }
        let client = started(blocked(joining(&server)));
        let session = client.wait_session(PATIENCE).unwrap();
        // More than the handlers that may run at once.
        for _ in 0..16 {
            session.open_stream("missing").unwrap_err();
        }
        assert_echoes(&session);
        let closing = Instant::now();
        let closes = [client, server].map(|wire| thread::spawn(move || wire.close()));
        for close in closes {
            let error = close.join().unwrap().unwrap_err();
            assert_eq!(error.running, 1, "the thread that logs");
            assert_eq!(error.operations, [Operation::Report]);
            assert_eq!(error.to_string(), "still running: the logger");
        }
        assert!(closing.elapsed() < Duration::from_secs(10));
    });
}

/// A program whose last wire is dropped must end.
#[test]
fn a_wire_can_be_dropped_while_the_logger_blocks() {
    in_time(|| {
        install();
        let link = Link::new(
            |server| {
                let server = server.thread_name(BLOCKED).stream("echo", echo);
                server.session_close_timeout(Duration::from_millis(10))
            },
            |client| client.thread_name("dropping"),
        );
        // Its end is an error, which is logged.
        let _open = link.near.open_stream("echo").unwrap();
        let Link { server, far, .. } = link;
        drop(far);
        let dropping = thread::Builder::new().name(format!("{BLOCKED}-main"));
        dropping
            .spawn(move || drop(server))
            .unwrap()
            .join()
            .unwrap();
    });
}

/// Waits until a wire has logged at least `count` entries. Returns them.
fn await_entries(wire: &str, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while entries.len() < count {
        entries.extend(take_entries(wire));
        thread::yield_now();
    }
    entries
}

#[test]
fn a_host_that_is_unknown_and_a_server_of_another_protocol_are_warnings_at_the_first_attempt() {
    in_time(|| {
        install();
        let ssh = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = ssh.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut client, _) = ssh.accept()?;
            client.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")?;
            io::copy(&mut client, &mut io::sink())
        });
        for (wire, addr, expected) in [
            (
                "unknown",
                "no-such-host.invalid:8989",
                "no-such-host.invalid:8989",
            ),
            ("foreign", &addr, "speaks SSH, not wirenet"),
        ] {
            let client = Wire::join(addr).thread_name(wire).build().unwrap();
            let starting = client.clone();
            let starter = thread::spawn(move || starting.start());
            let (level, _, text) = await_entries(wire, 1).remove(0);
            assert_eq!(level, Level::Warn, "{text}");
            assert!(text.contains(expected), "{text}");
            client.close().unwrap();
            starter.join().unwrap().unwrap_err();
        }
    });
}

#[test]
fn a_peer_that_leaves_before_its_first_byte_is_logged_at_debug() {
    in_time(|| {
        install();
        let server = started(mounting().thread_name("checked"));
        drop(TcpStream::connect(addr_of(&server)).unwrap());
        let (level, text) = loop {
            let entries = await_entries("checked", 1);
            let mut left = entries
                .into_iter()
                .filter(|(_, _, text)| text.contains("left before its first byte"));
            if let Some((level, _, text)) = left.next() {
                break (level, text);
            }
        };
        assert_eq!(level, Level::Debug, "{text}");
        server.close().unwrap();
    });
}

#[test]
fn a_client_without_a_session_warns_at_its_first_attempt_and_again_when_the_cause_changes() {
    in_time(|| {
        install();
        let refusing = Refusing::new();
        let addr = refusing.addr;
        let client = Wire::join(addr.to_string())
            .thread_name("retrying")
            .retry_wait(Duration::from_millis(1), Duration::from_millis(1))
            .build()
            .unwrap();
        let starting = client.clone();
        let starter = thread::spawn(move || starting.start());
        let entries = await_entries("retrying", 3);
        let refused = format!("dial: cannot connect to {addr}: ");
        for (number, (level, _, text)) in entries.iter().enumerate() {
            let expected = if number == 0 {
                Level::Warn
            } else {
                Level::Debug
            };
            assert_eq!(*level, expected, "{text}");
            assert!(
                text.starts_with(&refused) && text.contains("connecting again in"),
                "{text}"
            );
            assert_eq!(text.matches(&addr.to_string()).count(), 1, "{text}");
        }
        // Another cause.
        let listener = refusing.listen();
        thread::spawn(move || drop(listener.accept()));
        let changed = loop {
            let entries = await_entries("retrying", 1);
            let mut warnings = entries
                .into_iter()
                .filter(|(level, ..)| *level == Level::Warn);
            if let Some((_, _, text)) = warnings.next() {
                break text;
            }
        };
        assert!(changed.starts_with("handshake"), "{changed}");
        client.close().unwrap();
        starter.join().unwrap().unwrap_err();
    });
}
