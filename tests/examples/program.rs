//! An example as a running process: its output, its signals, its end.

use socket2::{Domain, Socket, Type};
use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take. Reached only if something hangs, so that it
/// says nothing about speed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The command that runs an example. Cargo builds them before the tests.
pub fn example(name: &str) -> Command {
    let test = env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let path = target.join("examples").join(name);
    let path = path.with_extension(env::consts::EXE_EXTENSION);
    assert!(path.exists(), "cargo build --examples makes {path:?}");
    let mut command = Command::new(path);
    command.env_remove("RUST_LOG");
    command
}

/// Kills the process if it is dropped before its end.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

/// How a process ended, and what it printed that nobody had read before.
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

    /// With an input to [`type_line`](Self::type_line) into.
    pub fn start_with_input(command: &mut Command) -> Self {
        Self::spawn(command.stdin(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let (lines, stdout) = channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        // Who does not read the lines to the end has dropped the receiver.
        thread::spawn(move || out.lines().try_for_each(|line| lines.send(line.unwrap())));
        let (text, stderr) = channel();
        let mut err = child.stderr.take().expect("piped");
        thread::spawn(move || {
            let mut all = String::new();
            err.read_to_string(&mut all).unwrap();
            text.send(all)
        });
        Self {
            stdin: child.stdin.take(),
            child,
            stdout,
            stderr,
        }
    }

    /// Types a line into its input.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it has an input");
        writeln!(stdin, "{line}").expect("it reads its input");
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for a line that begins so, and gives what follows in it. The lines
    /// before it are thrown away.
    pub fn line(&self, begin: &str) -> String {
        self.lines_to(begin).pop().expect("the line itself")
    }

    /// Waits for a line that begins so, and gives those before it, and what
    /// follows in it.
    pub fn lines_to(&self, begin: &str) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stdout.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(begin) {
                        lines.push(rest.into());
                        return lines;
                    }
                    lines.push(line);
                }
                Err(RecvTimeoutError::Timeout) => panic!("no line {begin:?} in time"),
                Err(RecvTimeoutError::Disconnected) => {
                    let stderr = self.stderr.recv_timeout(DEADLINE);
                    panic!("no line {begin:?}; on stderr: {stderr:?}");
                }
            }
        }
    }

    /// The address that a server says it listens at.
    pub fn address(&self) -> String {
        self.line("listening at ")
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(status.expect("kill starts").success());
    }

    /// Ends a server as its operator does, which is no error.
    pub fn terminate(self) -> Ended {
        self.signal("TERM");
        let ended = self.end();
        assert!(ended.status.success(), "{ended:?}");
        ended
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stdout.recv_timeout(left) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("no end in time, after {lines:?}"),
            }
        }
        // With its output closed, the process is about to end.
        Ended {
            stderr: self.stderr.recv_timeout(DEADLINE).expect("its stderr"),
            status: self.child.wait().expect("its status"),
            stdout: lines,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails if it has ended, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// It did what it was asked for, and had nothing to complain of.
    #[track_caller]
    pub fn assert_success(&self) {
        assert!(self.status.success(), "{self:?}");
        assert_eq!(self.stderr, "");
    }

    /// It failed, and said why.
    #[track_caller]
    pub fn assert_failure(&self, reason: &str) {
        assert!(self.status.code().is_some_and(|code| code != 0), "{self:?}");
        assert!(self.stderr.contains(reason), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

/// Starts the example's role that listens, at any free port of this machine;
/// gives its address too.
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

/// Starts one of the roles that connect to it.
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

/// An address that refuses connections for as long as the socket lives: nobody
/// listens there, and nobody else can.
pub fn refusing() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any_port.into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr.to_string())
}

/// What is in a folder, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
