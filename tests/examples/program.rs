//! An example as a running process: its output, its signals, and its end.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// The limit of every wait. Only a hang reaches it, so it implies nothing about
/// speed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Returns the path of an example. Cargo builds the examples before the tests.
pub fn example_path(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let path = target.join("examples").join(name);
    let path = path.with_extension(env::consts::EXE_EXTENSION);
    assert!(
        path.exists(),
        "{path:?} is missing: run cargo build --examples"
    );
    path
}

/// Returns the command that runs an example.
pub fn example(name: &str) -> Command {
    let path = example_path(name);
    let mut command = match hangup_is_ignored() {
        false => Command::new(path),
        true => {
            let mut command = Command::new("env");
            command.arg("--default-signal=HUP").arg(path);
            command
        }
    };
    command.env_remove("RUST_LOG");
    command
}

/// Returns whether this process ignores SIGHUP, as under `nohup`. Its children would
/// ignore it too.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.map(|mask| u64::from_str_radix(mask.trim(), 16).expect("a mask"));
    mask.is_some_and(|mask| mask & 1 != 0)
}

/// A running process. It is killed if this is dropped before the process's end.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

/// How a process ended, and the part of its output that had not been read before.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<String>,
    pub stderr: String,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        Self::spawn(command.stdin(Stdio::null()))
    }

    /// Starts a program with an input for [`type_line`](Self::type_line).
    pub fn start_with_input(command: &mut Command) -> Self {
        Self::spawn(command.stdin(Stdio::piped()))
    }

    /// Starts a program whose stderr is not read by [`warning`](Self::warning).
    pub fn start_with_stderr(command: &mut Command, stderr: impl Into<Stdio>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self::spawn_with(command.stderr(stderr))
    }

    /// Starts a program whose stdout is not read by [`line`](Self::line).
    pub fn start_with_stdout(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        Self::spawn_with(command.stdout(stdout))
    }

    fn spawn(command: &mut Command) -> Self {
        Self::spawn_with(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    fn spawn_with(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the example starts");
        Self {
            stdin: child.stdin.take(),
            stdout: lines(child.stdout.take()),
            stderr: lines(child.stderr.take()),
            child,
        }
    }

    /// Types a line into its input.
    pub fn type_line(&mut self, line: &str) {
        self.type_bytes(format!("{line}\n").as_bytes());
    }

    /// Types bytes into its input.
    pub fn type_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("it has an input");
        stdin.write_all(bytes).expect("it reads its input");
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for a line that begins with `begin`, and returns the rest of that line.
    /// Earlier lines are discarded.
    pub fn line(&self, begin: &str) -> String {
        self.lines_to(begin).pop().expect("the line itself")
    }

    /// Waits for a line that begins with `begin`. Returns the lines before it, and
    /// then the rest of that line.
    pub fn lines_to(&self, begin: &str) -> Vec<String> {
        let mut lines = self.wait(&self.stdout, |line| line.starts_with(begin));
        let found = lines.pop().expect("the line itself");
        lines.push(found[begin.len()..].into());
        lines
    }

    /// Waits for a line on stderr that contains `part`, and returns it. Earlier lines
    /// are discarded.
    pub fn warning(&self, part: &str) -> String {
        let mut lines = self.wait(&self.stderr, |line| line.contains(part));
        lines.pop().expect("the line itself")
    }

    /// Waits for a line. Returns the lines before it too.
    fn wait(&self, from: &Receiver<String>, found: impl Fn(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match from.recv_timeout(left) {
                Ok(line) => {
                    let found = found(&line);
                    lines.push(line);
                    if found {
                        return lines;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no such line in time, after {lines:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    let stderr = rest(&self.stderr);
                    panic!("no such line after {lines:?}; on stderr: {stderr:?}");
                }
            }
        }
    }

    /// Waits for the address at which a server listens.
    pub fn address(&self) -> String {
        self.line("listening at ")
    }

    /// Returns the process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `INT`, `HUP`, `STOP` or `KILL`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(status.expect("kill starts").success());
    }

    /// Stops a program as its operator does, and checks that it exits with success.
    pub fn terminate(self) -> Ended {
        self.signal("TERM");
        let ended = self.end();
        assert!(ended.status.success(), "{ended:?}");
        ended
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let stdout = rest(&self.stdout);
        let stderr = rest(&self.stderr);
        // Its output is closed, so the process is about to end.
        Ended {
            status: self.child.wait().expect("its status"),
            stderr: stderr.iter().map(|line| format!("{line}\n")).collect(),
            stdout,
        }
    }
}

/// Reads lines on a thread of its own. Without an output to read, there are none.
fn lines(from: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (lines, read) = channel();
    if let Some(from) = from {
        // This ends early if the receiver has been dropped.
        thread::spawn(move || {
            let mut all = BufReader::new(from).split(b'\n');
            all.try_for_each(|line| {
                let line = String::from_utf8_lossy(&line.unwrap()).into();
                lines.send(line)
            })
        });
    }
    read
}

/// Waits until the program has closed this output. Returns what was not read before.
fn rest(from: &Receiver<String>) -> Vec<String> {
    let deadline = Instant::now() + DEADLINE;
    let mut lines = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match from.recv_timeout(left) {
            Ok(line) => lines.push(line),
            Err(RecvTimeoutError::Disconnected) => return lines,
            Err(RecvTimeoutError::Timeout) => panic!("no end in time, after {lines:?}"),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // This fails if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Checks that the program succeeded and printed no error.
    #[track_caller]
    pub fn assert_success(&self) {
        assert!(self.status.success(), "{self:?}");
        assert_eq!(self.stderr, "");
    }

    /// Checks that the program failed without a panic, and printed `reason`.
    #[track_caller]
    pub fn assert_failure(&self, reason: &str) {
        assert!(self.status.code().is_some_and(|code| code != 0), "{self:?}");
        assert!(self.stderr.contains(reason), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

/// Starts the role of an example that listens, at any free port of this machine.
/// Returns its address too.
pub fn serve<S: AsRef<OsStr>>(
    name: &str,
    role: &str,
    args: impl IntoIterator<Item = S>,
) -> (Program, String) {
    let mut command = example(name);
    let server = Program::start(command.args([role, "--addr", "127.0.0.1:0"]).args(args));
    let addr = server.address();
    (server, addr)
}

/// Starts a role of an example that connects to `addr`.
pub fn join<S: AsRef<OsStr>>(
    name: &str,
    role: &str,
    addr: &str,
    args: impl IntoIterator<Item = S>,
) -> Program {
    Program::start(example(name).args([role, "--addr", addr]).args(args))
}

/// No arguments.
pub const NONE: [&str; 0] = [];

/// Runs an example to its end.
pub fn run<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Ended {
    Program::start(example(name).args(args)).end()
}

/// Returns the names in a folder, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
