//! Load: many sessions, many streams, and everything at once for a long time.
//! Servers, hubs and clients are processes of their own, looked at from outside.
//!
//! Small by default, and full size by environment variables, in release mode:
//!
//! | variable | default | |
//! |---|---|---|
//! | `WIRENET_IDLE_SESSIONS` | 200 | idle sessions on one server |
//! | `WIRENET_STREAMS` | 10000 | streams that one session opens, uses and closes |
//! | `WIRENET_STREAMS_AT_ONCE` | 500 | streams that are open at once on one session |
//! | `WIRENET_SOAK_SECONDS` | 10 | how long the soak puts load on the hub |
//! | `WIRENET_SOAK_PACE` | 0 | milliseconds that each caller of the soak rests between two calls, on average: leaves processor time to others |

mod counts;
mod figures;
mod idle;
mod probe;
mod soak;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use std::{env, str::FromStr};

/// Counts what is allocated, so that a process can tell what it holds.
#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// The value of an environment variable, or what it is without.
fn set_or<T: FromStr>(name: &str, default: T) -> T {
    let text = env::var(name).ok();
    text.map_or(default, |text| {
        let value = text.parse().ok();
        value.unwrap_or_else(|| panic!("{name} is not what it should be: {text}"))
    })
}
