//! Load: many sessions, many streams, and everything at once for a long time.
//! Servers, hubs and clients are processes of their own, looked at from outside.
//!
//! Small by default, and full size by environment variables, in release mode:
//!
//! | variable | default | |
//! |---|---|---|
//! | `WIRENET_IDLE_SESSIONS` | 200 | idle sessions on one server |
//! | `WIRENET_TOO_MANY` | 16400 | sessions on one server that cannot have so many (`--ignored`) |
//! | `WIRENET_STREAMS` | 10000 | streams that one session opens, uses and closes |
//! | `WIRENET_STREAMS_AT_ONCE` | 500 | streams that are open at once on one session |
//! | `WIRENET_SOAK_SECONDS` | 10 | how long the soak puts load on the hub |
//! | `WIRENET_SOAK_PACE` | 0 | milliseconds that each caller of the soak rests between two calls, on average: leaves processor time to others |
//! | `WIRENET_LOAD_MALLOC_AS_IT_IS` | not set | glibc's malloc is not told to give memory back; what is resident goes up and down then |

mod counts;
mod figures;
mod idle;
mod probe;
mod soak;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod waiters;

use std::{env, process::Command, str::FromStr};
use support::process::Other;

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

/// Starts a process whose memory is looked at.
///
/// glibc's malloc keeps what was freed for later, in 16 places on two cores: a
/// process has tens of megabytes of it after some load, more or less by chance.
/// These variables, which anybody may set, have it kept in one place, and given
/// back where it lies at the end of that: so what is resident tells nearly what
/// the process holds.
///
/// Ten thousand connections need as many files as the machine allows.
fn start(test: &str, role: &str) -> Other {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -n "$(ulimit -Hn)"; exec "$@""#, "sh"]);
    if env::var_os("WIRENET_LOAD_MALLOC_AS_IT_IS").is_none() {
        for (variable, value) in [
            ("MALLOC_ARENA_MAX", "1"),
            ("MALLOC_MMAP_THRESHOLD_", "4096"),
            ("MALLOC_TRIM_THRESHOLD_", "4096"),
            ("MALLOC_TOP_PAD_", "0"),
            // And for each thread some of each small size, until it ends.
            ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"),
        ] {
            shell.env(variable, value);
        }
    }
    Other::start_in(shell, test, role).unwrap()
}
