//! Runs one of the library's fuzz targets under a memory limit.

use cap::Cap;
use std::{
    alloc::System,
    panic,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Defines a program that fuzzes the target `$name` with a limit of `$mebibytes`
/// MiB of memory.
#[macro_export]
macro_rules! target {
    ($name:ident, $mebibytes:literal) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            $crate::run(wirenet::fuzz::$name, data, $mebibytes << 20)
        });
    };
}

/// Counts the allocated memory and enforces the limit. An allocation beyond the
/// limit aborts the process, which the fuzzer reports.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// The number of bytes that were allocated before the first run.
static BEFORE: AtomicUsize = AtomicUsize::new(usize::MAX);

static HOOK: Once = Once::new();

/// How many bytes may stay allocated after a run: the library keeps up to 64
/// buffers and the threads of a pool for later use.
const KEPT: usize = 8 << 20;

/// Runs `target`, which may allocate up to `max_bytes` at once and must free all of
/// it.
///
/// # Panics
///
/// If more than [`KEPT`] bytes stay allocated after the run.
pub fn run(target: fn(&[u8]), data: &[u8], max_bytes: usize) {
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Printing the panic message allocates memory too.
            let _ = MEMORY.set_limit(usize::MAX);
            hook(info);
        }));
    });
    let now = MEMORY.allocated();
    let before = BEFORE.fetch_min(now, Ordering::Relaxed).min(now);
    MEMORY
        .set_limit(before + KEPT + max_bytes)
        .expect("less is allocated than the limit");
    target(data);
    MEMORY.set_limit(usize::MAX).expect("there is no limit");
    let kept = MEMORY.allocated().saturating_sub(before);
    assert!(
        kept <= KEPT,
        "{kept} bytes are still allocated after a run; the limit is {KEPT}"
    );
}
