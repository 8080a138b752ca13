//! Who submits, who runs, who leaves and who closes, in many orders.

use crate::{
    sync::{Condvar, Mutex, Time, check, thread},
    wire::state::pool::*,
};
use std::sync::Arc;

fn pool(limit: usize) -> Arc<HandlerPool> {
    HandlerPool::new(limit, None, "model".into())
}

/// Waits until something was counted so many times.
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

/// Two threads submit three jobs, and a third closes the pool if `closing`.
/// Where time passes, idle threads leave at any moment.
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
        // Its threads leave: were one to stay, the model would not end.
        pool.close();
    });
}

#[test]
fn every_job_is_run() {
    running(Time::Stands, false);
}

#[test]
fn every_job_is_run_though_threads_leave() {
    running(Time::Passes, false);
}

#[test]
fn every_job_is_run_though_the_pool_closes() {
    running(Time::Stands, true);
}

#[test]
fn no_job_waits_for_another_to_end() {
    check(Time::Stands, || {
        let (pool, met) = (pool(8), Arc::new(Count::default()));
        // Leaves a thread with nothing to do, or one that is about to be.
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
fn there_are_never_more_places_taken_than_there_are() {
    check(Time::Stands, || {
        let (pool, taken) = (pool(2), Arc::new(Mutex::new(0)));
        let threads = [(); 3].map(|()| {
            let (pool, taken) = (Arc::clone(&pool), Arc::clone(&taken));
            thread::spawn(move || {
                let share = pool.share();
                let Ok(place) = share.admit() else {
                    return false;
                };
                *taken.lock() += 1;
                assert!(*taken.lock() <= 2);
                *taken.lock() -= 1;
                drop(place);
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
