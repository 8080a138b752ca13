//! Each example against its Go program, both ways round. `go/src/interop/
//! examplepeer` is that program; what goes over the wire is the same for both.
//!
//! An example here is a process, as in the tests of the examples. Where a Go
//! program ends first it says nothing before, and perhaps with a reset of the
//! connection: what ours then complains of is its good right.

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

use crate::peer::GoPeer;
use crate::stage::Stage;

/// Starts the Go program's role that listens; gives its address too.
fn go_serves(stage: &Stage, example: &str, args: &[&str]) -> (GoPeer, String) {
    go_serves_at(stage, example, "127.0.0.1:0", args)
}

fn go_serves_at(stage: &Stage, example: &str, addr: &str, args: &[&str]) -> (GoPeer, String) {
    let mut go = go_joins(stage, example, "server", addr, args);
    let addr = go.ready().to_string();
    (go, addr)
}

/// Starts one of its roles that connect.
fn go_joins(stage: &Stage, example: &str, role: &str, addr: &str, args: &[&str]) -> GoPeer {
    let args = [&[example, role, "-addr", addr], args].concat();
    stage.start("examplepeer", &args)
}
