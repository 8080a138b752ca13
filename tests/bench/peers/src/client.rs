//! The client's side of every workload, for the asynchronous peers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::child::{self, Figures};
use crate::mux::{self, Mux};
use crate::on_worker;
use crate::transfer::{Load, transfer};
use crate::workload::{Job, MESSAGE, Service, Sizes, Workload};

pub fn run<M: Mux>(runtime: &Runtime, job: &Job) -> io::Result<()> {
    let mut client = Client::<M>::new(job.clone());
    if !job.workload.dials_later() {
        client = command(runtime, client, |client| Box::pin(client.dial_up_to(1)))?.0;
    }
    let mut client = Some(client);
    child::serve_commands("ready", |name, number| {
        let name = name.to_owned();
        let idle = client.take().expect("put back after each command");
        let (idle, figures) = command(runtime, idle, move |client| {
            Box::pin(async move { client.execute(&name, number).await })
        })?;
        client = Some(idle);
        Ok(figures)
    })
}

type Answer<'a> = Pin<Box<dyn Future<Output = io::Result<Figures>> + Send + 'a>>;

/// Lends the client to a worker thread for one command.
fn command<M: Mux>(
    runtime: &Runtime,
    mut client: Client<M>,
    act: impl for<'a> FnOnce(&'a mut Client<M>) -> Answer<'a> + Send + 'static,
) -> io::Result<(Client<M>, Figures)> {
    on_worker(runtime, async move {
        let figures = act(&mut client).await?;
        Ok((client, figures))
    })
}

struct Client<M: Mux> {
    job: Job,
    sizes: Sizes,
    sessions: Vec<Arc<M>>,
    /// Idle streams that are kept open.
    streams: Vec<M::Stream>,
}

impl<M: Mux> Client<M> {
    fn new(job: Job) -> Self {
        Self {
            sizes: job.sizes(),
            job,
            sessions: Vec::new(),
            streams: Vec::new(),
        }
    }

    async fn execute(&mut self, command: &str, number: usize) -> io::Result<Figures> {
        match (command, self.job.workload) {
            ("run", _) => self.run().await,
            ("grow", Workload::Streams) => self.hold_up_to(number).await,
            ("grow", _) => self.dial_up_to(number).await,
            ("burst", _) => self.burst().await,
            ("ping", _) => self.ping().await,
            _ => Err(child::unknown_command(command)),
        }
    }

    async fn run(&self) -> io::Result<Figures> {
        match self.job.workload {
            Workload::Bulk64k | Workload::RelayBulk | Workload::TlsBulk => {
                self.bulk(Service::Sink).await
            }
            Workload::BulkCopy => self.bulk(Service::Copy).await,
            Workload::Fan => self.fan().await,
            Workload::Ping
            | Workload::PingOneCore
            | Workload::PingTwoCores
            | Workload::RelayPing
            | Workload::RelayPingOneCore
            | Workload::RelayPingTwoCores => self.ping().await,
            Workload::Beside => self.beside().await,
            Workload::Opens => self.opens(1).await,
            Workload::Opens32 => self.opens(self.sizes.at_once).await,
            Workload::Idle | Workload::TlsIdle | Workload::Sessions | Workload::Streams => {
                Err(child::unknown_command("run"))
            }
        }
    }

    /// Opens a stream. Sends its first byte, so that the server sees the stream.
    async fn open(&self, service: Service) -> io::Result<M::Stream> {
        open(&*self.sessions[0], service).await
    }

    async fn bulk(&self, service: Service) -> io::Result<Figures> {
        let stream = self.open(service).await?;
        let start = Instant::now();
        transfer::<M>(stream, Load::of(service, self.sizes.bulk)).await?;
        Ok(vec![("secs", start.elapsed().as_secs_f64())])
    }

    /// Measures from the start of the first sender, because this task may be the
    /// last to wake.
    async fn fan(&self) -> io::Result<Figures> {
        let share = self.sizes.bulk / self.sizes.fan as u64;
        let barrier = Arc::new(Barrier::new(self.sizes.fan));
        let mut tasks = JoinSet::new();
        for _ in 0..self.sizes.fan {
            let stream = self.open(Service::Sink).await?;
            let barrier = Arc::clone(&barrier);
            tasks.spawn(async move {
                barrier.wait().await;
                let start = Instant::now();
                transfer::<M>(stream, Load::Blocks(share)).await?;
                Ok(start)
            });
        }
        let starts = join_all(tasks).await?;
        let first = starts.into_iter().min().expect("there are senders");
        Ok(vec![("secs", first.elapsed().as_secs_f64())])
    }

