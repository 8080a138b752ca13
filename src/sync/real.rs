//! The real primitives.

pub(crate) use crossbeam_channel::{Receiver, bounded, unbounded};
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
use std::time::Instant;
pub(crate) use std::{
    sync::{OnceLock, atomic},
    thread, thread_local,
};

pub(crate) fn now() -> Instant {
    Instant::now()
}
