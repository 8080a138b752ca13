//! The fuzzer's targets for yamux.

mod bytes;
mod frame;
mod frames;
mod memory;
mod peer;
mod rig;

pub(crate) use super::reader::ReadOutcome;
pub use bytes::connection_bytes;
pub use frame::yamux_frame;
pub use frames::connection_frames;
pub(crate) use peer::Peer;
pub(crate) use rig::{AT_ONCE, watch};
