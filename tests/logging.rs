//! What the library logs. This test has a process of its own, as a process has one
//! logger.

mod support;

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use std::{collections::BTreeSet, io};
use support::{
    in_time,
    wires::{Link, assert_echoes, echo},
};
#[cfg(unix)]
use wirenet::transport::Transport;

/// Collects the library's log entries: level, target and text.
struct Collector(Mutex<Vec<(Level, String, String)>>);

static COLLECTOR: Collector = Collector(Mutex::new(Vec::new()));

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let target = record.target().to_owned();
        let entry = (record.level(), target, record.args().to_string());
        self.0.lock().push(entry);
    }

    fn flush(&self) {}
}

/// Returns the entries since the last call.
fn take_entries() -> Vec<(Level, String, String)> {
    std::mem::take(&mut *COLLECTOR.0.lock())
}

#[test]
fn normal_work_logs_nothing_above_debug_and_an_error_is_a_warning() {
    in_time(|| {
        log::set_logger(&COLLECTOR).unwrap();
        log::set_max_level(LevelFilter::Trace);
        let link = Link::new(
            |server| {
                let server = server.stream("echo", echo);
                server.stream("bad", |_| Err(io::Error::other("no disk")))
            },
            |client| client.retry_max(0),
        );
        let startup = take_entries();
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
        let working = take_entries();
        let loud: Vec<_> = working
            .iter()
            .filter(|(level, ..)| *level <= Level::Info)
            .collect();
        assert!(loud.is_empty(), "{loud:?}");
        // Without an error handler, an error is logged as a warning.
        link.near.open_stream("bad").unwrap();
        link.client.close().unwrap();
        link.server.close().unwrap();
        let wrong = take_entries();
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
        #[cfg(unix)]
        assert_refused_options_are_logged_once();
    });
}

/// A Unix socket has no options of TCP.
#[cfg(unix)]
fn assert_refused_options_are_logged_once() {
    for _ in 0..2 {
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        let near = std::net::TcpStream::from(std::os::fd::OwnedFd::from(near));
        near.split().unwrap();
    }
    let refused = take_entries();
    assert_eq!(refused.len(), 1, "{refused:?}");
    let (level, _, text) = &refused[0];
    assert_eq!(*level, Level::Debug);
    assert!(text.contains("refuses TCP_NODELAY"), "{text}");
}
