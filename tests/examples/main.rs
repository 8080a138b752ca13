//! The example programs, run as processes, the way a person runs them.

mod alike;
mod auth;
mod bytes;
mod data;
mod exchange;
mod holdings;
mod hub;
mod keyboard;
mod kills;
#[path = "../support/namespaces.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod namespaces;
mod program;
mod quickstart;
mod reconnect;
mod shell;
mod through_nat;
#[cfg(feature = "tls")]
mod tls;
mod transfer_files;
mod tunnel;
