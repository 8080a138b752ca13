//! Builds the client without and with TLS, and prints the program's size, its
//! memory use in a session, and the number of crates that the library depends
//! on. Fails if size or memory exceeds its limit.
//!
//! Run it with `cargo test --manifest-path tests/bench/embedded/Cargo.toml`.
//! Requires Linux.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;
use std::{env, fs, io, thread};

use wirenet::{Session, TlsServer, Wire, load_certificates};

const KIB: u64 = 1024;

/// A way to build the client, with its limits in bytes.
struct Build {
    name: &'static str,
    tls: bool,
    max_size: u64,
    /// The limit in an idle session.
    max_resident: u64,
}

const BUILDS: [Build; 2] = [
    Build {
        name: "without TLS",
        tls: false,
        max_size: 552 * KIB,
        max_resident: 3_000_000,
    },
    Build {
        name: "with TLS",
        tls: true,
        max_size: 1398 * KIB,
        // The goal is 3 MB. The client is above that; nearly all of it is
        // the program itself and the system's libraries, which processes share.
        max_resident: 3_400_000,
    },
];

/// The size of the file that the client sends between the two measurements of
/// its memory.
const FILE: usize = 8 << 20;
/// How long to wait before each measurement.
const SETTLE: Duration = Duration::from_secs(1);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<ExitCode> {
    let mut within_limits = true;
    for build in &BUILDS {
        let program = build.program()?;
        let size = fs::metadata(&program)?.len();
        let memory = build.memory(&program)?;
        let [idle, after] = &memory;
        println!("{}:", build.name);
        println!("  size:     {} KiB, stripped", size / KIB);
        println!("  resident: {idle} in an idle session");
        println!("            {after} after sending {} MiB", FILE >> 20);
        println!("  crates:   {}", build.crates()?);
        within_limits &= size < build.max_size && idle.resident < build.max_resident;
    }
    if within_limits {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("the client exceeds a limit on its size or memory");
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
            return Err("building the client failed".into());
        }
        Ok(target.join("release/wirenet-embedded"))
    }

    /// Returns the client's memory use in an idle session: before and after it
    /// has sent a file.
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
        let addr = server.local_addr().ok_or("the server does not listen")?;

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
            return Err("the received file differs from the one that was sent".into());
        }
        thread::sleep(SETTLE);
        Ok([idle, client.memory()?])
    }

    /// Describes how many crates the library depends on.
    fn crates(&self) -> Outcome<String> {
        let all = self.tree("normal")?;
        let linked = self.tree("normal,no-proc-macro")?;
        Ok(format!(
            "{all} in cargo tree -e normal, {linked} of them linked"
        ))
    }

    /// Counts the crates in the library's dependency tree, without the library.
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
            // "name v1.2.3 (*)": two versions count as two crates.
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

fn cargo(subcommand: &str, package: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(subcommand).arg("--manifest-path");
    command.arg(package.join("Cargo.toml"));
    command
}

fn receive(session: &Session) -> Outcome<Vec<u8>> {
    let mut stream = session.open_stream("backup")?;
    let mut content = Vec::new();
    io::copy(&mut stream, &mut content)?;
    Ok(content)
}

/// The running client. Dropping this kills it.
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
                .ok_or_else(|| format!("no {field} in /proc/*/status"))
        };
        Ok(Memory {
            resident: bytes("VmRSS:")?,
            own: bytes("RssAnon:")?,
        })
    }
}

/// Memory use in bytes.
struct Memory {
    resident: u64,
    /// The part that is not mapped from files, which processes share.
    own: u64,
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [resident, own] = [self.resident, self.own].map(|bytes| bytes / KIB);
        write!(f, "{resident} KiB ({own} KiB of it private)")
    }
}
