//! Runs a target of the library's with so much memory and no more.

use cap::Cap;
use std::{
    alloc::System,
    panic,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A program that fuzzes the target of this name, which may take so many MiB of
/// memory.
#[macro_export]
macro_rules! target {
    ($name:ident, $mebibytes:literal) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            $crate::run(wirenet::fuzz::$name, data, $mebibytes << 20)
        });
    };
}

/// Counts all memory of the library, and gives no more than is allowed: beyond
/// that the process aborts, which is a finding.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// What was held before the first run.
static BEFORE: AtomicUsize = AtomicUsize::new(usize::MAX);

static HOOK: Once = Once::new();

/// What may be left for later when a run is over: the library keeps up to 64
/// buffers, and threads of a pool.
const KEPT: usize = 8 << 20;

/// Runs `target`. It may take `most` bytes of memory at once, and keep none.
pub fn run(target: fn(&[u8]), data: &[u8], most: usize) {
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // To tell of it takes memory too.
            let _ = MEMORY.set_limit(usize::MAX);
            hook(info);
        }));
    });
    let now = MEMORY.allocated();
    let before = BEFORE.fetch_min(now, Ordering::Relaxed).min(now);
    MEMORY
        .set_limit(before + KEPT + most)
        .expect("room for the run");
    target(data);
    MEMORY.set_limit(usize::MAX).expect("no limit");
    let kept = MEMORY.allocated().saturating_sub(before);
    assert!(kept <= KEPT, "{kept} bytes were kept after a run");
}
