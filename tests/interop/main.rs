//! Tests wirenet against Go programs: layer 1 against hashicorp/yamux, layers 2
//! and 3 against a small peer that behaves like go-wirenet, and each example
//! against its Go counterpart.
//!
//! The programs are in `go/`. README.md lists what they require. If the Go
//! toolchain or the yamux package is missing, each test prints `SKIPPED` and
//! passes, except in CI, where it fails.
//!
//! In the names of tests and helpers, "we" is wirenet and "they" is the Go peer.

mod build_go;
#[path = "../examples/data.rs"]
mod data;
mod echo;
mod examples;
mod go_peer;
mod go_programs;
mod hashicorp;
mod pattern;
#[allow(dead_code, reason = "the tests of the examples use more of it")]
#[path = "../examples/program.rs"]
mod program;
mod wire;
