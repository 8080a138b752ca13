//! What models run with: shuttle's primitives, behind the interfaces of those
//! that they stand in for.
//!
//! Shuttle takes every atomic operation as sequentially consistent: what too
//! weak an ordering would allow, it does not find.

mod channel;
mod check;
mod clock;
mod condvar;
mod mutex;
mod once;

pub(crate) use channel::{Receiver, bounded, never, unbounded};
pub(crate) use check::{Time, check, check_all};
pub(crate) use clock::now;
pub(crate) use condvar::Condvar;
pub(crate) use mutex::{Mutex, MutexGuard};
pub(crate) use once::OnceLock;
pub(crate) use shuttle::{sync::atomic, thread, thread_local};
