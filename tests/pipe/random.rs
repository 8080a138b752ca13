//! Many pipes at once, whose ends are reset, or stop reading, at any time.

use crate::{
    support::{PATIENCE, random::Random, threads, wires::Link},
    tcp_pair,
};
use crossbeam_channel::{Receiver, Sender, unbounded};
use socket2::SockRef;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};
use wirenet::{Builder, Stream};

const WORKERS: u64 = 4;
const PIPES: usize = 25;

/// What one end of a pipe does.
#[derive(Debug)]
struct Plan {
    /// How many bytes it sends.
    sends: usize,
    /// Whether it then ends its data. Otherwise it resets.
    ends: bool,
    /// How many bytes it reads before it leaves.
    reads: u64,
}

impl Plan {
    fn new(random: &mut Random) -> Self {
        let most = random.pick(&[100, 1_000_000]);
        Self {
            sends: random.below(most),
            ends: random.chance(60),
            reads: match random.chance(20) {
                true => random.below(most) as u64,
                false => u64::MAX,
            },
        }
    }
}

/// Returns the number of bytes before the end of the data; `None` if they end with a failure,
/// or if the end is not read.
fn count(from: impl Read, most: u64) -> Option<u64> {
    let count = io::copy(&mut from.take(most), &mut io::sink()).ok();
    count.filter(|count| *count < most)
}

/// Uses the stream's end of a pipe. Returns how many bytes it has received, if these are all.
fn use_stream(stream: Stream, plan: &Plan) -> Option<u64> {
    thread::scope(|scope| {
        scope.spawn(|| {
            let sent = (&stream).write_all(&vec![1; plan.sends]);
            match plan.ends {
                // Fails if the peer has reset it.
                true => drop(sent.and_then(|()| stream.finish())),
                false => stream.reset(),
            }
        });
        count(&stream, plan.reads).filter(|_| stream.was_finished())
    })
}

/// Like [`use_stream`], for the socket's end.
fn use_socket(tcp: TcpStream, plan: &Plan) -> Option<u64> {
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            (&tcp).write_all(&vec![2; plan.sends])?;
            match plan.ends {
                true => tcp.shutdown(Shutdown::Write),
                false => SockRef::from(&tcp).set_linger(Some(Duration::ZERO)),
            }
        });
        let received = plan.ends.then(|| count(&tcp, plan.reads)).flatten();
        // The system reports a reset once: to the sender, and then the reader finds an end.
        received.filter(|_| sender.join().unwrap().is_ok())
    })
}

/// Adds a handler for each worker, which connects streams to the worker's sockets, in turn.
fn serve(server: Builder, workers: Vec<(Receiver<TcpStream>, Sender<()>)>) -> Builder {
    let workers = workers.into_iter().enumerate();
    workers.fold(server, |server, (worker, (sockets, ended))| {
        server.stream(worker.to_string(), move |stream| {
            let piped = stream.pipe_with(sockets.recv().unwrap());
            ended.send(()).unwrap();
            piped.map(drop)
        })
    })
}

#[test]
fn no_part_is_taken_for_all_and_every_thread_ends() {
    let (givers, sockets): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| unbounded()).unzip();
    let (enders, ended): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| unbounded()).unzip();
    let workers = sockets.into_iter().zip(enders).collect();
    let link = Link::new(
        |server| serve(server.thread_name("random"), workers),
        |client| client,
    );
    thread::scope(|scope| {
        for (worker, (giver, ended)) in givers.iter().zip(&ended).enumerate() {
            let near = &link.near;
            scope.spawn(move || {
                let mut random = Random(worker as u64);
                for _ in 0..PIPES {
                    let (piped, tcp) = tcp_pair();
                    giver.send(piped).unwrap();
                    let stream = near.open_stream(format!("{worker}")).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let plans @ [of_stream, of_socket] = &[(); 2].map(|()| Plan::new(&mut random));
                    let received = thread::scope(|scope| {
                        let by_socket = scope.spawn(|| use_socket(tcp, of_socket));
                        let by_stream = use_stream(stream, of_stream);
                        [by_socket.join().unwrap(), by_stream]
                    });
                    ended.recv_timeout(PATIENCE).unwrap();
                    for (received, plan) in received.iter().zip(plans) {
                        let is_whole = received.is_none_or(|count| count == plan.sends as u64);
                        let is_right = is_whole && (plan.ends || received.is_none());
                        assert!(is_right, "{received:?} of {plans:?}");
                    }
                    if plans.iter().all(|plan| plan.ends && plan.reads == u64::MAX) {
                        assert!(!received.contains(&None), "{received:?} of {plans:?}");
                    }
                }
            });
        }
    });
    threads::await_none("random-pipe");
}
