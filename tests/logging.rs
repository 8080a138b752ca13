//! What is logged. In a process of its own, because it has one logger.

mod support;

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use std::{collections::BTreeSet, io};
use support::{
    in_time,
    wires::{Link, assert_echoes, echo},
};

/// Keeps what the library logs.
struct Kept(Mutex<Vec<(Level, String, String)>>);

static KEPT: Kept = Kept(Mutex::new(Vec::new()));

impl Log for Kept {
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

/// What was logged since the last time.
fn taken() -> Vec<(Level, String, String)> {
    std::mem::take(&mut *KEPT.0.lock())
}

/// One test, for there is one logger.
#[test]
fn normal_work_is_quiet_and_what_goes_wrong_is_a_warning() {
    in_time(|| {
        log::set_logger(&KEPT).unwrap();
        log::set_max_level(LevelFilter::Trace);
        let link = Link::new(
            |server| {
                let server = server.stream("echo", echo);
                server.stream("bad", |_| Err(io::Error::other("no disk")))
            },
            |client| client.retry_max(0),
        );
        let up = taken();
        // That it listens, and no more than that.
        let listening = |(level, _, text): &&(Level, String, String)| {
            *level <= Level::Info && !text.starts_with("listening at ")
        };
        assert_eq!(up.iter().find(listening), None);
        assert!(
            up.iter()
                .all(|(_, target, _)| target.starts_with("wirenet::"))
        );
        for _ in 0..50 {
            assert_echoes(&link.near);
        }
        let working = taken();
        let loud: Vec<_> = working
            .iter()
            .filter(|(level, ..)| *level <= Level::Info)
            .collect();
        assert!(loud.is_empty(), "{loud:?}");
        // Without an error handler an error is a warning.
        link.near.open_stream("bad").unwrap();
        link.client.close().unwrap();
        link.server.close().unwrap();
        let wrong = taken();
        let warnings: Vec<_> = wrong
            .iter()
            .filter(|(level, ..)| *level == Level::Warn)
            .collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].2.contains("handler of stream \"bad\""));
        assert!(warnings[0].2.contains("no disk"));
        // A target for each module: levels can be set for each.
        let targets: BTreeSet<_> = wrong.iter().map(|(_, target, _)| target).collect();
        assert!(targets.iter().all(|target| target.starts_with("wirenet::")));
    });
}
