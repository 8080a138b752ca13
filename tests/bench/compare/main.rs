//! `cargo bench --bench compare`: the library beside raw TCP and two
//! asynchronous crates that speak the same protocol; its hub beside a proxy, and
//! its TLS beside rustls alone.
//!
//! Server and client are processes of their own. Every peer does a workload
//! once in each round, one after another, so that what the machine does in
//! the meantime falls on all of them; what counts are the ratios within a
//! round. Needs Linux: memory and processor time are read from /proc.

#![forbid(unsafe_code)]

mod blocking;
mod child;
mod client;
mod json;
mod layer1;
mod measure;
mod ours;
mod plan;
mod plot;
mod process;
mod proxy;
mod raw;
mod report;
mod results;
mod tls;
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
use workload::{Job, Peer, Role, Workload};

/// From this load on, what else runs decides where the scheduler puts the
/// processes, and a comparison says little.
const BUSY: f64 = 1.5;

/// Measures the library beside its peers.
#[derive(Parser)]
struct Cli {
    /// How often every peer does everything [default: 5, with --quick 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// Only these workloads, with commas between them
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Workload>,
    /// Small sizes, to see that all of it runs: not for comparing
    #[arg(long)]
    quick: bool,
    /// Layer 1 alone as one more peer of every workload but opens
    #[arg(long)]
    layer_1: bool,
    /// Keep glibc from copying with `rep movsb`, whose speed varies
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
        Some(Hidden::Child(job)) => Ok(be_child(job)?),
        // `cargo test --all-targets` starts benches too, without `--bench`.
        None if !cli.bench => {
            println!("nothing measured: use cargo bench --bench compare");
            Ok(())
        }
        None => compare(&cli),
    }
}

fn be_child(job: &Job) -> io::Result<()> {
    match job.role {
        Role::Server if job.peer == Peer::Wirenet && plan::is_relayed(job.workload) => {
            let _owner = ours::own(job)?;
            child::obey("ready", |word, _| Err(child::unknown_command(word)))
        }
        Role::Server => be_server(job),
        Role::Middle => be_middle(job),
        Role::Client => be_client(job),
    }
}

fn be_server(job: &Job) -> io::Result<()> {
    let named;
    let anonymous;
    let listening = match job.peer {
        Peer::Raw | Peer::Proxy => {
            anonymous = raw::listen(job)?;
            &anonymous
        }
        Peer::WirenetYamux => {
            anonymous = layer1::listen(job)?;
            &anonymous
        }
        Peer::Rustls => {
            anonymous = tls::listen(job)?;
            &anonymous
        }
        _ => {
            named = ours::listen(job)?;
            &named.listening
        }
    };
    child::obey(&format!("ready {}", listening.addr), |word, number| {
        child::server_command(&listening.counter, word, number)
    })
}

fn be_middle(job: &Job) -> io::Result<()> {
    let hub;
    let addr = match job.peer {
        Peer::Proxy | Peer::WirenetProxy => proxy::listen(job.addr)?,
        _ => {
            hub = ours::relay(job)?;
            hub.addr
        }
    };
    child::obey(&format!("ready {addr}"), |word, _| {
        Err(child::unknown_command(word))
    })
}

fn be_client(job: &Job) -> io::Result<()> {
    let opens = matches!(job.workload, Workload::Opens | Workload::Opens32);
    match job.peer {
        Peer::Raw | Peer::Proxy => client::run::<raw::RawSession>(job),
        Peer::Rustls => client::run::<tls::TlsSession>(job),
        Peer::WirenetYamux => client::run::<layer1::YamuxSession>(job),
        Peer::Wirenet if opens => client::run::<ours::NamedSession<ours::NotWaiting>>(job),
        _ => client::run::<ours::NamedSession<ours::Waiting>>(job),
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
        let note = format!("the machine was busy before it began: load average {load}");
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
        println!("--quick: these figures are too small to compare.");
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
                format!("NOT MEASURED: {name}, which needs taskset (util-linux) and 2 cores");
            eprintln!("{note}");
            results.note(note);
        }
        can
    });
    workloads
}

/// Every peer once, each round beginning with another.
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
                let who = report::peer_name(peer);
                results.note(format!("FAILED: {}, {who}: {failure}", name_of(&workload)));
            }
        }
    }
    eprintln!();
}

/// Where cargo put this program: target/release/deps/compare-….
fn target_directory() -> Result<PathBuf, Box<dyn Error>> {
    let this = env::current_exe()?;
    let target = this.ancestors().nth(3).ok_or("not in a target directory")?;
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
        return Err("the peers do not build".into());
    }
    Ok(directory.join("release/peer"))
}

/// Of the last minute; building what is to run is part of it.
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
    about: &Circumstances,
) -> Result<(), Box<dyn Error>> {
    let directory = target.join("compare");
    fs::create_dir_all(&directory)?;
    let files = [
        ("results.json", json::document(results, about)),
        ("results.svg", plot::svg(results)),
    ];
    for (name, content) in files {
        let path = directory.join(name);
        fs::write(&path, content)?;
        println!("{}", path.display());
    }
    Ok(())
}
