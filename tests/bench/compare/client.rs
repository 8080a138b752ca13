//! The client's side of every workload, for the blocking peers.

use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::blocking::{Duplex, Session};
use crate::child::{self, Figures, Source};
use crate::workload::{BLOCK, Job, MESSAGE, Service, Sizes, Workload};

pub fn run<S: Session>(job: &Job) -> io::Result<()> {
    let mut client = Client::<S> {
        job: job.clone(),
        sizes: job.sizes(),
        sessions: Vec::new(),
        streams: Vec::new(),
    };
    if !job.workload.dials_later() {
        client.dial_up_to(1)?;
    }
    child::serve_commands("ready", |command, number| client.execute(command, number))
}

struct Client<S: Session> {
    job: Job,
    sizes: Sizes,
    sessions: Vec<S>,
    /// Idle streams that are kept open.
    streams: Vec<S::Stream>,
}

impl<S: Session> Client<S> {
    fn execute(&mut self, command: &str, number: usize) -> io::Result<Figures> {
        match (command, self.job.workload) {
            ("run", _) => self.run(),
            ("grow", Workload::Streams) => self.hold_up_to(number),
            ("grow", _) => self.dial_up_to(number),
            ("burst", _) => self.burst(),
            ("ping", _) => self.ping(),
            _ => Err(child::unknown_command(command)),
        }
    }

    fn run(&self) -> io::Result<Figures> {
        match self.job.workload {
            Workload::Bulk64k | Workload::RelayBulk | Workload::TlsBulk => self.bulk(Service::Sink),
            Workload::BulkCopy => self.bulk(Service::Copy),
            Workload::Fan => self.fan(),
            Workload::Ping
            | Workload::PingOneCore
            | Workload::PingTwoCores
            | Workload::RelayPing
            | Workload::RelayPingOneCore
            | Workload::RelayPingTwoCores => self.ping(),
            Workload::Beside => self.beside(),
            Workload::Opens => self.opens(1),
            Workload::Opens32 => self.opens(self.sizes.at_once),
            Workload::Idle | Workload::TlsIdle | Workload::Sessions | Workload::Streams => {
                Err(child::unknown_command("run"))
            }
        }
    }

    fn open(&self, service: Service) -> io::Result<S::Stream> {
        self.sessions[0].open(service)
    }

    fn bulk(&self, service: Service) -> io::Result<Figures> {
        let stream = self.open(service)?;
        let start = Instant::now();
        match service {
            Service::Copy => copy(stream, self.sizes.bulk)?,
            _ => send(stream, self.sizes.bulk)?,
        }
        Ok(vec![("secs", start.elapsed().as_secs_f64())])
    }

    /// Measures from the start of the first sender, because this thread may be the
    /// last to wake.
    fn fan(&self) -> io::Result<Figures> {
        let share = self.sizes.bulk / self.sizes.fan as u64;
        let barrier = Barrier::new(self.sizes.fan);
        let streams: io::Result<Vec<_>> = (0..self.sizes.fan)
            .map(|_| self.open(Service::Sink))
            .collect();
        let started = |stream| {
            barrier.wait();
            let start = Instant::now();
            send(stream, share).map(|()| start)
        };
        let starts = thread::scope(|scope| {
            let senders = streams?.into_iter();
            join_all(
                senders
                    .map(|stream| scope.spawn(|| started(stream)))
                    .collect(),
            )
        })?;
        let first = starts.into_iter().min().expect("there are senders");
        Ok(vec![("secs", first.elapsed().as_secs_f64())])
    }

    fn ping(&self) -> io::Result<Figures> {
        let mut stream = self.open(Service::Echo)?;
        let pings = self.sizes.pings(self.job.workload);
        let mut times = Vec::with_capacity(pings);
        for index in 0..self.sizes.warm_up + pings {
            let time = round_trip(&mut stream)?;
            if index >= self.sizes.warm_up {
                times.push(time);
            }
        }
        stream.close()?;
        Ok(child::percentiles(times))
    }

