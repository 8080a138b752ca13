//! The server that is attacked, in a process of its own. It reports its usage.

use crate::{
    HEAP, SETUPS,
    support::{
        encoding::{FEATURES, field, fresh_id},
        peer::Peer,
        process::{self, Other},
        tls,
    },
};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    fmt, fs,
    io::{self, BufRead, Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use wirenet::{Builder, Stream, Wire};

/// Options of a server. Their name is passed to its process.
pub struct Setup {
    pub name: &'static str,
    pub set: fn(Builder) -> Builder,
}

/// All options have their defaults.
pub const PLAIN: Setup = Setup {
    name: "plain",
    set: |builder| builder,
};

/// What is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Mount,
    Hub,
}

/// What is attacked, and over which transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub kind: Kind,
    pub is_tls: bool,
}

const fn place(kind: Kind, is_tls: bool) -> Place {
    Place { kind, is_tls }
}

/// For attacks for which TLS makes no difference.
pub const TCP: &[Place] = &[place(Kind::Mount, false), place(Kind::Hub, false)];

/// For attacks on what only a hub does.
pub const HUBS: &[Place] = &[
    place(Kind::Hub, false),
    #[cfg(feature = "tls")]
    place(Kind::Hub, true),
];

/// For attacks for which TLS makes a difference.
pub const TCP_AND_TLS: &[Place] = &[
    place(Kind::Mount, false),
    place(Kind::Hub, false),
    #[cfg(feature = "tls")]
    place(Kind::Mount, true),
    #[cfg(feature = "tls")]
    place(Kind::Hub, true),
];

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = if self.is_tls { "TLS" } else { "TCP" };
        write!(f, "{:?}, {over}", self.kind)
    }
}

/// The most reports that a server passes to its parent. All are counted.
const MAX_TOLD: usize = 1000;

/// The entry point of the server process.
#[test]
fn other_process() -> io::Result<()> {
    match process::role() {
        Some(role) => serve(&role),
        None => Ok(()),
    }
}

fn serve(role: &str) -> io::Result<()> {
    static REPORTS: AtomicUsize = AtomicUsize::new(0);
    let words: Vec<&str> = role.split(' ').collect();
    let [kind, over, setup] = words[..] else {
        panic!("not a role of a server: {role:?}");
    };
    let setup = SETUPS.iter().find(|known| known.name == setup);
    let builder = match kind {
        "Mount" => Wire::mount("127.0.0.1:0"),
        _ => Wire::hub("127.0.0.1:0"),
    };
    let builder = builder.stream("echo", echo).on_error(|error| {
        if REPORTS.fetch_add(1, Ordering::Relaxed) < MAX_TOLD {
            let text = error.to_string().replace('\n', " ");
            // The parent may have exited.
            let _ = process::tell(format_args!("report {text}"));
        }
    });
    let builder = tls::server(builder, over == "TLS");
    let server = (setup.expect("it is in the list").set)(builder).build()?;
    server.start()?;
    process::tell(server.local_addr().expect("it listens"))?;
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            "usage" => {
                let stats = server.stats();
                process::tell(format_args!(
                    "usage {} {} {} {} {} {}",
                    HEAP.current_usage(),
                    HEAP.peak_usage(),
                    server.sessions().len(),
                    REPORTS.load(Ordering::Relaxed),
                    stats.streams_accepted,
                    stats.streams_reset,
                ))?;
            }
            "mark" => {
                HEAP.reset_peak_usage();
                process::tell("marked")?;
            }
            "close" => process::tell(format_args!("{:?}", server.close()))?,
            other => panic!("unknown command: {other:?}"),
        }
    }
    Ok(())
}

