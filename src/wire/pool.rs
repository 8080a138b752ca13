//! The threads that run handlers: as many as there are handlers running, up to
//! a limit, and a few that wait a while for the next.
//!
//! Nothing is queued behind a handler that runs: it may be waiting for what is
//! queued. Past the limit a job is given back.

use parking_lot::{Condvar, Mutex};
use std::{collections::VecDeque, io, sync::Arc, thread, time::Duration};

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
    /// Jobs to which the limit applies, queued or running.
    handlers: usize,
}

/// Why a job was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Full {
    #[error("all {0} handlers are busy")]
    Limit(usize),
    #[error("no thread for a handler: {0}")]
    Spawn(#[source] io::Error),
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

    /// Runs `job` on a thread that has nothing to do, or on a new one within
    /// the limit. Does not block; a panic of the job must not leave it.
    pub(crate) fn submit(
        self: &Arc<Self>,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), Full> {
        let mut state = self.state.lock();
        if state.handlers >= self.limit {
            return Err(Full::Limit(self.limit));
        }
        state.handlers += 1;
        drop(state);
        let pool = Arc::clone(self);
        let submitted = self.submit_beyond(move || {
            job();
            pool.state.lock().handlers -= 1;
        });
        if submitted.is_err() {
            self.state.lock().handlers -= 1;
        }
        submitted
    }

    /// The same for jobs of the library's own, to which the limit does not
    /// apply.
    pub(crate) fn submit_beyond(
        self: &Arc<Self>,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), Full> {
        let job: Job = Box::new(job);
        let mut state = self.state.lock();
        if state.idle > state.jobs.len() {
            state.jobs.push_back(job);
            drop(state);
            self.submitted.notify_one();
            return Ok(());
        }
        drop(state);
        self.spawn(job).map_err(Full::Spawn)
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
            let waited = self.submitted.wait_for(&mut state, IDLE);
            if waited.timed_out() && state.jobs.is_empty() {
                state.idle -= 1;
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{bounded, unbounded};

    #[test]
    fn past_the_limit_a_job_is_refused_and_not_queued() {
        let pool = Pool::new(2, None, "test".into());
        let (release, wait) = bounded::<()>(0);
        for _ in 0..2 {
            let wait = wait.clone();
            pool.submit(move || assert!(wait.recv().is_err())).unwrap();
        }
        let refused = pool.submit(|| unreachable!("refused"));
        assert!(matches!(refused, Err(Full::Limit(2))));
        drop(release);
    }

    #[test]
    fn every_job_taken_is_run_once() {
        let pool = Pool::new(8, None, "test".into());
        let (done, finished) = unbounded();
        let mut taken = 0;
        for number in 0..1000 {
            let done = done.clone();
            if pool.submit(move || done.send(number).unwrap()).is_ok() {
                taken += 1;
            }
        }
        drop(done);
        let mut numbers: Vec<i32> = finished.iter().collect();
        assert_eq!(numbers.len(), taken);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), taken);
    }
}
