//! A second process: this very test binary, made to run one of its tests in
//! another role.

use super::PATIENCE;
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Says to the other process what it is there for.
const ROLE: &str = "WIRENET_TEST_ROLE";

/// What a line for the parent begins with: the test harness writes others.
const MARK: &str = "@tell ";

/// The other process, as its parent has it. Ends when it is dropped.
pub struct Other {
    child: Child,
    told: Receiver<String>,
}

impl Other {
    /// Starts it; it runs the test `test`, in which [`role`] gives `role`.
    pub fn start(test: &str, role: &str) -> io::Result<Self> {
        Self::spawn(Command::new(env::current_exe()?), test, role)
    }

    /// The same through another program, which runs what it is given as its
    /// last arguments.
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
                    // Its output is read to the end, lest it should block.
                    let _ = sender.send(text.to_owned());
                }
            }
        });
        Ok(Self { child, told })
    }

    /// What it tells next.
    pub fn told(&self) -> String {
        let told = self.told.recv_timeout(PATIENCE);
        told.expect("the other process says something in time")
    }

    /// What it tells next; `None` when it has ended instead.
    pub fn may_tell(&self) -> Option<String> {
        self.may_tell_within(PATIENCE)
    }

    /// The same, with a limit of its own.
    pub fn may_tell_within(&self, limit: Duration) -> Option<String> {
        match self.told.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => panic!("the other process hangs"),
            told => told.ok(),
        }
    }

    /// Says something to it, in one line.
    pub fn say(&self, text: &str) -> io::Result<()> {
        let mut input = self.child.stdin.as_ref().expect("it is piped");
        writeln!(input, "{text}")
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go on from [`wait_for_parent`].
    pub fn release(&mut self) {
        self.child.stdin = None;
    }

    /// Kills it, so that it can do nothing about it (SIGKILL on Unix).
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What this process is there for, if it was started by [`Other::start`].
pub fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// Tells the parent something, in one line.
pub fn tell(text: impl std::fmt::Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    // The harness may have begun a line.
    writeln!(output, "\n{MARK}{text}")?;
    output.flush()
}

/// What the parent says, line by line, until it is done with this process, or
/// gone.
pub fn commands() -> impl Iterator<Item = String> {
    io::stdin().lines().map_while(Result::ok)
}

/// Waits until the parent is done with this process, or gone.
pub fn wait_for_parent() -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
