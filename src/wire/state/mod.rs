//! The state of a wire. Nothing here runs on its own thread, apart from the pool's
//! threads, which run the jobs that they are given.
//!
//! The files, in reading order:
//!
//! 1. `options`: the values that the builder has set; `retry` and `access` are two
//!    options with their own rules.
//! 2. `wire_state`: everything that the threads of a wire share, and its lock.
//! 3. `lifecycle`: whether the wire runs, is being closed, or is closed.
//! 4. `handshakes`: connections on which a session is being opened; `registry`: sessions,
//!    with an `index` by identification and by offered stream name, and on a hub the owners
//!    of names. Both are data under the lock of `wire_state`; `session_opening` moves a
//!    session through them.
//! 5. `handlers`: the handlers by name; `any_error`: handlers whose errors have any type;
//!    `admitted`: what a name is looked up as; `pool`: the threads that run handlers.
//! 6. `takeovers`: whether two clients use one identification.
//! 7. `error_context` and `deferred`: errors on their way to the error handler, and log
//!    lines on their way to the logger; `last_failure`: why there is no session.

pub(crate) mod access;
pub(crate) mod admitted;
pub(crate) mod any_error;
pub(crate) mod deferred;
pub(crate) mod error_context;
pub(crate) mod handlers;
pub(crate) mod handshakes;
mod index;
pub(crate) mod last_failure;
pub(crate) mod lifecycle;
pub(crate) mod options;
pub(crate) mod pool;
pub(crate) mod registry;
pub(crate) mod retry;
pub(crate) mod session_opening;
pub(crate) mod takeovers;
pub(crate) mod wire_state;
