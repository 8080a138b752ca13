//! What a session is, and what it speaks: frames, chunks, messages, named streams.

pub(crate) mod chunk;
pub(crate) mod closing;
pub(crate) mod frame;
pub(crate) mod hello;
pub(crate) mod id;
pub(crate) mod message;
pub(crate) mod receiving;
#[expect(clippy::module_inception, reason = "the file has the name of its type")]
pub(crate) mod session;
pub(crate) mod stats;
pub(crate) mod stream;
pub(crate) mod threads;
