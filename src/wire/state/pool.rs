//! The threads that run handlers and hooks: one for each job, and a few idle ones
//! that wait a while for the next job.
//!
//! A job is never queued behind a running job, which may be waiting for it. The
//! number of handlers is limited: each needs a permit, and a stream without one is
//! refused.
//!
//! One session cannot take all permits: while there are other sessions, it gets a
//! further permit only if more are free than it holds.

use crate::{
    spawn::spawn,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
        thread,
    },
};
use std::{collections::VecDeque, io, sync::Arc, time::Duration};

/// How long an idle thread waits for a job before it ends.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one wire that run handlers and hooks.
pub(crate) struct HandlerPool {
    limit: usize,
    stack_size: Option<usize>,
    thread_name: String,
    state: Mutex<PoolState>,
    submitted: Condvar,
}

#[derive(Default)]
struct PoolState {
    jobs: VecDeque<Job>,
    /// The number of threads that wait for a job. Invariant: at least `jobs.len()`.
    idle: usize,
    /// Permits in use.
    handlers: usize,
    /// The number of [`Share`]s.
    shares: usize,
    /// Whether the pool is closed, so that threads no longer wait for a job.
    closed: bool,
}

/// Why there is no permit for another handler.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Full {
    #[error("all {0} handlers are busy")]
    All(usize),
    #[error("{0} handlers of the session are busy, and few are left for others")]
    Share(usize),
}

/// One session's share of the permits.
#[derive(Debug)]
pub(crate) struct Share {
    pool: Arc<HandlerPool>,
    /// The permits that the session holds. Changed only under the pool's lock.
    handlers: Arc<AtomicUsize>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.state.lock().shares -= 1;
    }
}

/// The right to run one handler, which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct HandlerPermit {
    pool: Arc<HandlerPool>,
    of_session: Arc<AtomicUsize>,
}

impl Drop for HandlerPermit {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.handlers -= 1;
        self.of_session.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Share {
    /// Returns a permit for one more handler.
    ///
    /// # Errors
    ///
    /// When all permits are in use, or too few would be left for other sessions.
    pub(crate) fn admit(&self) -> Result<HandlerPermit, Full> {
        let limit = self.pool.limit;
        let mut state = self.pool.state.lock();
        let own = self.handlers.load(Ordering::Relaxed);
        if state.handlers >= limit {
            return Err(Full::All(limit));
        }
        if state.shares > 1 && own >= limit - state.handlers {
            return Err(Full::Share(own));
        }
        state.handlers += 1;
        self.handlers.fetch_add(1, Ordering::Relaxed);
        Ok(HandlerPermit {
            pool: Arc::clone(&self.pool),
            of_session: Arc::clone(&self.handlers),
        })
    }
}

impl std::fmt::Debug for HandlerPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandlerPool")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl HandlerPool {
    pub(crate) fn new(limit: usize, stack_size: Option<usize>, thread_name: String) -> Arc<Self> {
        Arc::new(Self {
            limit,
            stack_size,
            thread_name,
            state: Mutex::default(),
            submitted: Condvar::new(),
        })
    }

