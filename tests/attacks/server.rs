//! The server that is attacked: a process of its own, which says how it is.

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

/// Options of a server, by a name that crosses to its process.
pub struct Setup {
    pub name: &'static str,
    pub set: fn(Builder) -> Builder,
}

/// Every option as it is by default.
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

/// What is attacked, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub kind: Kind,
    pub is_tls: bool,
}

const fn place(kind: Kind, is_tls: bool) -> Place {
    Place { kind, is_tls }
}

/// Where TLS makes no difference.
pub const TCP: &[Place] = &[place(Kind::Mount, false), place(Kind::Hub, false)];

/// For what only a hub does.
pub const HUBS: &[Place] = &[
    place(Kind::Hub, false),
    #[cfg(feature = "tls")]
    place(Kind::Hub, true),
];

/// Where it does.
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

/// Reports of a server that its parent hears of; all are counted.
const MAX_TOLD: usize = 1000;

/// The other process of these tests.
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
        panic!("no role of a server: {role:?}");
    };
    let setup = SETUPS.iter().find(|known| known.name == setup);
    let builder = match kind {
        "Mount" => Wire::mount("127.0.0.1:0"),
        _ => Wire::hub("127.0.0.1:0"),
    };
    let builder = builder.stream("echo", echo).on_error(|error| {
        if REPORTS.fetch_add(1, Ordering::Relaxed) < MAX_TOLD {
            let text = error.to_string().replace('\n', " ");
            // The parent may be gone.
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
            other => panic!("{other:?} is no question"),
        }
    }
    Ok(())
}

/// Sends back what comes, as it comes.
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

/// The server, as the tests have it. Ends when it is dropped.
pub struct Server {
    pub addr: SocketAddr,
    pub place: Place,
    process: Other,
    /// What came while an answer was waited for.
    reports: Mutex<VecDeque<String>>,
}

/// What a server takes.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Bytes that are allocated.
    pub heap: usize,
    /// The most that were since [`Server::mark`].
    pub peak: usize,
    /// Bytes of memory that are resident.
    pub resident: usize,
    pub threads: usize,
    /// Those of them that run handlers, or wait for the next.
    pub handlers: usize,
    pub descriptors: usize,
    /// The processor's time so far.
    pub cpu: Duration,
    pub sessions: usize,
    /// Errors that no caller got.
    pub reports: usize,
    pub streams_accepted: usize,
    pub streams_reset: usize,
}

impl Server {
    pub fn start(place: Place, setup: &Setup) -> Self {
        // It runs what it is given.
        Self::start_in(Command::new("env"), place, setup)
    }

    /// One that may have so many descriptors.
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

    /// A connection that nothing was sent on.
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

    /// From now on the peak counts.
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
        // Read from here, as it may have no descriptor left.
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

    /// Closes it; gives the outcome, as it is written down.
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

    /// Waits until the server was told of an error that has this in it, and
    /// gives that one. Each is given once.
    pub fn report(&self, part: &str) -> String {
        let mut reports = self.reports.lock();
        let index = reports.iter().position(|report| report.contains(part));
        if let Some(report) = index.and_then(|index| reports.remove(index)) {
            return report;
        }
        loop {
            let told = self.process.told();
            let report = told.strip_prefix("report ").expect("nobody has asked");
            if report.contains(part) {
                return report.into();
            }
            reports.push_back(report.into());
        }
    }

    /// The same, for one about this connection.
    pub fn report_about(&self, peer: &Peer) -> String {
        let from = peer.socket().local_addr().unwrap();
        self.report(&format!("({from}): "))
    }
}

/// How many threads of a process are handlers'.
fn handlers(proc: &str) -> usize {
    let tasks = fs::read_dir(format!("{proc}/task")).unwrap();
    // One that ends meanwhile has no name any more.
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names
        .filter(|name| name.trim() == "wirenet-handler")
        .count()
}

/// From a process's `stat`: user's and system's time, in hundredths of a
/// second, behind the name, which may have blanks in it.
fn cpu(stat: &str) -> Duration {
    let (_, fields) = stat.rsplit_once(") ").expect("the name's end");
    let times = fields.split(' ').skip(11).take(2);
    let ticks: u64 = times.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
