//! What a hostile peer may try, each with its limit and its measure: how much
//! memory and time it costs the server, and how an honest client on another
//! connection fares meanwhile.
//!
//! Each attack has a server or a hub in a process of its own. A line of a table
//! is printed for each: `cargo test --test attacks -- --nocapture`.

mod attack;
mod floods;
mod frames;
mod honest;
mod server;
#[path = "../support/mod.rs"]
mod support;

mod descriptors;
mod own_code;
mod sessions;
mod silence;
mod starving;
mod strangers;
mod vanishing;

use server::Setup;

/// Counts what the server holds: the process of an attack is this program too.
#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// Every setup that a server may be started with.
const SETUPS: &[&Setup] = &[
    &server::PLAIN,
    &silence::QUICK,
    &floods::GUARDED,
    &starving::POURING,
    &vanishing::WATCHFUL,
    &silence::FEW,
    &strangers::REFUSING,
    &strangers::REFUSING_FOR_EVER,
    &sessions::VALIDATING,
    &strangers::SLOWER,
];
