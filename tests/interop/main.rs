//! wirenet against programs in Go: layer 1 against hashicorp/yamux as it is,
//! layers 2 and 3 against a small peer that has go-wirenet's manners, and each
//! example against its Go program.
//!
//! The programs are in `go/`; README.md says what they need. Where the Go
//! toolchain or the package is missing, each test says so loudly and passes,
//! except in CI, where that is a failure.

#[path = "../examples/data.rs"]
mod data;
mod examples;
mod go;
mod hashicorp;
mod pattern;
mod peer;
#[allow(dead_code, reason = "the tests of the examples use more of it")]
#[path = "../examples/program.rs"]
mod program;
mod stage;
mod wire;
