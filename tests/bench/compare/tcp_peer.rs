//! Plain TCP with std, as a peer of the comparison: the most that the machine can
//! do. Uses one connection per stream and one thread per connection.

use std::io;
use std::net::{SocketAddr, TcpStream};

use crate::blocking::{self, Listening, Session};
use crate::workload::{Job, Service};

pub struct TcpSession {
    job: Job,
    /// Stands in for the session while no stream is open.
    _idle: TcpStream,
}

impl Session for TcpSession {
    type Stream = TcpStream;

    fn dial(job: &Job) -> io::Result<Self> {
        Ok(Self {
            job: job.clone(),
            _idle: connect(job.addr)?,
        })
    }

    fn open(&self, service: Service) -> io::Result<TcpStream> {
        let mut stream = connect(self.job.addr)?;
        blocking::request_service(&mut stream, &self.job, service)?;
        Ok(stream)
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub fn listen(job: &Job) -> io::Result<Listening> {
    let served = job.clone();
    Listening::thread_each(job, move |mut stream| {
        stream.set_nodelay(true)?;
        let service = blocking::requested_service(&mut stream, &served)?;
        blocking::serve(&mut stream, service)
    })
}
