//! The example programs, run as processes, the way a person runs them.

mod bytes;
mod program;
mod quickstart;
mod transfer_files;
