//! The child processes: how they are started, commanded and observed. All peers
//! are treated alike.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::plan::{self, name_of};
use crate::workload::{Job, Peer, Role};

/// The time limit for one command. Commands take a few seconds unless they hang.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

const TICKS_PER_SECOND: f64 = 100.0;

pub type Failure = String;

/// The paths of the programs, and how to run them.
pub struct Programs {
    pub this: PathBuf,
    pub peer: PathBuf,
    /// Disables `rep movsb` in glibc's memcpy. Its speed depends on alignment,
    /// which varies between runs.
    pub steady_memcpy: bool,
}

impl Programs {
    fn command(&self, job: &Job) -> Command {
        // Ten thousand connections need more open files than the default limit.
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -n "$(ulimit -Hn)"; exec "$@""#, "sh"]);
        if let Some(core) = plan::core(job.workload, job.role) {
            command.args(["taskset", "-c", core]);
        }
        match job.peer {
            Peer::Yamux | Peer::TokioYamux => command.arg(&self.peer),
            _ => command.arg(&self.this).arg("child"),
        };
        command.arg(name_of(&job.role));
        command.args(["--peer", &name_of(&job.peer)]);
        command.args(["--workload", &name_of(&job.workload)]);
        command.args(["--addr", &job.addr.to_string()]);
        if job.quick {
            command.arg("--quick");
        }
        if self.steady_memcpy {
            let tunable = "glibc.cpu.x86_rep_movsb_threshold=1000000000";
            command.env("GLIBC_TUNABLES", tunable);
        }
        command
    }
}

pub fn can_pin_to(core: &str) -> bool {
    let mut command = Command::new("taskset");
    command.args(["-c", core, "true"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A server, its client, and the hub or proxy between them, if there is one.
/// Dropping the group ends them all.
pub struct Group {
    // Fields are dropped in order: the client ends before its server.
    pub client: Process,
    middle: Option<Process>,
    pub server: Process,
}

impl Group {
    pub fn start(programs: &Programs, mut job: Job) -> Result<Self, Failure> {
        let (relayed, peer) = (plan::is_relayed(job.workload), job.peer);
        let mut start = |role| {
            job.role = role;
            let (process, addr) = Process::start(programs.command(&job))?;
            if !addr.is_empty() {
                job.addr = addr
                    .parse()
                    .map_err(|_| format!("not an address: {addr}"))?;
            }
            Ok::<_, Failure>(process)
        };
        let (server, middle) = match peer {
            // A server dials its hub, but a proxy dials its server.
            Peer::Wirenet if relayed => {
                let hub = start(Role::Middle)?;
                (start(Role::Server)?, Some(hub))
            }
            _ if relayed => (start(Role::Server)?, Some(start(Role::Middle)?)),
            _ => (start(Role::Server)?, None),
        };
        Ok(Self {
            client: start(Role::Client)?,
            middle,
            server,
        })
    }

    /// Returns the total CPU time of all processes, in seconds.
    pub fn cpu(&self) -> Result<f64, Failure> {
        let ends = self.client.cpu()? + self.server.cpu()?;
        self.middle
            .as_ref()
            .map_or(Ok(ends), |middle| Ok(ends + middle.cpu()?))
    }
}

pub struct Process {
    child: std::process::Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a process. Returns it with the text that it printed after `ready`.
    fn start(mut command: Command) -> Result<(Self, String), Failure> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        let process = Self {
            child,
            input,
            lines,
        };
        let greeting = process.read_line()?;
        match greeting.strip_prefix("ready") {
            Some(rest) => Ok((process, rest.trim().to_owned())),
            None => Err(format!("expected \"ready\", got: {greeting}")),
        }
    }

    fn read_line(&self) -> Result<String, Failure> {
        self.lines
            .recv_timeout(COMMAND_TIMEOUT)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => {
                    format!("no answer in {} s", COMMAND_TIMEOUT.as_secs())
                }
                RecvTimeoutError::Disconnected => String::from("the process ended early"),
            })
    }

    /// Sends a command and returns the figures of its answer.
    pub fn execute(&mut self, command: &str) -> Result<Answer, Failure> {
        let input = self.input.as_mut().expect("only drop takes it");
        writeln!(input, "{command}").map_err(|error| error.to_string())?;
        let line = self.read_line()?;
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        let figures = words.chunks_exact(2).filter_map(|pair| {
            let value = pair[1].parse().ok()?;
            Some((pair[0].to_owned(), value))
        });
        Ok(Answer(figures.collect()))
    }

    fn proc_file(&self, name: &str) -> Result<String, Failure> {
        let path = Path::new("/proc").join(self.child.id().to_string());
        fs::read_to_string(path.join(name)).map_err(|error| format!("/proc/*/{name}: {error}"))
    }

    fn cpu(&self) -> Result<f64, Failure> {
        let stat = self.proc_file("stat")?;
        // The second field, the name in parentheses, may contain anything. User
        // and system time are the 12th and 13th field after it.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let times: Vec<f64> = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        match times[..] {
            [user, system] => Ok((user + system) / TICKS_PER_SECOND),
            _ => Err(String::from("no CPU times in /proc/*/stat")),
        }
    }

    fn status(&self, field: &str) -> Result<f64, Failure> {
        number_after(&self.proc_file("status")?, field)
    }

    pub fn resident_kb(&self) -> Result<f64, Failure> {
        self.status("VmRSS:")
    }

    pub fn threads(&self) -> Result<f64, Failure> {
        self.status("Threads:")
    }

    pub fn open_files(&self) -> Result<usize, Failure> {
        let path = format!("/proc/{}/fd", self.child.id());
        let files = fs::read_dir(path).map_err(|error| error.to_string())?;
        Ok(files.count())
    }

    pub fn file_limit(&self) -> Result<usize, Failure> {
        let limit = number_after(&self.proc_file("limits")?, "Max open files");
        // "unlimited" is not a number.
        Ok(limit.map_or(usize::MAX, |limit| limit as usize))
    }
}

fn number_after(text: &str, field: &str) -> Result<f64, Failure> {
    text.lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| format!("no {field} in /proc"))
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        // The process's output ends when it exits.
        let end = self.lines.recv_timeout(Duration::from_secs(5));
        if end != Err(RecvTimeoutError::Disconnected) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

pub struct Answer(Vec<(String, f64)>);

impl Answer {
    pub fn get(&self, name: &str) -> Result<f64, Failure> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| format!("no {name} in the answer"))
    }
}
