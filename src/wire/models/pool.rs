//! The pool: threads submit jobs, run them, leave, and close it.

use crate::{
    sync::{Condvar, Mutex, Time, check, thread},
    wire::state::pool::*,
};
use std::sync::Arc;

fn pool(limit: usize) -> Arc<HandlerPool> {
    HandlerPool::new(limit, None, "model".into())
}

/// A counter that can be waited for.
#[derive(Default)]
struct Count {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Count {
    fn add(&self) {
        *self.count.lock() += 1;
        self.changed.notify_all();
    }

    fn wait(&self, until: usize) {
        let mut count = self.count.lock();
        while *count < until {
            self.changed.wait(&mut count);
        }
    }
}

/// Two threads submit three jobs, and a third closes the pool if `closing`. With
/// [`Time::Advancing`], idle threads leave at any moment.
fn running(time: Time, closing: bool) {
    check(time, move || {
        let (pool, ran) = (pool(8), Arc::new(Count::default()));
        let submitters = [1, 2].map(|jobs| {
            let (pool, ran) = (Arc::clone(&pool), Arc::clone(&ran));
            thread::spawn(move || {
                for _ in 0..jobs {
                    let ran = Arc::clone(&ran);
                    pool.submit(move || ran.add()).unwrap();
                }
            })
        });
        if closing {
            pool.close();
        }
        for submitter in submitters {
            submitter.join().unwrap();
        }
        ran.wait(3);
        // All threads leave; if one stayed, the model would not end.
        pool.close();
    });
}

#[test]
fn every_job_is_run() {
    running(Time::Fixed, false);
}

#[test]
fn every_job_is_run_even_if_threads_leave() {
    running(Time::Advancing, false);
}

#[test]
fn every_job_is_run_even_if_the_pool_closes() {
    running(Time::Fixed, true);
}

#[test]
fn no_job_waits_for_another_job_to_end() {
    check(Time::Fixed, || {
        let (pool, met) = (pool(8), Arc::new(Count::default()));
        // Leaves a thread that is idle, or about to be.
        pool.submit(|| ()).unwrap();
        for _ in 0..2 {
            let met = Arc::clone(&met);
            let meet = move || {
                met.add();
                met.wait(2);
            };
            pool.submit(meet).unwrap();
        }
        met.wait(2);
        pool.close();
    });
}

#[test]
fn no_more_permits_are_given_than_the_limit() {
    check(Time::Fixed, || {
        let (pool, held) = (pool(2), Arc::new(Mutex::new(0)));
        let threads = [(); 3].map(|()| {
            let (pool, held) = (Arc::clone(&pool), Arc::clone(&held));
            thread::spawn(move || {
                let share = pool.share();
                let Ok(permit) = share.admit() else {
                    return false;
                };
                *held.lock() += 1;
                assert!(*held.lock() <= 2);
                *held.lock() -= 1;
                drop(permit);
                true
            })
        });
        let admitted = threads.map(|thread| thread.join().unwrap());
        assert!(admitted.iter().filter(|admitted| **admitted).count() >= 2);
        let share = pool.share();
        let _all = [share.admit().unwrap(), share.admit().unwrap()];
        assert!(share.admit().is_err());
    });
}
