//! The accepting side: a loop that only accepts, and a thread for each
//! connection that opens its session and then reads it.

use crate::{
    error::{Error, Operation},
    guard,
    spawn::{self, spawn},
    time::deadline,
    wire::{
        run::{
            Failure, Run,
            addr::{Addr, no_address},
            connect,
            handshake::Handshake,
            serving::Established,
            socket,
        },
        session::session::Session,
        state::{
            error_context::ErrorContext, handshakes::NoHandshake, opening::Pending,
            wire_state::WireState,
        },
    },
    yamux::Role,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that the kernel accepts ahead of the loop.
const BACKLOG: i32 = 1024;

#[derive(Debug)]
pub(crate) struct Server {
    addr: Addr,
}

impl Server {
    pub(crate) fn new(addr: Addr) -> Self {
        Self { addr }
    }

    fn listen(&self, wire: &WireState) -> Result<TcpListener, Error> {
        let listener = self.listen_any(wire).map_err(|cause| Error::Listen {
            addr: self.addr.to_string(),
            cause: Arc::new(cause),
        })?;
        // `Wire::local_addr` is `None` where the system does not tell.
        wire.set_local_addr(listener.local_addr().ok());
        Ok(listener)
    }

    /// Listens at the first of the addresses that lets it.
    fn listen_any(&self, wire: &WireState) -> io::Result<TcpListener> {
        let mut last = None;
        for addr in self.addr.listen_addrs()? {
            match listen_at(addr, wire) {
                Ok(listener) => return Ok(listener),
                // The other version of IP would be half of what was asked for.
                Err(error) if !self.addr.has_host() && error.kind() == io::ErrorKind::AddrInUse => {
                    return Err(error);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }
}

pub(crate) fn listen_at(addr: SocketAddr, wire: &WireState) -> io::Result<TcpListener> {
    let listener = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // As std does it: a server may start again while old connections linger.
    #[cfg(not(windows))]
    listener.set_reuse_address(true)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // IPv4 too.
        listener.set_only_v6(false)?;
    }
    // TCP agrees on the scale of its windows when it connects.
    socket::set_buffers(&SockRef::from(&listener), &wire.options)?;
    listener.bind(&addr.into())?;
    listener.listen(BACKLOG)?;
    Ok(listener.into())
}

impl Run for Server {
    fn thread_name(&self) -> &'static str {
        "accept"
    }

    fn run(
        &self,
        wire: &Arc<WireState>,
        up: &mut dyn FnMut(Option<&Session>),
    ) -> Result<(), Box<Failure>> {
        spawn::bound();
        let listener = Arc::new(self.listen(wire)?);
        if let Some(addr) = wire.local_addr() {
            guard::log(|| log::info!("listening at {addr}"));
        }
        let to_wake = Arc::clone(&listener);
        wire.set_interrupt(move || wake(&to_wake));
        up(None);
        accept_all(wire, &listener);
        Ok(())
    }
}

fn accept_all(wire: &Arc<WireState>, listener: &TcpListener) {
    while !wire.is_closed() {
        let accepted = listener.accept();
        if wire.is_closed() {
            break;
        }
        match accepted {
            Ok((stream, peer)) => admit(wire, stream, peer),
            Err(error) => {
                let pause = !is_of_one_connection(&error);
                wire.report_later(Operation::Accept, ErrorContext::default(), error);
                if pause {
                    // Out of descriptors, most likely: they come back with time.
                    wire.pause(ACCEPT_PAUSE);
                }
            }
        }
    }
}

/// Whether the peer has left before it was accepted, which is no reason to keep
/// others waiting.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}

/// Ends a blocked accept. Where a listening socket cannot be shut down, a
/// connection to it does the same.
fn wake(listener: &TcpListener) {
    if SockRef::from(listener).shutdown(Shutdown::Both).is_err()
        // Where neither can be done, the close says that a thread still runs.
        && let Ok(addr) = listener.local_addr()
    {
        // Whether it is accepted, or ends the listener's wait with an error.
        let _ = TcpStream::connect(reachable(addr));
    }
}

/// The address at which what listens at `addr` is reached from here: not every system
/// lets one connect to the unspecified address.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}

/// Gives a connection a thread.
pub(crate) fn admit(wire: &Arc<WireState>, stream: TcpStream, peer: SocketAddr) {
    let mut context = ErrorContext::connection(&stream);
    // The socket does not know it any more if the peer has left.
    context.peer_addr = Some(peer);
    let pending = match wire.begin_handshake(&stream, &context) {
        Ok(pending) => pending,
        Err(cause) => return wire.report_later(Operation::Accept, context, cause),
    };
    let shared = Arc::clone(wire);
    let work = move || serve(&shared, stream, pending);
    let thread = wire.options.thread("session");
    if let Err(error) = spawn(thread, wire.threads.track(work)) {
        wire.report_later(Operation::Accept, context, error);
    }
}

fn serve(wire: &Arc<WireState>, stream: TcpStream, pending: Pending) {
    let established = open_session(wire, stream, &pending);
    drop(pending);
    if let Some(established) = established {
        let session = established.session.clone();
        let (left, ended) = wire.serve(established);
        if let Err(error) = ended {
            wire.report(Operation::Session, &session, error);
        }
        drop(left);
    }
}

/// Opens a session; if that fails, the error handler has been told.
fn open_session(
    wire: &Arc<WireState>,
    stream: TcpStream,
    pending: &Pending,
) -> Option<Established> {
    let mut handshake = match begin(wire, stream) {
        Ok(handshake) => handshake,
        Err(error) => return failed(pending, Vec::new(), error),
    };
    match handshake.answer(pending) {
        Ok(agreed) => {
            let id = agreed.id;
            match wire.establish(handshake, agreed, pending) {
                Ok(established) => Some(established),
                Err(error) => {
                    wire.release(id);
                    failed(pending, Vec::new(), error)
                }
            }
        }
        Err(error) => {
            let asker = std::mem::take(&mut handshake.asker);
            failed(pending, asker, connect::cause(error));
            handshake.dismiss();
            None
        }
    }
}

/// Tells the error handler. By itself, for the sake of the stack of a session
/// that stands.
#[cold]
#[inline(never)]
fn failed(pending: &Pending, asker: Vec<u8>, error: Error) -> Option<Established> {
    let mut context = pending.context();
    context.identification = asker;
    let wire = pending.wire();
    if pending.was_evicted() {
        wire.report_later(Operation::Handshake, context, NoHandshake::Evicted);
    } else {
        wire.report_later(Operation::Handshake, context, error);
    }
    None
}

fn begin(wire: &WireState, stream: TcpStream) -> Result<Handshake<'_>, Error> {
    let deadline = deadline(wire.options.handshake_timeout);
    socket::watch(&SockRef::from(&stream), &wire.options).map_err(connect::broken)?;
    let halves = connect::accepted(stream, &wire.options, deadline)?;
    let handshake = Handshake::new(wire, halves, Role::Server, deadline);
    handshake.map_err(connect::broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_at_home() {
        for (listens, reached) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[fe80::1]:80", "[fe80::1]:80"),
        ] {
            assert_eq!(
                reachable(listens.parse().unwrap()),
                reached.parse().unwrap()
            );
        }
    }
}
