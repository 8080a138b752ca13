//! Memory that waiting threads leave behind.

use crate::support::threads;
use parking_lot::{Condvar, Mutex};
use std::thread;

const WAITER: &str = "waiter";

/// Grows parking_lot's table of waiting threads for this many of them. The table grows
/// with the maximum of threads that wait at once, and never shrinks. After this call it
/// does not grow during the load, as long as no more than `threads` wait.
pub fn grow_table(threads: usize) {
    let (count, all_there) = (Mutex::new(0), Condvar::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            let waiter = thread::Builder::new().name(WAITER.into());
            let wait = || {
                let mut count = count.lock();
                *count += 1;
                all_there.notify_all();
                all_there.wait_while(&mut count, |count| *count < threads);
            };
            waiter.spawn_scoped(scope, wait).expect("a thread");
        }
    });
    threads::await_none(WAITER);
}
