//! Compares the library with raw TCP and with two asynchronous crates that speak
//! the same protocol, its hub with a TCP proxy, and its TLS with plain rustls.
//! Run it with `cargo bench --bench compare`.
//!
//! Server and client are separate processes. In each round, every peer runs every
//! workload once, one peer after another, so that other load on the machine
//! affects all peers alike. The ratios within a round are what counts. Requires
//! Linux, because memory and CPU time are read from /proc.

#![forbid(unsafe_code)]

mod blocking;
mod child;
mod client;
mod json;
mod layer_1_peer;
mod measure;
mod plan;
mod plot;
mod process;
mod proxy;
mod report;
mod results;
mod rustls_peer;
mod tcp_peer;
mod wirenet_peer;
mod workload;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{env, fs, io, thread};

use clap::{Parser, Subcommand, ValueEnum};

use json::Circumstances;
use plan::name_of;
use process::Programs;
use results::Results;
use wirenet_peer::{NamedSession, NotWaiting, Waiting};
use workload::{Job, Peer, Role, Workload};

/// Above this load average, other programs determine where the scheduler places
/// the processes, and a comparison means little.
const BUSY: f64 = 1.5;

/// Compares the library with its peers.
#[derive(Parser)]
struct Cli {
    /// How many times every peer runs every workload [default: 5, with --quick 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// Run only these workloads, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Workload>,
    /// Use small sizes to check that everything runs; the figures are not comparable
    #[arg(long)]
    quick: bool,
    /// Add layer 1 alone as a peer of every workload except the opens
    #[arg(long)]
    layer_1: bool,
    /// Stop glibc from copying with `rep movsb`, whose speed varies
    #[arg(long)]
    steady_memcpy: bool,
    /// Passed by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    hidden: Option<Hidden>,
}

#[derive(Subcommand)]
enum Hidden {
    /// The server or the client of one run
    #[command(hide = true)]
    Child(Job),
}

fn main() -> Result<(), Box<dyn Error>> {
    let cli = Cli::parse();
    match &cli.hidden {
        Some(Hidden::Child(job)) => Ok(run_child(job)?),
        // `cargo test --all-targets` also runs benches, but without `--bench`.
        None if !cli.bench => {
            println!("nothing measured: run cargo bench --bench compare");
            Ok(())
        }
        None => compare(&cli),
    }
}

fn run_child(job: &Job) -> io::Result<()> {
    match job.role {
        Role::Server if job.peer == Peer::Wirenet && plan::is_relayed(job.workload) => {
            let _owner = wirenet_peer::join_as_owner(job)?;
            child::serve_commands("ready", |command, _| Err(child::unknown_command(command)))
        }
        Role::Server => run_server(job),
        Role::Middle => run_middle(job),
        Role::Client => run_client(job),
    }
}

fn run_server(job: &Job) -> io::Result<()> {
    let named;
    let anonymous;
    let listening = match job.peer {
        Peer::Raw | Peer::Proxy => {
            anonymous = tcp_peer::listen(job)?;
            &anonymous
        }
        Peer::WirenetYamux => {
            anonymous = layer_1_peer::listen(job)?;
            &anonymous
        }
        Peer::Rustls => {
            anonymous = rustls_peer::listen(job)?;
            &anonymous
        }
        _ => {
            named = wirenet_peer::listen(job)?;
            &named.listening
        }
    };
    let greeting = format!("ready {}", listening.addr);
    child::serve_commands(&greeting, |command, number| {
        child::server_command(&listening.counter, command, number)
    })
}

fn run_middle(job: &Job) -> io::Result<()> {
    let hub;
    let addr = match job.peer {
        Peer::Proxy | Peer::WirenetProxy => proxy::listen(job.addr)?,
        _ => {
            hub = wirenet_peer::listen_as_hub(job)?;
            hub.addr
        }
    };
    child::serve_commands(&format!("ready {addr}"), |command, _| {
        Err(child::unknown_command(command))
    })
}

fn run_client(job: &Job) -> io::Result<()> {
    let opens = matches!(job.workload, Workload::Opens | Workload::Opens32);
    match job.peer {
        Peer::Raw | Peer::Proxy => client::run::<tcp_peer::TcpSession>(job),
        Peer::Rustls => client::run::<rustls_peer::TlsSession>(job),
        Peer::WirenetYamux => client::run::<layer_1_peer::YamuxSession>(job),
        Peer::Wirenet if opens => client::run::<NamedSession<NotWaiting>>(job),
        _ => client::run::<NamedSession<Waiting>>(job),
    }
}

