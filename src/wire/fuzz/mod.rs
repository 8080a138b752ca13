//! Fuzz targets of wires, sessions and named streams, and what they share.

mod chunk;
mod frame;
mod hub;
mod hub_client;
mod session;
mod stage;

pub use chunk::chunk;
pub use frame::wire_frame;
pub use hub::hub;
pub use session::session;
