//! wirenet against programs in Go: layer 1 against hashicorp/yamux as it is,
//! layers 2 and 3 against a small peer that has go-wirenet's manners.
//!
//! The programs are in `go/`; README.md says what they need. Where the Go
//! toolchain or the package is missing, each test says so loudly and passes,
//! except in CI, where that is a failure.

mod go;
mod hashicorp;
mod pattern;
mod peer;
mod stage;
mod wire;
