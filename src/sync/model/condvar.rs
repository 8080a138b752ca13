//! parking_lot's condition variable: it wakes threads in the order in which they
//! began to wait, and never spuriously. Shuttle's own has no timeouts.

use super::{MutexGuard, clock};
use shuttle::{
    future::batch_semaphore::{BatchSemaphore, Fairness},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, atomic},
    time::{Duration, Instant},
};

#[derive(Debug, Default)]
pub(crate) struct Condvar {
    /// Not a lock of the model: no other thread runs while it is held.
    waiters: Mutex<VecDeque<Arc<Waiter>>>,
    /// Counts waits and notifications. Each access lets shuttle switch to another
    /// thread.
    uses: AtomicUsize,
}

#[derive(Debug)]
struct Waiter {
    woken: atomic::AtomicBool,
    wake: BatchSemaphore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let waiter = self.enqueue();
        guard.unlocked(|| {
            // Fails only while shuttle tears the run down.
            let _ = waiter.wake.acquire_blocking(1);
        });
    }

    pub(crate) fn wait_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        self.wait_until(guard, clock::now() + timeout)
    }

    /// With [`Time::Advancing`](super::Time::Advancing), a wait may time out at any
    /// moment, which advances the clock to its deadline. Otherwise a wait times
    /// out only if its deadline has passed.
    pub(crate) fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        let is_due = clock::now() >= deadline;
        if !is_due && !clock::passes() {
            self.wait(guard);
            return WaitTimeoutResult(false);
        }
        let waiter = self.enqueue();
        guard.unlocked(|| {
            loop {
                thread::yield_now();
                if waiter.woken.load(atomic::Ordering::SeqCst) {
                    return WaitTimeoutResult(false);
                }
                if is_due || clock::runs_out() {
                    clock::advance(deadline);
                    self.waiters().retain(|other| !Arc::ptr_eq(other, &waiter));
                    return WaitTimeoutResult(true);
                }
            }
        })
    }

    pub(crate) fn notify_one(&self) {
        self.uses.fetch_add(1, Ordering::SeqCst);
        let first = self.waiters().pop_front();
        first.into_iter().for_each(|waiter| waiter.wake());
    }

    pub(crate) fn notify_all(&self) {
        self.uses.fetch_add(1, Ordering::SeqCst);
        let all = std::mem::take(&mut *self.waiters());
        all.into_iter().for_each(|waiter| waiter.wake());
    }

    fn enqueue(&self) -> Arc<Waiter> {
        self.uses.fetch_add(1, Ordering::SeqCst);
        let waiter = Arc::new(Waiter {
            woken: atomic::AtomicBool::new(false),
            wake: BatchSemaphore::new(0, Fairness::Unfair),
        });
        self.waiters().push_back(Arc::clone(&waiter));
        waiter
    }

    fn waiters(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Waiter>>> {
        self.waiters
            .lock()
            .unwrap_or_else(|error| error.into_inner())
    }
}

impl Waiter {
    fn wake(&self) {
        self.woken.store(true, atomic::Ordering::SeqCst);
        self.wake.release(1);
    }
}
