//! What a wire holds: options, handlers, sessions, the names of a hub, and whether
//! it is closed. Nothing here runs on a thread of its own.

pub(crate) mod access;
pub(crate) mod deferred;
pub(crate) mod error_context;
pub(crate) mod handlers;
pub(crate) mod handshakes;
pub(crate) mod lifecycle;
pub(crate) mod lookup;
pub(crate) mod opening;
pub(crate) mod options;
pub(crate) mod pool;
pub(crate) mod registry;
pub(crate) mod retry;
pub(crate) mod wire_state;