    /// Returns a share for a new session.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        self.state.lock().shares += 1;
        Share {
            pool: Arc::clone(self),
            handlers: Arc::default(),
        }
    }

    /// Returns how many calls may wait for an answer from the same peer, in addition
    /// to a call that already holds its permit: less than a quarter of the limit, and
    /// less as fewer permits are free. Returns `None` if not even this call may wait.
    /// However many peers do not answer, an eighth of the permits is left for other
    /// streams.
    pub(crate) fn others_that_may_wait(&self) -> Option<usize> {
        let free = self.limit - self.state.lock().handlers;
        let reserve = (self.limit / 8).max(1).min(self.limit - 1);
        let quarter = (self.limit / 4).max(1);
        let others = free.checked_sub(reserve)?;
        Some(others.min(quarter - 1))
    }

    /// Returns the number of permits in use.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn busy(&self) -> usize {
        self.state.lock().handlers
    }

    /// Runs `job` on an idle thread, or on a new one. Does not block. The job must not
    /// panic.
    pub(crate) fn submit(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.submit_boxed(Box::new(job))
    }

    fn submit_boxed(self: &Arc<Self>, job: Job) -> io::Result<()> {
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

    /// Ends the idle threads immediately, and each other thread after its job.
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
        spawn(builder, move || {
            let mut next = Some(first);
            while let Some(job) = next {
                job();
                next = pool.wait();
            }
        })
    }

    /// Waits for the next job. Returns `None` if the thread has been idle for too long,
    /// or the pool is closed.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{bounded, unbounded};

    #[test]
    fn there_are_as_many_permits_as_the_limit_says() {
        let pool = HandlerPool::new(2, None, "test".into());
        let session = pool.share();
        let first = session.admit().unwrap();
        let _second = session.admit().unwrap();
        assert_eq!(
            session.admit().unwrap_err().to_string(),
            "all 2 handlers are busy"
        );
        drop(first);
        session.admit().unwrap();
    }

    fn take_all(session: &Share) -> Vec<HandlerPermit> {
        std::iter::from_fn(|| session.admit().ok()).collect()
    }

    #[test]
    fn a_session_beside_others_leaves_as_many_permits_as_it_takes() {
        let pool = HandlerPool::new(1024, None, "test".into());
        let alone = pool.share();
        assert_eq!(take_all(&alone).len(), 1024);
        let others = [pool.share(), pool.share(), pool.share()];
        let taken: Vec<Vec<HandlerPermit>> = others.iter().map(take_all).collect();
        let counts: Vec<usize> = taken.iter().map(Vec::len).collect();
        assert_eq!(counts, [512, 256, 128]);
        let refused = others[0].admit().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "512 handlers of the session are busy, and few are left for others"
        );
        // A session keeps the permits that it holds; those it returns are for any session.
        drop(others);
        drop(taken);
        assert_eq!(take_all(&alone).len(), 1024);
    }

    #[test]
    fn no_session_beside_another_takes_more_than_half_of_the_permits() {
        for limit in 2..300 {
            let pool = HandlerPool::new(limit, None, "test".into());
            let (session, _other) = (pool.share(), pool.share());
            assert_eq!(take_all(&session).len(), limit.div_ceil(2));
        }
    }

    #[test]
    fn unanswered_calls_leave_an_eighth_of_the_permits_however_many_peers_there_are() {
        for limit in 2..300 {
            let pool = HandlerPool::new(limit, None, "test".into());
            let callers = pool.share();
            let mut waiting = Vec::new();
            for peer in 0..1000 {
                let mut of_peer = 0;
                loop {
                    let permit = callers.admit().expect("a permit is left");
                    if pool
                        .others_that_may_wait()
                        .is_none_or(|others| of_peer > others)
                    {
                        break;
                    }
                    waiting.push(permit);
                    of_peer += 1;
                }
                let expected = if peer == 0 { (limit / 4).max(1) } else { 0 };
                assert!(of_peer >= expected, "{of_peer} of {limit}");
                assert!(of_peer <= (limit / 4).max(1), "{of_peer} of {limit}");
            }
            assert!(waiting.len() + (limit / 8).max(1) <= limit);
        }
    }

    #[test]
    fn a_call_may_wait_with_the_only_permit() {
        let pool = HandlerPool::new(1, None, "test".into());
        let session = pool.share();
        let _permit = session.admit().unwrap();
        assert_eq!(pool.others_that_may_wait(), Some(0));
    }

    #[test]
    fn a_job_never_waits_for_another_to_end() {
        let pool = HandlerPool::new(2, None, "test".into());
        let (meet, met) = bounded(0);
        // Each job waits for the other.
        pool.submit(move || meet.send(()).unwrap()).unwrap();
        let (done, finished) = bounded(1);
        pool.submit(move || done.send(met.recv()).unwrap()).unwrap();
        finished.recv().unwrap().unwrap();
    }

    #[test]
    fn every_job_is_run_once() {
        let pool = HandlerPool::new(8, None, "test".into());
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
