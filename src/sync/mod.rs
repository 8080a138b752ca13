//! Everything that waits and wakes, and the clock that it waits by.
//!
//! These are parking_lot's, crossbeam's and std's own. Built as tests with
//! `--cfg shuttle` they are a model checker's, which runs the same code in
//! thousands of orders: in the modules named `models`, beside what they check.
//!
//! What two threads share is taken from here, except for [`Arc`](std::sync::Arc),
//! which wakes nobody, and the pool of buffers, which belongs to the process and
//! not to one run of a model.

#[cfg(all(test, shuttle))]
mod model;
#[cfg(not(all(test, shuttle)))]
mod real;
mod send_mutex;

#[cfg(all(test, shuttle))]
pub(crate) use model::*;
#[cfg(not(all(test, shuttle)))]
pub(crate) use real::*;

pub(crate) use send_mutex::{SendMutex, SendMutexGuard};
