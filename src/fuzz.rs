//! The targets of the fuzzer in `tests/fuzz`: functions that take any bytes, and
//! panic if the library breaks a promise. They are part of the crate because they
//! check its internals. A test runs them over the committed corpus.

pub use crate::{
    wire::fuzz::{chunk, hub, session, wire_frame},
    yamux::fuzz::{connection_bytes, connection_frames, yamux_frame},
};

/// The name of a target and of its corpus, and the function that it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets of the fuzzer.
pub const TARGETS: &[Target] = &[
    ("chunk", chunk),
    ("connection_bytes", connection_bytes),
    ("connection_frames", connection_frames),
    ("hub", hub),
    ("session", session),
    ("wire_frame", wire_frame),
    ("yamux_frame", yamux_frame),
];

/// Decides what a run does, based on the fuzzer's bytes.
pub(crate) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns the next byte; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Returns the next byte; 0 at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// Returns the next four bytes as a number.
    pub(crate) fn word(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Returns one of `choices`, which are not empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// Returns the remaining bytes.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use std::{fs, path::Path, thread, time::Duration};

    /// The time that the corpus of one target may take.
    const PATIENCE: Duration = Duration::from_secs(120);

    #[test]
    fn every_target_takes_its_corpus() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let fuzz = root.join("tests/fuzz");
        if !fuzz.exists() && root.join("Cargo.toml.orig").exists() {
            eprintln!("skipped: the package does not contain the corpus");
            return;
        }
        let replays = TARGETS.iter().map(|(name, run)| {
            let corpus = fuzz.join("corpus").join(name);
            let (done, is_done) = bounded(1);
            let replay = thread::spawn(move || {
                let count = replay(&corpus, *run);
                let _ = done.send(());
                count
            });
            (name, replay, is_done)
        });
        for (name, replay, is_done) in replays.collect::<Vec<_>>() {
            let timed_out =
                is_done.recv_timeout(PATIENCE) == Err(crossbeam_channel::RecvTimeoutError::Timeout);
            assert!(!timed_out, "{name} waits forever");
            let count = replay.join().unwrap_or_else(|_| panic!("{name} failed"));
            assert!(count > 0, "{name} has no corpus");
        }
    }

    /// Runs a target over each file of its corpus, and returns how many there are.
    fn replay(corpus: &Path, run: fn(&[u8])) -> usize {
        let Ok(files) = fs::read_dir(corpus) else {
            return 0;
        };
        let files = files.map(|file| {
            let path = file.expect("a file").path();
            let bytes = fs::read(&path).expect("its bytes");
            // Shown if it fails.
            println!("{}", path.display());
            run(&bytes);
        });
        files.count()
    }
}
