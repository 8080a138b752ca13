//! The threads that work for a wire. A close waits for them, but not for the thread that
//! it runs on: a handler may close its own wire.

use crate::{
    error::Operation,
    sync::{Condvar, Mutex, thread_local},
    yamux,
};
use std::{cell::RefCell, mem, sync::Arc, time::Instant};

/// How many of the tasks that keep running an error names.
const MAX_NAMED: usize = 8;

thread_local! {
    /// The tasks of the current thread, innermost last.
    static TASKS: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with the tasks of the current thread. Returns the default if the thread is
/// about to end: the destructor of a thread-local may close a wire after the tasks have
/// been destroyed.
fn with_tasks<T: Default>(f: impl FnOnce(&mut Vec<Task>) -> T) -> T {
    let result = TASKS.try_with(|tasks| f(&mut tasks.borrow_mut()));
    result.unwrap_or_default()
}

/// Something that a thread does for a wire.
struct Task {
    shared: Arc<SharedCounts>,
    /// Its key in [`Counts::operations`].
    id: u64,
    /// The stream that the task serves.
    stream: Option<yamux::Stream>,
    /// Whether the opening of that stream has not been answered yet.
    is_opening: bool,
}

/// The threads of one wire.
#[derive(Clone, Default)]
pub(crate) struct Threads {
    shared: Arc<SharedCounts>,
}

#[derive(Default)]
struct SharedCounts {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Default)]
struct Counts {
    /// The tasks that have not ended.
    running: usize,
    /// The running tasks whose threads are in [`Threads::join`].
    joining: usize,
    /// The running tasks whose threads wait for a close, so that no close may wait for
    /// them.
    excluded: usize,
    /// Openings of streams that have not been answered yet.
    openings: usize,
    /// The id of the next task.
    next: u64,
    /// The program's code that tasks are running. Sorted by the ids of the tasks.
    operations: Vec<(u64, Operation)>,
}

impl Counts {
    /// Sets what a task runs. Returns what it ran before.
    fn set_operation(&mut self, id: u64, operation: Option<Operation>) -> Option<Operation> {
        let found = self.operations.binary_search_by_key(&id, |(id, _)| *id);
        match (found, operation) {
            (Ok(index), Some(new)) => Some(mem::replace(&mut self.operations[index].1, new)),
            (Ok(index), None) => Some(self.operations.remove(index).1),
            (Err(index), Some(new)) => {
                self.operations.insert(index, (id, new));
                None
            }
            // It ran nothing.
            (Err(_), None) => None,
        }
    }
}

/// The tasks that had not ended by the deadline of [`Threads::join`].
#[derive(Debug, Default)]
pub(crate) struct StillRunning {
    pub(crate) count: usize,
    /// What the first of them run, as far as it is the program's code.
    pub(crate) operations: Vec<Operation>,
}

impl Threads {
    /// Returns `work` as a task, which counts as running from now until it has run or is
    /// dropped.
    pub(crate) fn track<T, W: FnOnce() -> T>(&self, work: W) -> impl FnOnce() -> T + use<T, W> {
        let shared = Arc::clone(&self.shared);
        let mut counts = shared.counts.lock();
        counts.running += 1;
        let id = counts.next;
        counts.next += 1;
        drop(counts);
        let running = RunningTask { shared, id };
        move || {
            let pushed = PushedTask::new(&running);
            let result = work();
            drop(pushed);
            drop(running);
            result
        }
    }

    /// Returns the streams that the current thread serves.
    pub(crate) fn current_streams(&self) -> Vec<yamux::Stream> {
        with_tasks(|tasks| {
            let own = tasks.iter().filter(|task| self.owns(task));
            own.filter_map(|task| task.stream.clone()).collect()
        })
    }

    /// Counts the opening of a stream as unanswered until the returned guard is dropped, on
    /// any thread.
    pub(crate) fn begin_opening(&self) -> UnansweredOpening {
        let shared = Arc::clone(&self.shared);
        shared.counts.lock().openings += 1;
        UnansweredOpening { shared }
    }

    /// Waits until all openings are answered, except those that the current thread answers.
    pub(crate) fn wait_openings(&self, deadline: Instant) {
        let current = with_tasks(|tasks| {
            let own = tasks.iter().filter(|task| self.owns(task));
            own.filter(|task| task.is_opening).count()
        });
        let mut counts = self.shared.counts.lock();
        while counts.openings > current {
            let waited = self.shared.changed.wait_until(&mut counts, deadline);
            if waited.timed_out() {
                return;
            }
        }
    }

    fn owns(&self, task: &Task) -> bool {
        Arc::ptr_eq(&task.shared, &self.shared)
    }

    /// Returns whether the current thread runs this task of the wire.
    fn is_current(&self, id: u64) -> bool {
        with_tasks(|tasks| tasks.iter().any(|task| task.id == id && self.owns(task)))
    }

    /// Returns the number of the wire's tasks that the current thread runs.
    fn current_tasks(&self) -> usize {
        with_tasks(|tasks| tasks.iter().filter(|task| self.owns(task)).count())
    }

    /// Returns whether the current thread is one of the wire's.
    pub(crate) fn include_current(&self) -> bool {
        self.current_tasks() > 0
    }

