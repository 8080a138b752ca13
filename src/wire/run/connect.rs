//! A connection's transport: TCP, or TLS over TCP if the options require it.

use crate::{
    error::Error,
    transport::{Halves, Transport},
    wire::{run::addr::Addr, state::options::Options},
    yamux,
};
#[cfg(feature = "tls")]
use crate::{
    sync,
    tls::{TlsClient, TlsConfig, TlsError, TlsServer},
    transport::TlsStream,
    wire::run::handshake::is_reset,
    yamux::Role,
};
#[cfg(feature = "tls")]
use std::time::Duration;
use std::{io, net::TcpStream, time::Instant};

/// Why an accepted connection has no transport.
pub(crate) enum NotAccepted {
    /// The peer has left before its first byte.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    PeerLeft,
    Failed(Error),
}

impl From<Error> for NotAccepted {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Creates the transport of an accepted connection. Runs the TLS handshake, if any.
#[cfg(feature = "tls")]
pub(crate) fn accepted(
    stream: TcpStream,
    options: &Options,
    deadline: Instant,
) -> Result<Halves, NotAccepted> {
    match &options.tls {
        Some(TlsConfig::Server(config)) => accepted_tls(stream, config, deadline),
        _ => Ok(split(stream)?),
    }
}

/// Not inlined, because a TLS handshake takes much more stack than the rest.
#[cfg(feature = "tls")]
#[inline(never)]
fn accepted_tls(
    stream: TcpStream,
    config: &TlsServer,
    deadline: Instant,
) -> Result<Halves, NotAccepted> {
    if leaves_silently(&stream, deadline) {
        return Err(NotAccepted::PeerLeft);
    }
    let tls = TlsStream::server(stream, config, deadline).map_err(Error::from)?;
    Ok(split(tls)?)
}

/// Waits for the first byte of a peer without taking it, at most until the deadline.
/// Returns whether the peer leaves before it has sent one.
#[cfg(feature = "tls")]
fn leaves_silently(stream: &TcpStream, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(sync::now());
        let left = left.max(Duration::from_millis(1));
        let peeked = stream.set_read_timeout(Some(left));
        match peeked.and_then(|()| stream.peek(&mut [0])) {
            Ok(count) => return count == 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // After another error, the handshake returns the reason.
            Err(error) => return is_reset(&error),
        }
    }
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
    let tls = TlsStream::client(stream, config, addr.host(), deadline);
    split(tls?)
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
pub(crate) fn accepted(stream: TcpStream, _: &Options, _: Instant) -> Result<Halves, NotAccepted> {
    Ok(split(stream)?)
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
