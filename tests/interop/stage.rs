//! The frame of a test: a deadline, and an end for the programs it started.

use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::go;
use crate::peer::GoPeer;

/// Far above what any of the tests takes; it only ends one that hangs. And above
/// the deadline of a wait for an example, which tells more.
const DEADLINE: Duration = Duration::from_secs(90);

/// How long a test may take to fail by itself once its programs are killed:
/// what it then says about the broken connection tells more than the deadline.
const GRACE: Duration = Duration::from_secs(5);

/// The programs of one test.
pub struct Stage {
    programs: &'static std::path::Path,
    running: Mutex<Vec<Child>>,
}

/// Runs a test with a deadline, or skips it where Go is missing. Whatever
/// happens, the programs are gone afterwards.
///
/// # Panics
///
/// If the test does, or does not end.
pub fn on_stage(label: &str, test: impl FnOnce(&Stage) + Send + 'static) {
    let Some(programs) = go::programs() else {
        return;
    };
    let stage = Arc::new(Stage {
        programs,
        running: Mutex::new(Vec::new()),
    });
    let (end, ended) = mpsc::channel();
    let actor = Arc::clone(&stage);
    let thread = thread::Builder::new()
        .name(label.to_owned())
        .spawn(move || {
            test(&actor);
            _ = end.send(());
        });
    let thread = thread.expect("a thread for the test");
    // A test that panics drops its end of the channel, which ends the wait too.
    let late = ended.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout);
    stage.clear();
    if late {
        _ = ended.recv_timeout(GRACE);
        panic!("{label}: not done in {DEADLINE:?}");
    }
    if let Err(cause) = thread.join() {
        resume_unwind(cause);
    }
}

impl Stage {
    /// Starts one of the Go programs. It ends when its [`GoPeer`] is dropped.
    pub fn start(&self, program: &str, arguments: &[&str]) -> GoPeer {
        let mut child = Command::new(self.programs.join(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program that was built");
        let input = child.stdin.take().expect("standard input is piped");
        let output = child.stdout.take().expect("standard output is piped");
        self.running
            .lock()
            .expect("no test panics here")
            .push(child);
        GoPeer::new(input, output)
    }

    /// Stops the program that was started last, as a machine that hangs does: its
    /// connections stay, and nothing more is said on them.
    pub fn freeze_last(&self) {
        let running = self.running.lock().expect("no test panics here");
        let last = running.last().expect("a program was started").id();
        let mut kill = Command::new("kill");
        kill.args(["-STOP", &last.to_string()]);
        assert!(kill.status().expect("kill").success());
    }

    fn clear(&self) {
        for mut child in self.running.lock().expect("no test panics here").drain(..) {
            _ = child.kill();
            _ = child.wait();
        }
    }
}
