//! wirenet
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations, unreachable_pub)]

mod error;
pub mod transport;
mod wire;
pub mod yamux;

pub use error::{Error, Malformed, OpError, Operation, Panicked, Refusal, RefusalCode};
pub use wire::{Builder, FrameError, Reader, Session, SessionId, Stream, Wire, Writer};
