//! The primitives of models: shuttle's, with the interfaces of the real ones.
//!
//! Shuttle treats every atomic operation as sequentially consistent, so models do
//! not find orderings that are too weak.

mod channel;
mod check;
mod clock;
mod condvar;
mod mutex;
mod once;

pub(crate) use channel::{Receiver, bounded, unbounded};
pub(crate) use check::{Time, check, check_all};
pub(crate) use clock::now;
pub(crate) use condvar::Condvar;
pub(crate) use mutex::{Mutex, MutexGuard};
pub(crate) use once::OnceLock;
pub(crate) use shuttle::{sync::atomic, thread, thread_local};
