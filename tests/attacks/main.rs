//! Attacks by hostile peers. Each test measures how much memory and time an
//! attack costs the server, checks that a limit bounds it, and checks that an
//! honest client on another connection is served meanwhile.
//!
//! Each attack has a server or a hub in a process of its own, and prints a line
//! of a table: `cargo test --test attacks -- --nocapture`.

mod attack;
mod floods;
mod frames;
mod honest_client;
mod server;
#[path = "../support/mod.rs"]
mod support;

mod callbacks;
mod descriptors;
mod sessions;
mod silence;
mod starving;
mod unauthenticated;
mod vanishing;

use server::Setup;

/// Counts what the server allocates: the server of an attack runs this program
/// too.
#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// All setups that a server can be started with.
const SETUPS: &[&Setup] = &[
    &server::PLAIN,
    &frames::FEW_HANDLERS,
    &silence::QUICK,
    &floods::GUARDED,
    &starving::POURING,
    &vanishing::WATCHFUL,
    &silence::FEW,
    &unauthenticated::REFUSING,
    &unauthenticated::REFUSING_FOREVER,
    &sessions::VALIDATING,
    &unauthenticated::SLOWER,
];
