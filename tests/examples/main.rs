//! The example programs, run as processes, the way a user runs them.

mod auth;
mod bytes;
mod data;
mod every_example;
mod exchange;
mod hub;
mod keyboard;
#[path = "../support/namespaces.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod namespaces;
mod odd_files;
mod program;
mod quickstart;
mod reconnect;
mod recovery_from_kills;
#[path = "../support/refusing.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod refusing;
mod resources;
mod service_manager;
mod shell;
mod through_nat;
#[cfg(feature = "tls")]
mod tls;
mod transfer_files;
mod tunnel;
mod tunnel_options;
