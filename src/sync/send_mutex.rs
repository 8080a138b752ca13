//! A mutex whose guard may move to another thread.
//!
//! The guard of std's mutex is tied to its thread. That of parking_lot is `Send`
//! only with a feature that excludes the feature `deadlock_detection`, which the
//! program may need. Here the guard owns the value while it lives.
//!
//! The program may hold a guard for as long as it likes. Such a guard
//! [notes](SendMutexGuard::note_holder) the thread that uses it: if that thread locks again,
//! it gets an error instead of waiting for itself forever.

use super::{
    Condvar, Mutex,
    atomic::{AtomicUsize, Ordering},
    thread_local,
};
use std::{
    fmt,
    ops::{Deref, DerefMut},
};

/// The number of no thread.
const NOBODY: usize = 0;

thread_local! {
    static THREAD: usize = next_thread();
}

/// Returns a different number with each call. The numbers belong to the process, not to one run
/// of a model.
fn next_thread() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static LAST: AtomicUsize = AtomicUsize::new(NOBODY);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Returns the number of the current thread. Unlike a `ThreadId`, it can be stored in an
/// atomic.
fn current_thread() -> usize {
    // Fails only in a thread that is about to end.
    THREAD.try_with(|thread| *thread).unwrap_or(NOBODY)
}

/// The current thread holds the value itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldHere;

/// A mutex whose guard is `Send`.
pub(crate) struct SendMutex<T> {
    state: Mutex<Slot<T>>,
    returned: Condvar,
    /// The thread that last used the guard, if the guard notes it.
    holder: AtomicUsize,
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
            holder: AtomicUsize::new(NOBODY),
        }
    }

    /// Waits for the value, behind the threads that already wait: a thread that
    /// locks repeatedly does not starve them.
    ///
    /// # Errors
    ///
    /// [`HeldHere`] if this thread would wait for itself.
    pub(crate) fn lock(&self) -> Result<SendMutexGuard<'_, T>, HeldHere> {
        let mut state = self.state.lock();
        if state.waiting > 0 || state.value.is_none() {
            if state.value.is_none() && self.is_held_here() {
                return Err(HeldHere);
            }
            state.waiting += 1;
            self.returned.wait(&mut state);
            while state.value.is_none() {
                self.returned.wait(&mut state);
            }
            state.waiting -= 1;
        }
        Ok(SendMutexGuard {
            mutex: self,
            value: state.value.take(),
        })
    }

    /// Returns whether the value is locked by a guard that has
    /// [noted](SendMutexGuard::note_holder) this thread as its holder.
    pub(crate) fn is_held_here(&self) -> bool {
        let holder = self.holder.load(Ordering::Relaxed);
        holder != NOBODY && holder == current_thread()
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

impl<T> SendMutexGuard<'_, T> {
    /// Notes that the current thread holds the value, until the guard is dropped or another
    /// thread notes the same.
    pub(crate) fn note_holder(&self) {
        self.mutex.holder.store(current_thread(), Ordering::Relaxed);
    }
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
        self.mutex.holder.store(NOBODY, Ordering::Relaxed);
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
        let mut guard = mutex.lock().unwrap();
        assert!(mutex.try_lock().is_none());
        thread::scope(|scope| {
            scope.spawn(|| {
                *guard += 1;
                drop(guard);
            });
            assert_eq!(*mutex.lock().unwrap(), 2);
        });
    }

    #[test]
    fn a_thread_does_not_wait_for_itself_but_for_others() {
        let mutex = SendMutex::new(1);
        let guard = mutex.lock().unwrap();
        guard.note_holder();
        assert_eq!(mutex.lock().err(), Some(HeldHere));
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                assert!(!mutex.is_held_here());
                *mutex.lock().unwrap() += 1;
            });
            drop(guard);
            other.join().unwrap();
        });
        // The note went with the guard.
        let guard = mutex.lock().unwrap();
        assert!(!mutex.is_held_here());
        assert_eq!(*guard, 2);
        guard.note_holder();
        // It moves with the guard to the thread that uses it.
        thread::scope(|scope| {
            scope.spawn(|| guard.note_holder()).join().unwrap();
            assert!(!mutex.is_held_here());
        });
    }

    #[test]
    fn one_thread_at_a_time_owns_the_value() {
        let mutex = SendMutex::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|_| *mutex.lock().unwrap() += 1));
            }
        });
        assert_eq!(*mutex.lock().unwrap(), 8_000);
    }
}
