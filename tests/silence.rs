//! A network that goes silent is noticed in time. These tests have a binary of their own,
//! because other load would delay them.

mod support;

#[path = "silence/noticed.rs"]
mod noticed;
#[path = "silence/signals.rs"]
mod signals;
