//! What the fuzzer runs of this layer.

mod frame;

pub use frame::yamux_frame;
