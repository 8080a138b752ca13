//! What the blocking peers have in common: raw TCP, the library, and its layer
//! 1 alone do the same work behind two traits.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::child::{Counter, Tally};
use crate::workload::{BLOCK, Job, MESSAGE, Service};

/// A stream in both directions. Reading gives zero where the other side has
/// ended what it sends.
pub trait Duplex: Read + Write {
    fn finish(&mut self) -> io::Result<()>;

    /// One whole message.
    fn send(&mut self, message: &[u8]) -> io::Result<()>;

    /// A message of exactly this length; false where the stream has ended.
    fn receive(&mut self, message: &mut [u8]) -> io::Result<bool>;

    fn close(self) -> io::Result<()>;
}

/// The client's side of a connection.
pub trait Session: Sized + Send + Sync {
    type Stream: Duplex + Send + Sync;

    fn dial(job: &Job) -> io::Result<Self>;
    fn open(&self, service: Service) -> io::Result<Self::Stream>;
}

/// A server that listens, and counts its sessions.
pub struct Listening {
    pub addr: SocketAddr,
    pub counter: Arc<Counter>,
}

impl Listening {
    /// Gives each connection a thread of its own.
    pub fn thread_each(
        job: &Job,
        serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(job.addr)?;
        let addr = listener.local_addr()?;
        let counter = Arc::new(Counter::default());
        let seen = Arc::clone(&counter);
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || report("connection", serve(socket)));
                seen.add_one();
            }
        });
        Ok(Self { addr, counter })
    }
}

/// The client sees for itself when an answer does not come, and it may have
/// gone already: only wrong bytes are worth a line.
pub fn report(what: &str, ended: io::Result<()>) {
    if let Err(error) = ended
        && error.kind() == io::ErrorKind::InvalidData
    {
        eprintln!("{what}: {error}");
    }
}

pub fn serve(stream: &mut impl Duplex, service: Service) -> io::Result<()> {
    match service {
        Service::Sink => sink(stream),
        Service::Copy => copy(stream),
        Service::Echo => echo(stream, usize::MAX),
        Service::Once => echo(stream, 1),
        Service::Hold => hold(stream),
    }
}

fn sink(stream: &mut impl Duplex) -> io::Result<()> {
    let mut tally = Tally::default();
    let mut buffer = vec![0; BLOCK];
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return stream.send(&tally.count.to_le_bytes());
        }
        tally.add(&buffer[..len])?;
    }
}

fn copy(stream: &mut impl Duplex) -> io::Result<()> {
    let mut tally = Tally::default();
    io::copy(stream, &mut tally)?;
    stream.send(&tally.count.to_le_bytes())
}

fn echo(stream: &mut impl Duplex, times: usize) -> io::Result<()> {
    let mut message = [0; MESSAGE];
    for _ in 0..times {
        if !stream.receive(&mut message)? {
            break;
        }
        stream.send(&message)?;
    }
    Ok(())
}

/// Idle after its one message, until the client goes.
fn hold(stream: &mut impl Duplex) -> io::Result<()> {
    echo(stream, 1)?;
    stream.receive(&mut [0]).map(drop)
}

/// An anonymous stream names its service with its first byte, unless the
/// workload has said it for all.
pub fn asked_for(stream: &mut impl Read, job: &Job) -> io::Result<Service> {
    if let Some(service) = job.workload.implied_service() {
        return Ok(service);
    }
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Service::from_byte(byte[0]).ok_or_else(|| io::Error::other("no such service"))
}

pub fn ask_for(stream: &mut impl Write, job: &Job, service: Service) -> io::Result<()> {
    if job.workload.implied_service().is_some() {
        return Ok(());
    }
    stream.write_all(&[service.byte()])
}

/// `Duplex::receive` for a stream of bytes: its messages have a known length.
pub fn receive_bytes(stream: &mut impl Read, message: &mut [u8]) -> io::Result<bool> {
    match stream.read_exact(message) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

impl Duplex for TcpStream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.write_all(message)
    }

    fn receive(&mut self, message: &mut [u8]) -> io::Result<bool> {
        receive_bytes(self, message)
    }

    fn close(self) -> io::Result<()> {
        Ok(())
    }
}
