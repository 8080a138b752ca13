//! The threads that work for a wire, for its close to wait for; and which of
//! them this is, so that a close from within does not wait for itself.

use crate::{
    sync::{Condvar, Mutex, thread_local},
    yamux,
};
use std::{cell::RefCell, sync::Arc, time::Instant};

thread_local! {
    /// What this thread works at, innermost last.
    static WORK: RefCell<Vec<Work>> = const { RefCell::new(Vec::new()) };
}

/// Looks at what this thread works at. Nothing any more, if it is about to end:
/// a wire that lies in a thread local is closed by its destructor, when there may
/// be no others.
fn with_work<T: Default>(look: impl FnOnce(&mut Vec<Work>) -> T) -> T {
    let looked = WORK.try_with(|all| look(&mut all.borrow_mut()));
    looked.unwrap_or_default()
}

struct Work {
    counts: Arc<Counts>,
    /// The stream that it serves.
    stream: Option<yamux::Stream>,
    /// That stream's opening is not answered yet.
    is_opening: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Threads {
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    /// Those of them that wait for the others.
    waiting: usize,
    /// Those of them that wait for a close to be over.
    aside: usize,
    /// Openings of streams that are not answered yet.
    openings: usize,
}

impl Threads {
    /// Counts `work` from now until it has run, or is dropped.
    pub(crate) fn count<T, W: FnOnce() -> T>(&self, work: W) -> impl FnOnce() -> T + use<T, W> {
        let counts = Arc::clone(&self.counts);
        counts.state.lock().running += 1;
        let counted = Counted { counts };
        move || {
            with_work(|all| {
                let counts = Arc::clone(&counted.counts);
                all.push(Work {
                    counts,
                    stream: None,
                    is_opening: false,
                });
            });
            let popped = Popped;
            let done = work();
            drop(popped);
            drop(counted);
            done
        }
    }

    /// The streams that this thread serves.
    pub(crate) fn streams_here(&self) -> Vec<yamux::Stream> {
        with_work(|all| {
            let own = all.iter().filter(|work| self.owns(work));
            own.filter_map(|work| work.stream.clone()).collect()
        })
    }

    /// Counts an opening until what is given is dropped, on whichever thread.
    pub(crate) fn count_opening(&self) -> Opening {
        let counts = Arc::clone(&self.counts);
        counts.state.lock().openings += 1;
        Opening { counts }
    }

    /// Waits until all openings are answered but those that this thread answers.
    pub(crate) fn wait_openings(&self, deadline: Instant) {
        let here = with_work(|all| {
            let own = all.iter().filter(|work| self.owns(work));
            own.filter(|work| work.is_opening).count()
        });
        let mut state = self.counts.state.lock();
        while state.openings > here {
            let waited = self.counts.changed.wait_until(&mut state, deadline);
            if waited.timed_out() {
                return;
            }
        }
    }

    fn owns(&self, work: &Work) -> bool {
        Arc::ptr_eq(&work.counts, &self.counts)
    }

    /// How much of the work is done by this thread.
    fn count_here(&self) -> usize {
        with_work(|all| all.iter().filter(|work| self.owns(work)).count())
    }

    /// Whether this is one of them.
    pub(crate) fn are_here(&self) -> bool {
        self.count_here() > 0
    }

    /// No close waits for this thread, until what is given is dropped: it waits
    /// for the close.
    pub(crate) fn step_aside(&self) -> Aside<'_> {
        let here = self.count_here();
        self.counts.state.lock().aside += here;
        self.counts.changed.notify_all();
        let counts = &self.counts;
        Aside { counts, here }
    }

    /// Waits until all have ended but those that wait here themselves; says
    /// how many have not by then.
    pub(crate) fn join(&self, deadline: Instant) -> usize {
        let here = self.count_here();
        let mut state = self.counts.state.lock();
        state.waiting += here;
        self.counts.changed.notify_all();
        // From outside, those that wait here are waited for too.
        let left = |state: &State| match here {
            0 => state.running.saturating_sub(state.aside),
            _ => state.running.saturating_sub(state.waiting + state.aside),
        };
        while left(&state) > 0 {
            let waited = self.counts.changed.wait_until(&mut state, deadline);
            if waited.timed_out() {
                break;
            }
        }
        let left = left(&state);
        state.waiting -= here;
        left
    }
}

#[must_use]
pub(crate) struct Aside<'a> {
    counts: &'a Counts,
    here: usize,
}

impl Aside<'_> {
    /// Whether this is one of the wire's own threads.
    pub(crate) fn is_inside(&self) -> bool {
        self.here > 0
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.counts.state.lock().aside -= self.here;
    }
}

/// This thread serves the stream, until what is given is dropped; at first it
/// answers its opening.
pub(crate) fn serve(stream: &yamux::Stream) -> Serving {
    with_work(|all| {
        if let Some(work) = all.last_mut() {
            work.stream = Some(stream.clone());
            work.is_opening = true;
        }
    });
    Serving
}

/// An opening that is not answered yet.
#[must_use]
pub(crate) struct Opening {
    counts: Arc<Counts>,
}

impl Opening {
    /// This thread has answered it.
    pub(crate) fn answered(self) {
        with_work(|all| {
            if let Some(work) = all.last_mut() {
                work.is_opening = false;
            }
        });
        drop(self);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.counts.state.lock().openings -= 1;
        self.counts.changed.notify_all();
    }
}

#[must_use]
pub(crate) struct Serving;

impl Drop for Serving {
    fn drop(&mut self) {
        let stream = with_work(|all| all.last_mut()?.stream.take());
        // May run code of ours that looks here.
        drop(stream);
    }
}

struct Counted {
    counts: Arc<Counts>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.state.lock().running -= 1;
        self.counts.changed.notify_all();
    }
}

struct Popped;

impl Drop for Popped {
    fn drop(&mut self) {
        let work = with_work(Vec::pop);
        drop(work);
    }
}
