//! Each example against its Go counterpart, in both directions. The Go programs
//! are in `go/src/interop/examplepeer` and send the same data.
//!
//! The examples run as processes, as in the tests of the examples. If a Go program
//! ends first, it closes the connection without notice, and maybe with a reset.
//! The complaints of our example about that are allowed.

mod auth;
mod bytes;
mod exchange;
mod hub;
mod keyboard;
mod reconnect;
mod shell;
#[cfg(feature = "tls")]
mod tls;
mod transfer_files;

use crate::go_peer::GoPeer;
use crate::go_programs::GoPrograms;
use crate::program::Program;

/// Starts the role of the Go program that listens. Returns its address too.
fn go_serves(programs: &GoPrograms, example: &str, args: &[&str]) -> (GoPeer, String) {
    go_serves_at(programs, example, "127.0.0.1:0", args)
}

fn go_serves_at(
    programs: &GoPrograms,
    example: &str,
    addr: &str,
    args: &[&str],
) -> (GoPeer, String) {
    let mut go = go_joins(programs, example, "server", addr, args);
    let addr = go.listen_address().to_string();
    (go, addr)
}

/// Starts a role of the Go program that connects.
fn go_joins(programs: &GoPrograms, example: &str, role: &str, addr: &str, args: &[&str]) -> GoPeer {
    let args = [&[example, role, "-addr", addr], args].concat();
    programs.start("examplepeer", &args)
}

/// Stops our server after its Go clients have left. They close without notice, so a server
/// that has not read their end yet may complain that they confirmed nothing, and about
/// nothing else.
#[track_caller]
fn stop_after_clients(ours: Program) {
    let ended = ours.terminate();
    assert!(ended.status.success(), "{ended:?}");
    let unconfirmed = |line: &str| line.contains(" not acknowledged");
    assert!(ended.stderr.lines().all(unconfirmed), "{ended:?}");
}
