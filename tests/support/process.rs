//! A second process: this test binary runs one of its own tests, in another role.

use super::PATIENCE;
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// The environment variable that holds the role of the other process.
const ROLE: &str = "WIRENET_TEST_ROLE";

/// The prefix of lines for the parent, as the test harness prints others.
const MARK: &str = "@tell ";

/// A handle of the parent to the other process, which is killed when this is dropped.
pub struct Other {
    child: Child,
    told: Receiver<String>,
}

impl Other {
    /// Starts the process. It runs the test `test`, in which [`role`] returns `role`.
    pub fn start(test: &str, role: &str) -> io::Result<Self> {
        Self::spawn(Command::new(env::current_exe()?), test, role)
    }

    /// Starts the process with these environment variables.
    pub fn start_with(test: &str, role: &str, variables: &[(&str, &Path)]) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.envs(variables.iter().copied());
        Self::spawn(command, test, role)
    }

    /// Starts the process through another program, which runs its last arguments as a
    /// command.
    pub fn start_in(mut program: Command, test: &str, role: &str) -> io::Result<Self> {
        program.arg(env::current_exe()?);
        Self::spawn(program, test, role)
    }

    fn spawn(mut command: Command, test: &str, role: &str) -> io::Result<Self> {
        let mut child = command
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().expect("it is piped");
        let (sender, told) = unbounded();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for line in lines {
                if let Some(text) = line.strip_prefix(MARK) {
                    // The output is read to the end, so that the process does not
                    // block.
                    let _ = sender.send(text.to_owned());
                }
            }
        });
        Ok(Self { child, told })
    }

    /// Waits for the next line from the process.
    pub fn told(&self) -> String {
        let told = self.told.recv_timeout(PATIENCE);
        told.expect("a line from the other process in time")
    }

    /// Waits for the next line from the process. Returns `None` if it exits instead.
    pub fn may_tell(&self) -> Option<String> {
        self.may_tell_within(PATIENCE)
    }

    /// The same, with another limit.
    pub fn may_tell_within(&self, limit: Duration) -> Option<String> {
        match self.told.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => panic!("the other process hangs"),
            told => told.ok(),
        }
    }

    /// Sends a line to the process.
    pub fn say(&self, text: &str) -> io::Result<()> {
        let mut input = self.child.stdin.as_ref().expect("it is piped");
        writeln!(input, "{text}")
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Makes [`wait_for_parent`] return in the process.
    pub fn release(&mut self) {
        self.child.stdin = None;
    }

    /// Kills the process at once (with SIGKILL on Unix).
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The role of this process, if it was started by [`Other::start`].
pub fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// Sends a line to the parent.
pub fn tell(text: impl std::fmt::Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    // The harness may have printed a part of a line.
    writeln!(output, "\n{MARK}{text}")?;
    output.flush()
}

/// The lines from the parent, until it releases this process or exits.
pub fn commands() -> impl Iterator<Item = String> {
    io::stdin().lines().map_while(Result::ok)
}

/// Waits until the parent releases this process or exits.
pub fn wait_for_parent() -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
