//! The library with named streams, as a peer of the comparison.

use std::io::{self, Read};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wirenet::{Error, Stream, Wire};

use crate::blocking::{self, Duplex, Listening, Session};
use crate::child::Counter;
use crate::rustls_peer;
use crate::workload::{Job, Peer, Service};

/// Whether `open` waits for the peer's answer.
pub trait Opening: Send + Sync + 'static {
    fn open(session: &wirenet::Session, name: &str) -> Result<Stream, Error>;
}

pub struct Waiting;

impl Opening for Waiting {
    fn open(session: &wirenet::Session, name: &str) -> Result<Stream, Error> {
        session.open_stream(name)
    }
}

pub struct NotWaiting;

impl Opening for NotWaiting {
    fn open(session: &wirenet::Session, name: &str) -> Result<Stream, Error> {
        session.open_stream_nowait(name)
    }
}

pub struct NamedSession<O> {
    session: wirenet::Session,
    // Keeps the session up.
    _wire: Wire,
    opening: PhantomData<O>,
}

impl<O: Opening> Session for NamedSession<O> {
    type Stream = Stream;

    fn dial(job: &Job) -> io::Result<Self> {
        let mut builder = builder(Wire::join(job.addr.to_string()), job);
        if job.peer == Peer::WirenetTls {
            builder = builder.tls(rustls_peer::library_client()?);
        }
        let wire = builder.build()?;
        wire.start()?;
        Ok(Self {
            session: wire.wait_session(Duration::from_secs(10))?,
            _wire: wire,
            opening: PhantomData,
        })
    }

    fn open(&self, service: Service) -> io::Result<Stream> {
        Ok(O::open(&self.session, service.name())?)
    }
}

impl Duplex for Stream {
    fn finish(&mut self) -> io::Result<()> {
        Stream::finish(self)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.write_message(message)
    }

    fn receive(&mut self, message: &mut [u8]) -> io::Result<bool> {
        if !self.next_message()? {
            return Ok(false);
        }
        self.read_exact(message)?;
        match self.read(&mut [0])? {
            0 => Ok(true),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the message is too long",
            )),
        }
    }

    fn close(self) -> io::Result<()> {
        Stream::close(&self)
    }
}

/// Raises the limits for the workload that keeps thousands of streams open. All
/// other workloads use the defaults.
fn builder(builder: wirenet::Builder, job: &Job) -> wirenet::Builder {
    match job.stream_limit() {
        Some(limit) => builder.max_streams(limit).handler_limit(limit),
        None => builder,
    }
}

pub struct NamedServer {
    pub listening: Listening,
    // Keeps it listening.
    _wire: Wire,
}

pub fn listen(job: &Job) -> io::Result<NamedServer> {
    let counter = Arc::new(Counter::default());
    let seen = Arc::clone(&counter);
    let mut builder = builder(Wire::mount(job.addr.to_string()), job).token_validator(
        move |name, _identification, _token| {
            if name == "confirmSession" {
                seen.add_one();
            }
            Ok(())
        },
    );
    if job.peer == Peer::WirenetTls {
        builder = builder.tls(rustls_peer::library_server()?);
    }
    let (wire, addr) = start(with_services(builder))?;
    Ok(NamedServer {
        listening: Listening { addr, counter },
        _wire: wire,
    })
}

/// Joins a hub as the owner of the services.
pub fn join_as_owner(job: &Job) -> io::Result<Wire> {
    let builder = builder(Wire::join(job.addr.to_string()), job);
    start(with_services(builder)).map(|(wire, _)| wire)
}

pub struct Hub {
    pub addr: SocketAddr,
    // Keeps it listening.
    _wire: Wire,
}

pub fn listen_as_hub(job: &Job) -> io::Result<Hub> {
    let builder = builder(Wire::hub(job.addr.to_string()), job);
    let (wire, addr) = start(builder)?;
    Ok(Hub { addr, _wire: wire })
}

fn with_services(mut builder: wirenet::Builder) -> wirenet::Builder {
    for service in Service::ALL {
        builder = builder.stream(service.name(), move |stream| {
            blocking::serve(stream, service)
        });
    }
    builder
}

/// Builds and starts a wire. Returns it with its local address.
fn start(builder: wirenet::Builder) -> io::Result<(Wire, SocketAddr)> {
    let wire = builder.build()?;
    wire.start()?;
    let addr = wire
        .local_addr()
        .ok_or_else(|| io::Error::other("the wire has no local address"))?;
    Ok((wire, addr))
}
