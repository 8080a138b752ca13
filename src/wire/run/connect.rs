//! A connection's transport: TCP, or TLS on it where that is asked for.

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
};
use std::{io, net::TcpStream, time::Instant};

/// The accepting side's.
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

/// By itself, because a TLS handshake takes much more stack than the rest.
#[cfg(feature = "tls")]
#[inline(never)]
fn accepted_tls(stream: TcpStream, config: &TlsServer, deadline: Instant) -> Result<Halves, Error> {
    split(TlsStream::server(stream, config, deadline)?)
}

/// The dialling side's.
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

/// Whether what was given is for this side.
#[cfg(feature = "tls")]
pub(crate) fn check(options: &Options, is_client: bool) -> Result<(), Error> {
    let reason = match &options.tls {
        Some(TlsConfig::Server(_)) if is_client => "a client needs a TlsClient",
        Some(TlsConfig::Client(_)) if !is_client => "a server needs a TlsServer",
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
    transport.split().map_err(broken)
}

/// The connection failed while its session was being opened.
pub(crate) fn broken(error: io::Error) -> Error {
    yamux::Error::from_read(error).into()
}

/// With TLS 1.3 a client learns only from its first read that the server does
/// not take its certificate: that is TLS's failure, and not the session's.
pub(crate) fn cause(error: Error) -> Error {
    #[cfg(feature = "tls")]
    if let Error::Connection(yamux::Error::Io(io)) = &error
        && let Some(failure) = TlsError::from_io(io)
    {
        return failure.into();
    }
    error
}
