//! What the fuzzer runs of these layers.

mod chunk;
mod frame;
mod hub;
mod session;
mod side;
mod stage;

pub use chunk::chunk;
pub use frame::wire_frame;
pub use hub::hub;
pub use session::session;
