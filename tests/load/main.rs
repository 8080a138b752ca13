//! Load tests: many sessions, many streams, and everything at once for a long time.
//! Servers, hubs and clients are separate processes, which are observed from outside.
//!
//! By default the tests are small. Environment variables set full sizes, to be run in
//! release mode:
//!
//! | variable | default | |
//! |---|---|---|
//! | `WIRENET_IDLE_SESSIONS` | 200 | idle sessions on one server |
//! | `WIRENET_TOO_MANY` | 16400 | sessions on one server, beyond what it can hold (`--ignored`) |
//! | `WIRENET_STREAMS` | 10000 | streams that one session opens, uses and closes |
//! | `WIRENET_STREAMS_AT_ONCE` | 500 | streams that are open at once on one session |
//! | `WIRENET_SOAK_SECONDS` | 10 | how long the soak test loads the hub |
//! | `WIRENET_SOAK_PACE` | 0 | average pause of each caller between two calls of the soak test, in milliseconds; leaves processor time to other programs |
//! | `WIRENET_LOAD_DEFAULT_MALLOC` | not set | leaves glibc's malloc at its defaults, with which resident memory fluctuates |

mod counts;
mod figures;
mod idle;
mod probe;
mod soak;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod waiters;

use std::{env, process::Command, str::FromStr, time::Duration};
use support::process::Other;

/// Counts allocated bytes, so that a process can report them.
#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// Returns the value of an environment variable, or a default.
fn variable_or<T: FromStr>(name: &str, default: T) -> T {
    let text = env::var(name).ok();
    text.map_or(default, |text| {
        let value = text.parse().ok();
        value.unwrap_or_else(|| panic!("{name} has a malformed value: {text}"))
    })
}

/// Starts a process whose memory is measured.
///
/// glibc's malloc keeps freed memory for later, in 16 arenas on two cores: after some
/// load a process keeps tens of megabytes, more or less by chance. These variables,
/// which any program may set, restrict it to one arena and have it return the free
/// memory at the arena's end. So resident memory is close to what the process uses.
///
/// The limit of descriptors is raised to its maximum, for ten thousand connections.
fn start(test: &str, role: &str) -> Other {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -n "$(ulimit -Hn)"; exec "$@""#, "sh"]);
    if env::var_os("WIRENET_LOAD_DEFAULT_MALLOC").is_none() {
        for (variable, value) in [
            ("MALLOC_ARENA_MAX", "1"),
            ("MALLOC_MMAP_THRESHOLD_", "4096"),
            ("MALLOC_TRIM_THRESHOLD_", "4096"),
            ("MALLOC_TOP_PAD_", "0"),
            // Without the cache that each thread has of small sizes.
            ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"),
        ] {
            shell.env(variable, value);
        }
    }
    Other::start_in(shell, test, role).unwrap()
}

/// Sends a command to a process, and returns its answer.
fn ask(other: &mut Other, command: &str, limit: Duration) -> String {
    other.say(command).expect("it runs");
    answer(other, limit)
}

/// Waits for the next line of a process.
fn answer(other: &Other, limit: Duration) -> String {
    let line = other.may_tell_within(limit);
    line.expect("it has not ended")
}
