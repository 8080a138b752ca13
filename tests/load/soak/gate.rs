//! A gate that lets callers work, and makes all of them pause.

use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    ended: bool,
    inside: usize,
}

/// A caller that is working. Dropping this ends its work.
pub struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.state.lock().inside -= 1;
        self.0.changed.notify_all();
    }
}

impl Gate {
    /// Waits until the gate is open. Returns `None` after [`end`](Self::end).
    pub fn enter(&self) -> Option<Inside<'_>> {
        let mut state = self.state.lock();
        self.changed
            .wait_while(&mut state, |state| !state.open && !state.ended);
        if state.ended {
            return None;
        }
        state.inside += 1;
        Some(Inside(self))
    }

    /// Sleeps, but no longer than the gate is open.
    pub fn linger(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut state = self.state.lock();
        while state.open && !self.changed.wait_until(&mut state, deadline).timed_out() {}
    }

    pub fn open(&self) {
        self.state.lock().open = true;
        self.changed.notify_all();
    }

    /// Closes the gate, and waits until no caller is inside. Returns the number of
    /// callers that are still inside after `limit`.
    pub fn clear(&self, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        let mut state = self.state.lock();
        state.open = false;
        self.changed.notify_all();
        while state.inside > 0 && !self.changed.wait_until(&mut state, deadline).timed_out() {}
        state.inside
    }

    /// Closes the gate permanently.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.open = false;
        self.changed.notify_all();
    }
}
