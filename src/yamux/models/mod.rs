//! The parts of a connection that wait and wake, run in many orders by a model
//! checker; see [`sync`](crate::sync).
//!
//! A model fails when one of its assertions does, or when a thread is left
//! that waits for ever: at its end all threads have to be gone.

mod closing;
mod ending;
mod held;
mod opening;
mod outbox;
mod pair;
mod ping;
mod receiving;
mod relay;
mod sending;
mod stage;
