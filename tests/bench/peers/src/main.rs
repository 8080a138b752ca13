//! Server or client of one of the asynchronous crates, for `compare`.
//!
//! Settings are what a careful user would have: release build, a runtime with
//! a thread for each core, TCP_NODELAY, and each crate's own defaults.

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
        other => Err(io::Error::other(format!("{other:?} is not here"))),
    }
}

fn run<M: Mux>(job: &Job) -> io::Result<()> {
    let runtime = Runtime::new()?;
    match job.role {
        Role::Server => serve::<M>(&runtime, job),
        Role::Middle => Err(io::Error::other("no hub is here")),
        Role::Client => client::run::<M>(&runtime, job),
    }
}

fn serve<M: Mux>(runtime: &Runtime, job: &Job) -> io::Result<()> {
    let counter = Arc::new(Counter::default());
    let listening = mux::listen::<M>(job.clone(), Arc::clone(&counter));
    let addr = runtime.block_on(listening)?;
    child::obey(&format!("ready {addr}"), |word, number| {
        child::server_command(&counter, word, number)
    })
}

/// Runs `work` on a worker thread, beside the tasks it talks with: the thread
/// that waits for it would add a hand-over to every round trip.
fn on_worker<T: Send + 'static>(
    runtime: &Runtime,
    work: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<T> {
    runtime.block_on(async { tokio::spawn(work).await.map_err(io::Error::other)? })
}
