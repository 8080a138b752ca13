//! The threads that run handlers: as many as there are handlers running, up to
//! a limit, and a few that wait a while for the next.
//!
//! Nothing is queued behind a handler that runs: it may be waiting for what is
//! queued. Past the limit a job is given back.

use crate::sync::{Condvar, Mutex, thread};
use std::{collections::VecDeque, io, sync::Arc, time::Duration};

/// How long a thread with nothing to do waits before it ends.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Pool {
    limit: usize,
    stack_size: Option<usize>,
    thread_name: String,
    state: Mutex<State>,
    submitted: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job. Invariant: at least `jobs.len()`.
    idle: usize,
    /// Places that are taken.
    handlers: usize,
    /// No thread waits for a job any more.
    closed: bool,
}

/// There is no place for another handler.
#[derive(Debug, thiserror::Error)]
#[error("all {0} handlers are busy")]
pub(crate) struct Full(usize);

/// A handler's place among those that the limit allows, for as long as this
/// lives.
#[derive(Debug)]
pub(crate) struct Place {
    pool: Arc<Pool>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.state.lock().handlers -= 1;
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(limit: usize, stack_size: Option<usize>, thread_name: String) -> Arc<Self> {
        Arc::new(Self {
            limit,
            stack_size,
            thread_name,
            state: Mutex::default(),
            submitted: Condvar::new(),
        })
    }

    /// A place for one more handler, within the limit.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Place, Full> {
        let mut state = self.state.lock();
        if state.handlers >= self.limit {
            return Err(Full(self.limit));
        }
        state.handlers += 1;
        let pool = Arc::clone(self);
        Ok(Place { pool })
    }

    /// Runs `job` on a thread that has nothing to do, or on a new one. Does not
    /// block; a panic of the job must not leave it.
    pub(crate) fn submit(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let job: Job = Box::new(job);
        let mut state = self.state.lock();
        if state.idle > state.jobs.len() {
            state.jobs.push_back(job);
            drop(state);
            self.submitted.notify_one();
            return Ok(());
        }
        drop(state);
        self.spawn(job)
    }

    /// Lets the threads go that have nothing to do, and each of the others when
    /// it has done its job.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.submitted.notify_all();
    }

    fn spawn(self: &Arc<Self>, first: Job) -> io::Result<()> {
        let mut builder = thread::Builder::new().name(self.thread_name.clone());
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        let pool = Arc::clone(self);
        builder.spawn(move || {
            let mut next = Some(first);
            while let Some(job) = next {
                job();
                next = pool.wait();
            }
        })?;
        Ok(())
    }

    /// The next job; `None` when none came for a while.
    fn wait(&self) -> Option<Job> {
        let mut state = self.state.lock();
        state.idle += 1;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.idle -= 1;
                return Some(job);
            }
            let waited = !state.closed && !self.submitted.wait_for(&mut state, IDLE).timed_out();
            if !waited && state.jobs.is_empty() {
                state.idle -= 1;
                return None;
            }
        }
    }
}

#[cfg(all(test, shuttle))]
mod models;

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{bounded, unbounded};

    #[test]
    fn there_are_as_many_places_as_the_limit_says() {
        let pool = Pool::new(2, None, "test".into());
        let first = pool.admit().unwrap();
        let _second = pool.admit().unwrap();
        assert_eq!(
            pool.admit().unwrap_err().to_string(),
            "all 2 handlers are busy"
        );
        drop(first);
        pool.admit().unwrap();
    }

    #[test]
    fn no_job_waits_for_another_to_end() {
        let pool = Pool::new(2, None, "test".into());
        let (meet, met) = bounded(0);
        // Each of them waits for the other.
        pool.submit(move || meet.send(()).unwrap()).unwrap();
        let (done, finished) = bounded(1);
        pool.submit(move || done.send(met.recv()).unwrap()).unwrap();
        finished.recv().unwrap().unwrap();
    }

    #[test]
    fn every_job_is_run_once() {
        let pool = Pool::new(8, None, "test".into());
        let (done, finished) = unbounded();
        for number in 0..200 {
            let done = done.clone();
            pool.submit(move || done.send(number).unwrap()).unwrap();
        }
        drop(done);
        let mut numbers: Vec<i32> = finished.iter().collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..200));
    }
}