    async fn ping(&self) -> io::Result<Figures> {
        let mut stream = self.open(Service::Echo).await?;
        let pings = self.sizes.pings(self.job.workload);
        let mut times = Vec::with_capacity(pings);
        for index in 0..self.sizes.warm_up + pings {
            let time = round_trip(&mut stream).await?;
            if index >= self.sizes.warm_up {
                times.push(time);
            }
        }
        stream.shutdown().await?;
        Ok(child::percentiles(times))
    }

    async fn beside(&self) -> io::Result<Figures> {
        let mut pings = self.open(Service::Echo).await?;
        round_trip(&mut pings).await?;
        let bulk = self.open(Service::Sink).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let bulk = tokio::spawn(transfer::<M>(bulk, Load::Until(Arc::clone(&stop))));
        let mut times = Vec::new();
        while start.elapsed() < self.sizes.beside {
            times.push(round_trip(&mut pings).await?);
        }
        stop.store(true, Ordering::Relaxed);
        let bytes = bulk.await.map_err(io::Error::other)??;
        let secs = start.elapsed().as_secs_f64();
        let mut figures = child::percentiles(times);
        figures.extend([("bytes", bytes as f64), ("secs", secs)]);
        Ok(figures)
    }

    async fn opens(&self, at_once: usize) -> io::Result<Figures> {
        let each = self.sizes.opens / at_once;
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..at_once {
            let session = Arc::clone(&self.sessions[0]);
            tasks.spawn(async move {
                for _ in 0..each {
                    let mut stream = session.open().await?;
                    round_trip(&mut stream).await?;
                    stream.shutdown().await?;
                }
                Ok(())
            });
        }
        join_all(tasks).await?;
        let secs = start.elapsed().as_secs_f64();
        Ok(vec![("count", (each * at_once) as f64), ("secs", secs)])
    }

    async fn dial_up_to(&mut self, count: usize) -> io::Result<Figures> {
        while self.sessions.len() < count {
            let session = mux::dial::<M>(&self.job).await?;
            self.sessions.push(Arc::new(session));
        }
        Ok(Figures::new())
    }

    async fn hold_up_to(&mut self, count: usize) -> io::Result<Figures> {
        while self.streams.len() < count {
            let mut stream = self.open(Service::Hold).await?;
            round_trip(&mut stream).await?;
            self.streams.push(stream);
        }
        Ok(Figures::new())
    }

    /// Runs a transfer on every session, 16 at a time.
    async fn burst(&self) -> io::Result<Figures> {
        for sessions in self.sessions.chunks(16) {
            let mut tasks = JoinSet::new();
            for session in sessions {
                let session = Arc::clone(session);
                let bytes = self.sizes.burst;
                tasks.spawn(async move {
                    let stream = open(&*session, Service::Sink).await?;
                    transfer::<M>(stream, Load::Blocks(bytes)).await.map(drop)
                });
            }
            join_all(tasks).await?;
        }
        Ok(Figures::new())
    }
}

async fn open<M: Mux>(session: &M, service: Service) -> io::Result<M::Stream> {
    let mut stream = session.open().await?;
    stream.write_all(&[service.byte()]).await?;
    stream.flush().await?;
    Ok(stream)
}

async fn join_all<T: 'static>(mut tasks: JoinSet<io::Result<T>>) -> io::Result<Vec<T>> {
    let mut done = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        done.push(ended.map_err(io::Error::other)??);
    }
    Ok(done)
}

async fn round_trip<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<Duration> {
    let sent = &child::block()[..MESSAGE];
    let mut received = [0; MESSAGE];
    let start = Instant::now();
    stream.write_all(sent).await?;
    stream.flush().await?;
    stream.read_exact(&mut received).await?;
    let time = start.elapsed();
    child::expect_echo(sent, &received)?;
    Ok(time)
}