    fn beside(&self) -> io::Result<Figures> {
        let mut pings = self.open(Service::Echo)?;
        round_trip(&mut pings)?;
        let bulk = self.open(Service::Sink)?;
        let stop = AtomicBool::new(false);
        let start = Instant::now();
        let (times, bytes) = thread::scope(|scope| {
            let bulk = scope.spawn(|| send_until(bulk, &stop));
            let times = ping_for(&mut pings, self.sizes.beside);
            stop.store(true, Ordering::Relaxed);
            let bytes = bulk.join().expect("the sender does not panic")?;
            io::Result::Ok((times?, bytes))
        })?;
        let secs = start.elapsed().as_secs_f64();
        pings.close()?;
        let mut figures = child::percentiles(times);
        figures.extend([("bytes", bytes as f64), ("secs", secs)]);
        Ok(figures)
    }

    fn opens(&self, at_once: usize) -> io::Result<Figures> {
        let each = self.sizes.opens / at_once;
        let start = Instant::now();
        thread::scope(|scope| {
            let openers = (0..at_once).map(|_| scope.spawn(|| self.open_many(each)));
            join_all(openers.collect())
        })?;
        let secs = start.elapsed().as_secs_f64();
        Ok(vec![("count", (each * at_once) as f64), ("secs", secs)])
    }

    fn open_many(&self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let mut stream = self.open(Service::Once)?;
            round_trip(&mut stream)?;
            stream.close()?;
        }
        Ok(())
    }

    fn dial_up_to(&mut self, count: usize) -> io::Result<Figures> {
        while self.sessions.len() < count {
            self.sessions.push(S::dial(&self.job)?);
        }
        Ok(Figures::new())
    }

    fn hold_up_to(&mut self, count: usize) -> io::Result<Figures> {
        while self.streams.len() < count {
            let mut stream = self.open(Service::Hold)?;
            round_trip(&mut stream)?;
            self.streams.push(stream);
        }
        Ok(Figures::new())
    }

    /// Runs a transfer on every session, 16 at a time.
    fn burst(&self) -> io::Result<Figures> {
        for sessions in self.sessions.chunks(16) {
            thread::scope(|scope| {
                let senders = sessions.iter().map(|session| {
                    scope.spawn(|| send(session.open(Service::Sink)?, self.sizes.burst))
                });
                join_all(senders.collect())
            })?;
        }
        Ok(Figures::new())
    }
}

fn join_all<T>(threads: Vec<thread::ScopedJoinHandle<'_, io::Result<T>>>) -> io::Result<Vec<T>> {
    let ended = threads
        .into_iter()
        .map(|thread| thread.join().expect("workloads do not panic"));
    ended.collect()
}

fn round_trip(stream: &mut impl Duplex) -> io::Result<Duration> {
    let sent = &child::block()[..MESSAGE];
    let mut received = [0; MESSAGE];
    let start = Instant::now();
    stream.send(sent)?;
    let answered = stream.receive(&mut received)?;
    let time = start.elapsed();
    if !answered {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    child::expect_echo(sent, &received)?;
    Ok(time)
}

fn ping_for(stream: &mut impl Duplex, duration: Duration) -> io::Result<Vec<Duration>> {
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < duration {
        times.push(round_trip(stream)?);
    }
    Ok(times)
}

fn send(mut stream: impl Duplex, bytes: u64) -> io::Result<()> {
    let mut source = Source::new(bytes);
    while let block @ [_, ..] = source.take(BLOCK) {
        stream.write_all(block)?;
    }
    confirm(stream, bytes)
}

fn copy(mut stream: impl Duplex, bytes: u64) -> io::Result<()> {
    io::copy(&mut Source::new(bytes), &mut stream)?;
    confirm(stream, bytes)
}

fn send_until(mut stream: impl Duplex, stop: &AtomicBool) -> io::Result<u64> {
    let mut bytes = 0;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(child::block())?;
        bytes += BLOCK as u64;
    }
    confirm(stream, bytes)?;
    Ok(bytes)
}

/// Ends the sending direction and waits until the receiver confirms the count.
fn confirm(mut stream: impl Duplex, bytes: u64) -> io::Result<()> {
    stream.finish()?;
    let mut confirmed = [0; 8];
    if !stream.receive(&mut confirmed)? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    child::expect_count(bytes, confirmed)?;
    stream.close()
}
