//! A connection's transport: TCP, or TLS over TCP if the options require it.

use crate::{
    error::Error,
    transport::{Halves, Transport},
    wire::{run::addr::Addr, state::options::Options},
    yamux,
};
#[cfg(feature = "tls")]
use crate::{
    tls::{TlsClient, TlsConfig, TlsError, TlsServer},
    transport::TlsStream,
    yamux::Role,
};
use std::{io, net::TcpStream, time::Instant};

/// Creates the transport of an accepted connection. Runs the TLS handshake, if any.
#[cfg(feature = "tls")]
pub(crate) fn accepted(
    stream: TcpStream,
    options: &Options,
    deadline: Instant,
) -> Result<Halves, Error> {
    match &options.tls {
        Some(TlsConfig::Server(config)) => accepted_tls(stream, config, deadline),
        _ => split(stream),
    }
}

/// Not inlined, because a TLS handshake takes much more stack than the rest.
#[cfg(feature = "tls")]
#[inline(never)]
fn accepted_tls(stream: TcpStream, config: &TlsServer, deadline: Instant) -> Result<Halves, Error> {
    split(TlsStream::server(stream, config, deadline)?)
}

/// Creates the transport of a dialled connection. Runs the TLS handshake, if any.
#[cfg(feature = "tls")]
pub(crate) fn dialled(
    stream: TcpStream,
    addr: &Addr,
    options: &Options,
    deadline: Instant,
) -> Result<Halves, Error> {
    match &options.tls {
        Some(TlsConfig::Client(config)) => dialled_tls(stream, config, addr, deadline),
        _ => split(stream),
    }
}

#[cfg(feature = "tls")]
#[inline(never)]
fn dialled_tls(
    stream: TcpStream,
    config: &TlsClient,
    addr: &Addr,
    deadline: Instant,
) -> Result<Halves, Error> {
    split(TlsStream::client(stream, config, addr.host(), deadline)?)
}

/// Checks that the TLS configuration is for this kind of wire.
#[cfg(feature = "tls")]
pub(crate) fn check(options: &Options, role: Role) -> Result<(), Error> {
    let reason = match &options.tls {
        Some(TlsConfig::Server(_)) if role == Role::Client => {
            "a client needs a TlsClient, but a TlsServer was given"
        }
        Some(TlsConfig::Client(_)) if role == Role::Server => {
            "a server needs a TlsServer, but a TlsClient was given"
        }
        _ => return Ok(()),
    };
    Err(Error::Option {
        option: "tls",
        reason: reason.into(),
    })
}

#[cfg(not(feature = "tls"))]
pub(crate) fn accepted(stream: TcpStream, _: &Options, _: Instant) -> Result<Halves, Error> {
    split(stream)
}

#[cfg(not(feature = "tls"))]
pub(crate) fn dialled(
    stream: TcpStream,
    _: &Addr,
    _: &Options,
    _: Instant,
) -> Result<Halves, Error> {
    split(stream)
}

fn split(transport: impl Transport) -> Result<Halves, Error> {
    transport.split().map_err(io_error)
}

/// Returns the error for a connection that failed while its session was being
/// opened.
pub(crate) fn io_error(error: io::Error) -> Error {
    yamux::Error::from_read(error).into()
}

/// Turns an error of a handshake into the TLS error that caused it, if any. With TLS 1.3
/// a client learns only from its first read that the server rejects its certificate.
pub(crate) fn tls_error(error: Error) -> Error {
    #[cfg(feature = "tls")]
    if let Error::Connection(yamux::Error::Io(io)) = &error
        && let Some(failure) = TlsError::from_io(io)
    {
        return failure.into();
    }
    error
}
