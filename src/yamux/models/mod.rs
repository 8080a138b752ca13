//! Models of a connection's threads, which a model checker runs in many schedules;
//! see [`sync`](crate::sync).
//!
//! A model fails when one of its assertions fails, or when a thread waits forever:
//! at its end all threads must have ended.

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
mod waker;