fn compare(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let target = target_directory()?;
    let programs = Programs {
        this: env::current_exe()?,
        peer: build_peers(&target)?,
        steady_memcpy: cli.steady_memcpy,
    };
    let mut results = Results::default();
    let workloads = workloads(cli, &mut results);
    let load = load_average();
    if load > BUSY {
        let note = format!("the machine was busy before the start: load average {load}");
        eprintln!("{note}");
        results.note(note);
    }
    let rounds = cli.rounds.unwrap_or(if cli.quick { 1 } else { 5 });
    let start = Instant::now();
    for round in 0..rounds {
        results.begin_round();
        for workload in &workloads {
            run_all(cli, &programs, *workload, round, &mut results);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("\n{}", report::tables(&results));
    if cli.quick {
        println!("--quick: these runs are too short to compare.");
    }
    println!("{rounds} rounds in {seconds:.0} s");
    write_files(&target, &results, &circumstances(cli, load, seconds))
}

fn workloads(cli: &Cli, results: &mut Results) -> Vec<Workload> {
    let mut workloads = match &cli.only[..] {
        [] => Workload::value_variants().to_vec(),
        only => only.to_vec(),
    };
    workloads.retain(|workload| {
        let roles = Role::value_variants().iter();
        let mut cores = roles.filter_map(|role| plan::core(*workload, *role));
        let can = cores.all(process::can_pin_to);
        if !can {
            let name = name_of(workload);
            let note =
                format!("NOT MEASURED: {name}, which requires taskset (util-linux) and 2 cores");
            eprintln!("{note}");
            results.note(note);
        }
        can
    });
    workloads
}

/// Runs a workload once with every peer. Each round starts with a different peer.
fn run_all(
    cli: &Cli,
    programs: &Programs,
    workload: Workload,
    round: usize,
    results: &mut Results,
) {
    let mut peers = plan::peers(workload, cli.layer_1);
    let first = round % peers.len();
    peers.rotate_left(first);
    eprint!("round {}, {}:", round + 1, name_of(&workload));
    for peer in peers {
        eprint!(" {}", report::peer_name(peer));
        let job = Job {
            role: Role::Server,
            peer,
            workload,
            addr: ([127, 0, 0, 1], 0).into(),
            quick: cli.quick,
        };
        match measure::run(programs, &job, &mut results.notes) {
            Ok(figures) => results.add(workload, peer, &figures),
            Err(failure) => {
                eprint!(" FAILED");
                let peer = report::peer_name(peer);
                results.note(format!("FAILED: {}, {peer}: {failure}", name_of(&workload)));
            }
        }
    }
    eprintln!();
}

/// Returns cargo's target directory. This program is
/// target/release/deps/compare-….
fn target_directory() -> Result<PathBuf, Box<dyn Error>> {
    let this = env::current_exe()?;
    let target = this
        .ancestors()
        .nth(3)
        .ok_or("this program is not in a target directory")?;
    Ok(target.to_owned())
}

fn build_peers(target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let directory = target.join("peers");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/peers/Cargo.toml");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&directory)
        .status()?;
    if !status.success() {
        return Err("building tests/bench/peers failed".into());
    }
    Ok(directory.join("release/peer"))
}

/// Returns the load average of the last minute, which includes the build of this
/// program.
fn load_average() -> f64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = load.split(' ').next().unwrap_or_default();
    minute.parse().unwrap_or(f64::NAN)
}

fn circumstances(cli: &Cli, load: f64, seconds: f64) -> Circumstances {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let processor = processor
        .lines()
        .find(|line| line.starts_with("model name"));
    Circumstances {
        cores: thread::available_parallelism().map_or(0, usize::from),
        system: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        processor: processor
            .and_then(|line| line.split(": ").nth(1))
            .unwrap_or_default()
            .to_owned(),
        quick: cli.quick,
        steady_memcpy: cli.steady_memcpy,
        load,
        seconds,
    }
}

fn write_files(
    target: &Path,
    results: &Results,
    circumstances: &Circumstances,
) -> Result<(), Box<dyn Error>> {
    let directory = target.join("compare");
    fs::create_dir_all(&directory)?;
    let files = [
        ("results.json", json::document(results, circumstances)),
        ("results.svg", plot::svg(results)),
    ];
    for (name, content) in files {
        let path = directory.join(name);
        fs::write(&path, content)?;
        println!("{}", path.display());
    }
    Ok(())
}