/// Sends all bytes back as they arrive.
pub fn echo(stream: &mut Stream) -> io::Result<()> {
    let mut bytes = [0; 64];
    loop {
        match stream.read_exact(&mut bytes) {
            Ok(()) => stream.write_all(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// A handle to the server process, which ends when this is dropped.
pub struct Server {
    pub addr: SocketAddr,
    pub place: Place,
    process: Other,
    /// Reports that came while an answer was awaited.
    reports: Mutex<VecDeque<String>>,
}

/// The resources that a server uses.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Bytes allocated.
    pub heap: usize,
    /// The most bytes allocated at once since [`Server::mark`].
    pub peak: usize,
    /// Bytes of resident memory.
    pub resident: usize,
    pub threads: usize,
    /// The threads among them that run handlers, or wait for the next.
    pub handlers: usize,
    pub descriptors: usize,
    /// CPU time used so far.
    pub cpu: Duration,
    pub sessions: usize,
    /// Errors that were reported to the error handler.
    pub reports: usize,
    pub streams_accepted: usize,
    pub streams_reset: usize,
}

impl Server {
    pub fn start(place: Place, setup: &Setup) -> Self {
        // `env` runs its arguments.
        Self::start_in(Command::new("env"), place, setup)
    }

    /// Starts a server that may have `count` descriptors.
    pub fn start_with_descriptors(count: usize, place: Place, setup: &Setup) -> Self {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -n {count}; exec \"$@\"");
        shell.args(["-c", &limited, "sh"]);
        Self::start_in(shell, place, setup)
    }

    fn start_in(program: Command, place: Place, setup: &Setup) -> Self {
        let over = if place.is_tls { "TLS" } else { "TCP" };
        let role = format!("{:?} {over} {}", place.kind, setup.name);
        let process = Other::start_in(program, "server::other_process", &role).unwrap();
        Self {
            addr: process.told().parse().expect("an address"),
            place,
            process,
            reports: Mutex::default(),
        }
    }

    /// A connection on which nothing was sent yet.
    pub fn dial(&self) -> TcpStream {
        TcpStream::connect(self.addr).unwrap()
    }

    /// A scripted peer without a session. Over TLS, its handshake is complete.
    pub fn peer(&self) -> Peer {
        Peer::over(self.dial(), self.place.is_tls)
    }

    /// An authenticated attacker that offers no names.
    pub fn member(&self) -> Peer {
        self.owner(&[])
    }

    /// An authenticated attacker that offers these names.
    pub fn owner(&self, names: &[&str]) -> Peer {
        let mut peer = self.peer();
        let id = field(1, &fresh_id());
        let names = names.iter().map(|name| field(4, name.as_bytes()));
        let fields: Vec<u8> = names.flatten().chain(FEATURES).collect();
        let answer = peer.ask(&[&id[..], &fields].concat());
        // The names of handlers may follow, but no error.
        assert!(answer.starts_with(&id), "{answer:?}");
        peer
    }

    /// Resets the peak.
    pub fn mark(&self) {
        assert_eq!(self.ask("mark"), "marked");
    }

    pub fn usage(&self) -> Usage {
        let answer = self.ask("usage");
        let numbers = answer.strip_prefix("usage ").expect("the usage");
        let numbers = numbers.split(' ').map(|number| number.parse().unwrap());
        let numbers: Vec<usize> = numbers.collect();
        let [heap, peak, sessions, reports, accepted, reset] = numbers[..] else {
            panic!("not the usage: {answer}");
        };
        // Read by this process, as the server may have no descriptor left.
        let proc = format!("/proc/{}", self.process.id());
        let status = fs::read_to_string(format!("{proc}/status")).unwrap();
        let status = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number.expect("it is there").parse::<usize>().unwrap()
        };
        Usage {
            heap,
            peak,
            resident: status("VmRSS") * 1024,
            threads: status("Threads"),
            handlers: handlers(&proc),
            descriptors: fs::read_dir(format!("{proc}/fd")).unwrap().count(),
            cpu: cpu(&fs::read_to_string(format!("{proc}/stat")).unwrap()),
            sessions,
            reports,
            streams_accepted: accepted,
            streams_reset: reset,
        }
    }

    /// Closes the server. Returns the outcome, formatted with `Debug`.
    pub fn close(&self) -> String {
        self.ask("close")
    }

    fn ask(&self, question: &str) -> String {
        self.process.say(question).unwrap();
        loop {
            let told = self.process.told();
            match told.strip_prefix("report ") {
                Some(report) => self.reports.lock().push_back(report.into()),
                None => return told,
            }
        }
    }

    /// Waits until the server reports an error that contains `part`, and
    /// returns it. Each report is returned once.
    pub fn report(&self, part: &str) -> String {
        let mut reports = self.reports.lock();
        let index = reports.iter().position(|report| report.contains(part));
        if let Some(report) = index.and_then(|index| reports.remove(index)) {
            return report;
        }
        loop {
            let told = self.process.told();
            let report = told.strip_prefix("report ").expect("an unrequested answer");
            if report.contains(part) {
                return report.into();
            }
            reports.push_back(report.into());
        }
    }

    /// Waits for a report about the connection of this peer.
    pub fn report_about(&self, peer: &Peer) -> String {
        let from = peer.socket().local_addr().unwrap();
        self.report(&format!("({from}): "))
    }
}

/// The number of handler threads of a process.
fn handlers(proc: &str) -> usize {
    let tasks = fs::read_dir(format!("{proc}/task")).unwrap();
    // A thread that has just ended has no name.
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names
        .filter(|name| name.trim() == "wirenet-handler")
        .count()
}

/// The user and system time in a process's `stat`, which counts hundredths of a
/// second. The fields follow the name, which may contain blanks.
fn cpu(stat: &str) -> Duration {
    let (_, fields) = stat.rsplit_once(") ").expect("the name's end");
    let times = fields.split(' ').skip(11).take(2);
    let ticks: u64 = times.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
