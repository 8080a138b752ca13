//! Lets callers work, and has them all stop for a while.

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
    over: bool,
    inside: usize,
}

/// A caller that is at work.
pub struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.state.lock().inside -= 1;
        self.0.changed.notify_all();
    }
}

impl Gate {
    /// Waits until the gate is open; `None` when all is over.
    pub fn enter(&self) -> Option<Inside<'_>> {
        let mut state = self.state.lock();
        self.changed
            .wait_while(&mut state, |state| !state.open && !state.over);
        if state.over {
            return None;
        }
        state.inside += 1;
        Some(Inside(self))
    }

    /// Waits for so long, or until the gate closes.
    pub fn linger(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut state = self.state.lock();
        while state.open && !self.changed.wait_until(&mut state, deadline).timed_out() {}
    }

    pub fn open(&self) {
        self.state.lock().open = true;
        self.changed.notify_all();
    }

    /// Closes the gate, and waits until nobody is inside; says how many are
    /// when the limit has passed.
    pub fn clear(&self, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        let mut state = self.state.lock();
        state.open = false;
        self.changed.notify_all();
        while state.inside > 0 && !self.changed.wait_until(&mut state, deadline).timed_out() {}
        state.inside
    }

    /// Nobody enters any more.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.over = true;
        state.open = false;
        self.changed.notify_all();
    }
}
