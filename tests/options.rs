//! The options of a builder: a test for each promise of their documentation.

mod support;

#[path = "options/addresses.rs"]
mod addresses;
#[path = "options/error_handler.rs"]
mod error_handler;
#[path = "options/handler_errors.rs"]
mod handler_errors;
#[path = "options/hooks.rs"]
mod hooks;
#[path = "options/identification.rs"]
mod identification;
#[path = "options/keepalive.rs"]
mod keepalive;
#[path = "options/limits.rs"]
mod limits;
#[path = "options/stats.rs"]
mod stats;
#[path = "options/threads.rs"]
mod threads;
#[path = "options/timeouts.rs"]
mod timeouts;
