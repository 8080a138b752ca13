//! Named streams between two programs: layers 2 and 3 of the protocol, and
//! what people call.

mod builder;
mod handle;
mod run;
mod session;
mod state;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(all(test, shuttle))]
mod models;
#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use handle::Wire;
pub use session::{
    frame::FrameError, id::SessionId, session::Session, stats::Stats, stream::Stream,
    stream_read::Reader, stream_write::Writer,
};
pub use state::{
    access::{Caller, Request},
    retry::Retry,
};
