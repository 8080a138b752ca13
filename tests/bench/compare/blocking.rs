//! What the blocking peers share: traits through which all of them do the same
//! work, and the services of their servers.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::child::{Counter, Tally};
use crate::workload::{BLOCK, Job, MESSAGE, Service};

/// A two-way stream. Reads return zero once the peer has ended its direction.
pub trait Duplex: Read + Write {
    fn finish(&mut self) -> io::Result<()>;

    /// Sends one message.
    fn send(&mut self, message: &[u8]) -> io::Result<()>;

    /// Receives one message of exactly this length. Returns `false` if the stream
    /// has ended.
    fn receive(&mut self, message: &mut [u8]) -> io::Result<bool>;

    fn close(self) -> io::Result<()>;
}

/// The client's side of a connection.
pub trait Session: Sized + Send + Sync {
    type Stream: Duplex + Send + Sync;

    fn dial(job: &Job) -> io::Result<Self>;
    fn open(&self, service: Service) -> io::Result<Self::Stream>;
}

/// A listening server that counts its sessions.
pub struct Listening {
    pub addr: SocketAddr,
    pub counter: Arc<Counter>,
}

impl Listening {
    /// Serves each connection on a new thread.
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

/// Prints an error if it is about wrong bytes. Other errors do not matter: the
/// client notices a missing answer itself, and it may already be gone.
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

/// Answers one message, then stays idle until the client ends the stream.
fn hold(stream: &mut impl Duplex) -> io::Result<()> {
    echo(stream, 1)?;
    stream.receive(&mut [0]).map(drop)
}

/// Returns the service that an anonymous stream requests with its first byte, or
/// the service that the workload implies.
pub fn requested_service(stream: &mut impl Read, job: &Job) -> io::Result<Service> {
    if let Some(service) = job.workload.implied_service() {
        return Ok(service);
    }
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Service::from_byte(byte[0]).ok_or_else(|| io::Error::other("unknown service"))
}

pub fn request_service(stream: &mut impl Write, job: &Job, service: Service) -> io::Result<()> {
    if job.workload.implied_service().is_some() {
        return Ok(());
    }
    stream.write_all(&[service.byte()])
}

/// Implements `Duplex::receive` for a stream of bytes, whose messages have a
/// known length.
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
