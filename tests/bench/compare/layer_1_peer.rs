//! The library's layer 1 alone, as a peer of the comparison: `wirenet::yamux`
//! with anonymous streams.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;

use wirenet::yamux;

use crate::blocking::{self, Duplex, Listening, Session};
use crate::workload::{Job, Service};

pub struct YamuxSession {
    job: Job,
    connection: yamux::Connection,
}

impl Session for YamuxSession {
    type Stream = yamux::Stream;

    fn dial(job: &Job) -> io::Result<Self> {
        let socket = TcpStream::connect(job.addr)?;
        socket.set_nodelay(true)?;
        Ok(Self {
            job: job.clone(),
            connection: yamux::Connection::client(socket, yamux_config(job))?,
        })
    }

    fn open(&self, service: Service) -> io::Result<yamux::Stream> {
        let mut stream = self.connection.open()?;
        blocking::request_service(&mut stream, &self.job, service)?;
        Ok(stream)
    }
}

impl Duplex for yamux::Stream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.write_all(message)
    }

    fn receive(&mut self, message: &mut [u8]) -> io::Result<bool> {
        blocking::receive_bytes(self, message)
    }

    fn close(self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

fn yamux_config(job: &Job) -> yamux::Config {
    let config = yamux::Config::default();
    match job.stream_limit() {
        Some(limit) => config.max_streams(limit),
        None => config,
    }
}

/// Accepts each connection's streams on one thread, and serves each stream on a
/// new thread. Streams that only stay open get no thread.
pub fn listen(job: &Job) -> io::Result<Listening> {
    let served = job.clone();
    let held = Mutex::new(Vec::new());
    Listening::thread_each(job, move |socket| {
        socket.set_nodelay(true)?;
        let connection = yamux::Connection::server(socket, yamux_config(&served))?;
        while let Ok(mut stream) = connection.accept() {
            match blocking::requested_service(&mut stream, &served)? {
                Service::Hold => {
                    blocking::serve(&mut stream, Service::Once)?;
                    held.lock().unwrap().push(stream);
                }
                service => {
                    std::thread::spawn(move || {
                        blocking::report(service.name(), blocking::serve(&mut stream, service));
                    });
                }
            }
        }
        Ok(())
    })
}
