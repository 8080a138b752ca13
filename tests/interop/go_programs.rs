//! Runs the Go programs of a test: enforces a deadline, and kills the programs at
//! the end.

use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::build_go;
use crate::go_peer::GoPeer;

/// The time limit of a test. It only ends tests that hang: all of them take much
/// less. It is longer than the time limit of a wait for an example, whose failure
/// message is more helpful.
const DEADLINE: Duration = Duration::from_secs(90);

/// How long a test may take to fail by itself once its programs are killed. Its
/// message about the broken connection is more helpful than that of the deadline.
const GRACE: Duration = Duration::from_secs(5);

/// The Go programs that a test has started.
pub struct GoPrograms {
    folder: &'static Path,
    running: Mutex<Vec<Child>>,
}

/// Runs a test with a deadline, or skips it if Go is missing. Kills the programs
/// at the end in any case.
///
/// # Panics
///
/// If the test panics or exceeds the deadline.
pub fn with_go_programs(label: &str, test: impl FnOnce(&GoPrograms) + Send + 'static) {
    let Some(folder) = build_go::built_programs() else {
        return;
    };
    let programs = Arc::new(GoPrograms {
        folder,
        running: Mutex::new(Vec::new()),
    });
    let (end, ended) = mpsc::channel();
    let lent = Arc::clone(&programs);
    let thread = thread::Builder::new()
        .name(label.to_owned())
        .spawn(move || {
            test(&lent);
            _ = end.send(());
        });
    let thread = thread.expect("a thread for the test");
    // A test that panics drops the sender, which ends this wait too.
    let timed_out = ended.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout);
    programs.kill_all();
    if timed_out {
        _ = ended.recv_timeout(GRACE);
        panic!("{label}: the test did not end within {DEADLINE:?}");
    }
    if let Err(cause) = thread.join() {
        resume_unwind(cause);
    }
}

impl GoPrograms {
    /// Starts one of the Go programs. It ends when its [`GoPeer`] is dropped.
    pub fn start(&self, program: &str, arguments: &[&str]) -> GoPeer {
        let mut child = Command::new(self.folder.join(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let input = child.stdin.take().expect("standard input is piped");
        let output = child.stdout.take().expect("standard output is piped");
        self.running
            .lock()
            .expect("no test panics here")
            .push(child);
        GoPeer::new(input, output)
    }

    /// Suspends the program that was started last, like a machine that hangs: its
    /// connections stay open, but it sends nothing more.
    pub fn freeze_last(&self) {
        let running = self.running.lock().expect("no test panics here");
        let last = running.last().expect("a program was started").id();
        let mut kill = Command::new("kill");
        kill.args(["-STOP", &last.to_string()]);
        assert!(kill.status().expect("kill").success());
    }

    fn kill_all(&self) {
        for mut child in self.running.lock().expect("no test panics here").drain(..) {
            _ = child.kill();
            _ = child.wait();
        }
    }
}
