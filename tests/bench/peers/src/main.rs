//! The server or the client of one of the asynchronous crates, for `compare`.
//!
//! The settings are those of a careful user: a release build, a runtime with
//! one thread per core, TCP_NODELAY, and each crate's own defaults.

#![forbid(unsafe_code)]

#[path = "../../compare/child.rs"]
mod child;
mod client;
mod mux;
mod service;
mod transfer;
#[path = "../../compare/workload.rs"]
mod workload;

use std::future::Future;
use std::io;
use std::sync::Arc;

use clap::Parser;
use tokio::runtime::Runtime;

use child::Counter;
use mux::{Mux, TokioYamux, Yamux};
use workload::{Job, Peer, Role};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    job: Job,
}

fn main() -> io::Result<()> {
    let job = Cli::parse().job;
    match job.peer {
        Peer::Yamux => run::<Yamux>(&job),
        Peer::TokioYamux => run::<TokioYamux>(&job),
        other => Err(io::Error::other(format!(
            "this program does not implement the peer {other:?}"
        ))),
    }
}

fn run<M: Mux>(job: &Job) -> io::Result<()> {
    let runtime = Runtime::new()?;
    match job.role {
        Role::Server => serve::<M>(&runtime, job),
        Role::Middle => Err(io::Error::other("this program has no hub or proxy")),
        Role::Client => client::run::<M>(&runtime, job),
    }
}

fn serve<M: Mux>(runtime: &Runtime, job: &Job) -> io::Result<()> {
    let counter = Arc::new(Counter::default());
    let listening = mux::listen::<M>(job.clone(), Arc::clone(&counter));
    let addr = runtime.block_on(listening)?;
    child::serve_commands(&format!("ready {addr}"), |command, number| {
        child::server_command(&counter, command, number)
    })
}

/// Runs `work` on a worker thread, next to the tasks that it exchanges data with.
/// On the thread that calls `block_on`, every round trip would include a switch
/// between threads.
fn on_worker<T: Send + 'static>(
    runtime: &Runtime,
    work: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<T> {
    runtime.block_on(async { tokio::spawn(work).await.map_err(io::Error::other)? })
}
