//! The example programs, run as processes, the way a person runs them.

mod alike;
mod auth;
mod bytes;
mod exchange;
mod keyboard;
mod program;
mod quickstart;
mod reconnect;
mod shell;
mod transfer_files;
