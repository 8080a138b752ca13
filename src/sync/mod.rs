//! Locks, condition variables, channels, atomics, threads, and the clock for
//! deadlines.
//!
//! They come from parking_lot, crossbeam and std. In tests built with
//! `--cfg shuttle` they come from a model checker, which runs the same code in
//! thousands of schedules. The models are in the modules named `models`, beside
//! the code that they check.
//!
//! All state that threads share uses these types, with two exceptions:
//! [`Arc`](std::sync::Arc), which never blocks, and what belongs to the process and
//! not to one run of a model, such as the pool of buffers.

#[cfg(all(test, shuttle))]
mod model;
#[cfg(not(all(test, shuttle)))]
mod real;
mod send_mutex;

#[cfg(all(test, shuttle))]
pub(crate) use model::*;
#[cfg(not(all(test, shuttle)))]
pub(crate) use real::*;

pub(crate) use send_mutex::{HeldHere, SendMutex, SendMutexGuard};