    /// Keeps every close from waiting for the current thread until the returned guard is
    /// dropped: the thread itself waits for a close.
    pub(crate) fn exclude_current(&self) -> ExcludedThread<'_> {
        let tasks = self.current_tasks();
        self.shared.counts.lock().excluded += tasks;
        self.shared.changed.notify_all();
        let shared = &self.shared;
        ExcludedThread { shared, tasks }
    }

    /// Waits until all tasks have ended, except those of threads that are in this function
    /// themselves. Returns the tasks that had not ended by the deadline.
    pub(crate) fn join(&self, deadline: Instant) -> StillRunning {
        let current = self.current_tasks();
        let mut counts = self.shared.counts.lock();
        counts.joining += current;
        self.shared.changed.notify_all();
        // A thread of the program waits for all tasks, including those whose threads are
        // waiting here. A thread of the wire does not wait for these: two would wait for each
        // other.
        let left = |counts: &Counts| match current {
            0 => counts.running.saturating_sub(counts.excluded),
            _ => counts
                .running
                .saturating_sub(counts.joining + counts.excluded),
        };
        while left(&counts) > 0 {
            let waited = self.shared.changed.wait_until(&mut counts, deadline);
            if waited.timed_out() {
                break;
            }
        }
        let count = left(&counts);
        counts.joining -= current;
        let operations = counts.operations.iter();
        let others = operations.filter(|(id, _)| !self.is_current(*id));
        let named = others.take(count.min(MAX_NAMED));
        let operations = named.map(|(_, operation)| operation.clone()).collect();
        StillRunning { count, operations }
    }
}

/// Keeps a close from waiting for a thread; see [`Threads::exclude_current`].
#[must_use]
pub(crate) struct ExcludedThread<'a> {
    shared: &'a SharedCounts,
    tasks: usize,
}

impl ExcludedThread<'_> {
    /// Returns whether the thread is one of the wire's own.
    pub(crate) fn is_own(&self) -> bool {
        self.tasks > 0
    }
}

impl Drop for ExcludedThread<'_> {
    fn drop(&mut self) {
        self.shared.counts.lock().excluded -= self.tasks;
    }
}

/// Notes that the current thread serves `stream`, beginning with the answer to its opening,
/// until the returned guard is dropped.
pub(crate) fn set_current_stream(stream: &yamux::Stream) -> CurrentStream {
    with_tasks(|tasks| {
        if let Some(task) = tasks.last_mut() {
            task.stream = Some(stream.clone());
            task.is_opening = true;
        }
    });
    CurrentStream
}

/// The stream that a thread serves; see [`set_current_stream`].
#[must_use]
pub(crate) struct CurrentStream;

impl Drop for CurrentStream {
    fn drop(&mut self) {
        let stream = with_tasks(|tasks| tasks.last_mut()?.stream.take());
        // Outside of `with_tasks`: this may run code of ours that uses the tasks.
        drop(stream);
    }
}

/// An opening that has not been answered yet; see [`Threads::begin_opening`].
#[must_use]
pub(crate) struct UnansweredOpening {
    shared: Arc<SharedCounts>,
}

impl UnansweredOpening {
    /// Notes that the current thread has answered it, and now runs the handler of the
    /// stream `name` until its task ends.
    pub(crate) fn answered(self, name: &str) {
        let id = with_tasks(|tasks| {
            let task = tasks.last_mut()?;
            task.is_opening = false;
            Some(task.id)
        });
        if let Some(id) = id {
            let operation = Operation::Handler(name.into());
            self.shared.counts.lock().set_operation(id, Some(operation));
        }
        drop(self);
    }
}

impl Drop for UnansweredOpening {
    fn drop(&mut self) {
        self.shared.counts.lock().openings -= 1;
        self.shared.changed.notify_all();
    }
}

/// Notes that the current thread runs the program's code for `operation` until the returned
/// guard is dropped.
pub(crate) fn set_current_operation(operation: Operation) -> CurrentOperation {
    let task = with_tasks(|tasks| {
        let task = tasks.last()?;
        Some((Arc::clone(&task.shared), task.id))
    });
    CurrentOperation(task.map(|(shared, id)| {
        let outer = shared.counts.lock().set_operation(id, Some(operation));
        (shared, id, outer)
    }))
}

/// The program's code that a thread runs; see [`set_current_operation`].
#[must_use]
pub(crate) struct CurrentOperation(Option<(Arc<SharedCounts>, u64, Option<Operation>)>);

impl Drop for CurrentOperation {
    fn drop(&mut self) {
        if let Some((shared, id, outer)) = self.0.take() {
            shared.counts.lock().set_operation(id, outer);
        }
    }
}

/// Counts a task as running until it is dropped.
struct RunningTask {
    shared: Arc<SharedCounts>,
    id: u64,
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        let mut counts = self.shared.counts.lock();
        counts.running -= 1;
        counts.set_operation(self.id, None);
        drop(counts);
        self.shared.changed.notify_all();
    }
}

/// The innermost task of the current thread, until this is dropped.
struct PushedTask;

impl PushedTask {
    fn new(running: &RunningTask) -> Self {
        let task = Task {
            shared: Arc::clone(&running.shared),
            id: running.id,
            stream: None,
            is_opening: false,
        };
        with_tasks(|tasks| tasks.push(task));
        Self
    }
}

impl Drop for PushedTask {
    fn drop(&mut self) {
        let task = with_tasks(Vec::pop);
        // Outside of `with_tasks`: this may run code of ours that uses the tasks.
        drop(task);
    }
}
