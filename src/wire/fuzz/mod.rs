//! What the fuzzer runs of these layers.

mod chunk;
mod frame;

pub use chunk::chunk;
pub use frame::wire_frame;
