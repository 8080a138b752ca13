//! What the fuzzer runs of this layer.

mod bytes;
mod frame;
mod frames;
mod held;
mod peer;
mod rig;

pub use bytes::connection_bytes;
pub use frame::yamux_frame;
pub use frames::connection_frames;
