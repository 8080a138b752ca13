//! A server gives jobs to its clients, two at a time to each. A client may die in the middle.

use super::{Outcome, PATIENCE};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use wirenet::{Session, Stream, Wire};

const JOBS: usize = 100;

/// The jobs that wait. `again` takes back those that were not done; once the program has
/// dropped its own sender, `waiting` ends.
struct Queue {
    waiting: Receiver<usize>,
    again: Weak<Sender<usize>>,
}

/// Gives jobs to one client until it has left, or there are no more.
fn feed(client: &Session, queue: &Queue, results: &Sender<String>) {
    let one_at_a_time = || {
        for job in &queue.waiting {
            match call(client, job) {
                Ok(result) => results.send(result).unwrap(),
                Err(_) => {
                    if let Some(again) = queue.again.upgrade() {
                        again.send(job).unwrap();
                    }
                    return;
                }
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(one_at_a_time);
        one_at_a_time();
    });
}

fn call(client: &Session, job: usize) -> io::Result<String> {
    let stream = client.open_stream("job")?;
    stream.write_message(job.to_string())?;
    io::read_to_string(stream)
}

/// Does a job, unless it is the one at which the client dies.
fn work(stream: &mut Stream, last: Option<&str>, running: &AtomicUsize) -> io::Result<()> {
    assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
    let job = stream.read_message(20)?.unwrap_or_default();
    let job = String::from_utf8_lossy(&job);
    if last == Some(&*job) {
        stream.session().abort();
    }
    running.fetch_sub(1, Ordering::SeqCst);
    stream.write_message(format!("{job} is done"))
}

#[test]
fn jobs_of_a_client_that_dies_are_done_by_another() -> Outcome {
    let (jobs, waiting) = unbounded();
    let (jobs, (results, done)) = (Arc::new(jobs), unbounded());
    let again = Arc::downgrade(&jobs);
    let queue = Queue { waiting, again };
    let server = Wire::mount("127.0.0.1:0")
        .on_session_open(move |client| feed(client, &queue, &results))
        .build()?;
    server.start()?;
    (0..JOBS).try_for_each(|job| jobs.send(job))?;

    let client = |last: Option<&'static str>| {
        let running = AtomicUsize::new(0);
        let client = Wire::join(server.local_addr().unwrap())
            .retry_max(0)
            .stream("job", move |stream| work(stream, last, &running))
            .build()?;
        client.start_within(PATIENCE).map(|_| client)
    };
    let dies = client(Some("10"))?;
    dies.wait()?;
    let _lives = client(None)?;

    let done = done.iter().take(JOBS);
    let done: BTreeSet<String> = done.collect();
    assert!((0..JOBS).all(|job| done.contains(&format!("{job} is done"))));
    drop(jobs);
    server.close()?;
    Ok(())
}
