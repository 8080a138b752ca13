//! A network that goes silent is noticed in time. By itself, because what is
//! busy besides takes time.

mod support;

#[path = "silence/noticed.rs"]
mod noticed;
#[path = "silence/signals.rs"]
mod signals;
