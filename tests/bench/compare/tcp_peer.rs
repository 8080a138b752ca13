//! Raw TCP with std: what the machine can do. A connection stands for each
//! stream, a thread for each connection.

use std::io;
use std::net::{SocketAddr, TcpStream};

use crate::blocking::{self, Listening, Session};
use crate::workload::{Job, Service};

pub struct RawSession {
    job: Job,
    /// What makes it a session while it is idle.
    _standing: TcpStream,
}

impl Session for RawSession {
    type Stream = TcpStream;

    fn dial(job: &Job) -> io::Result<Self> {
        Ok(Self {
            job: job.clone(),
            _standing: connect(job.addr)?,
        })
    }

    fn open(&self, service: Service) -> io::Result<TcpStream> {
        let mut stream = connect(self.job.addr)?;
        blocking::ask_for(&mut stream, &self.job, service)?;
        Ok(stream)
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub fn listen(job: &Job) -> io::Result<Listening> {
    let told = job.clone();
    Listening::thread_each(job, move |mut stream| {
        stream.set_nodelay(true)?;
        let service = blocking::asked_for(&mut stream, &told)?;
        blocking::serve(&mut stream, service)
    })
}
