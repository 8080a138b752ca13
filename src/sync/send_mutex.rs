//! A mutex whose guard may move to another thread.
//!
//! The guard of std's mutex is tied to its thread. That of parking_lot is `Send`
//! only with a feature that excludes the feature `deadlock_detection`, which the
//! program may need. Here the guard owns the value while it lives.

use super::{Condvar, Mutex};
use std::{
    fmt,
    ops::{Deref, DerefMut},
};

/// A mutex whose guard is `Send`.
pub(crate) struct SendMutex<T> {
    state: Mutex<Slot<T>>,
    returned: Condvar,
}

struct Slot<T> {
    /// `None` while a guard owns it.
    value: Option<T>,
    /// How many threads wait for it.
    waiting: usize,
}

impl<T> SendMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            state: Mutex::new(Slot {
                value: Some(value),
                waiting: 0,
            }),
            returned: Condvar::new(),
        }
    }

    /// Waits for the value, behind the threads that already wait: a thread that
    /// locks repeatedly does not starve them.
    pub(crate) fn lock(&self) -> SendMutexGuard<'_, T> {
        let mut state = self.state.lock();
        if state.waiting > 0 || state.value.is_none() {
            state.waiting += 1;
            self.returned.wait(&mut state);
            while state.value.is_none() {
                self.returned.wait(&mut state);
            }
            state.waiting -= 1;
        }
        SendMutexGuard {
            mutex: self,
            value: state.value.take(),
        }
    }

    /// Returns a guard, unless another one owns the value.
    pub(crate) fn try_lock(&self) -> Option<SendMutexGuard<'_, T>> {
        let value = Some(self.state.lock().value.take()?);
        Some(SendMutexGuard { mutex: self, value })
    }
}

impl<T> fmt::Debug for SendMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendMutex").finish_non_exhaustive()
    }
}

/// Owns the value, and gives it back on drop.
pub(crate) struct SendMutexGuard<'a, T> {
    mutex: &'a SendMutex<T>,
    /// `None` only during drop.
    value: Option<T>,
}

impl<T> Deref for SendMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
            .as_ref()
            .expect("the guard owns the value until it is dropped")
    }
}

impl<T> DerefMut for SendMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value
            .as_mut()
            .expect("the guard owns the value until it is dropped")
    }
}

impl<T> Drop for SendMutexGuard<'_, T> {
    fn drop(&mut self) {
        let mut state = self.mutex.state.lock();
        state.value = self.value.take();
        let waited_for = state.waiting > 0;
        drop(state);
        if waited_for {
            self.mutex.returned.notify_one();
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_guard_that_moves_to_another_thread_unlocks_there() {
        let mutex = SendMutex::new(1);
        let mut guard = mutex.lock();
        assert!(mutex.try_lock().is_none());
        thread::scope(|scope| {
            scope.spawn(|| {
                *guard += 1;
                drop(guard);
            });
            assert_eq!(*mutex.lock(), 2);
        });
    }

    #[test]
    fn one_thread_at_a_time_owns_the_value() {
        let mutex = SendMutex::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|_| *mutex.lock() += 1));
            }
        });
        assert_eq!(*mutex.lock(), 8_000);
    }
}
