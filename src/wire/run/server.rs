//! A server: a loop that only accepts, and one thread per connection, which opens the
//! session and then reads it.

use crate::{
    error::{Error, Operation},
    spawn::{self, spawn},
    time::deadline,
    transport::{best_effort, canonical},
    wire::{
        run::{
            Failure, Runner,
            addr::{Addr, no_address, not_bound},
            connect::{self, NotAccepted},
            handshake::Handshake,
            serving::Established,
            socket,
        },
        session::session::Session,
        state::{
            error_context::ErrorContext, handshakes::NoHandshake, session_opening::Pending,
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

/// The limit on connections that the kernel has accepted and the loop has not.
const BACKLOG: i32 = 1024;

/// Runs a wire that [`Wire::mount`](crate::Wire::mount) or [`Wire::hub`](crate::Wire::hub)
/// has set up.
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
            cause: Arc::new(not_bound(cause)),
        })?;
        // `Wire::local_addr` returns `None` if the system does not know the address.
        wire.set_local_addr(listener.local_addr().ok());
        Ok(listener)
    }

    /// Listens at the first address that works.
    fn listen_any(&self, wire: &WireState) -> io::Result<TcpListener> {
        let mut last = None;
        for addr in self.addr.listen_addrs()? {
            match listen_at(addr, wire) {
                Ok(listener) => return Ok(listener),
                // Listening with only the other version of IP would serve only half of
                // the requested addresses.
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
    // As in std: a server can restart while its old connections linger.
    #[cfg(not(windows))]
    best_effort("SO_REUSEADDR", listener.set_reuse_address(true));
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // Listen for IPv4, too. A system without this listens at the IPv4 address
        // instead.
        listener.set_only_v6(false)?;
    }
    // Accepted connections inherit these.
    socket::set_buffers(&SockRef::from(&listener), &wire.options);
    listener.bind(&addr.into())?;
    listener.listen(BACKLOG)?;
    Ok(listener.into())
}

impl Runner for Server {
    fn thread_name(&self) -> &'static str {
        "accept"
    }

    fn run(
        &self,
        wire: &Arc<WireState>,
        up: &mut dyn FnMut(Option<&Session>),
    ) -> Result<(), Box<Failure>> {
        spawn::limit_threads();
        let listener = Arc::new(self.listen(wire)?);
        if let Some(addr) = wire.local_addr() {
            let listening = || format!("listening at {addr}");
            wire.log_later(log::Level::Info, module_path!(), listening);
        }
        let to_wake = Arc::clone(&listener);
        wire.set_interrupt(move || wake(&to_wake));
        up(None);
        accept_all(wire, &listener);
        Ok(())
    }
}

fn accept_all(wire: &Arc<WireState>, listener: &TcpListener) {
    while !wire.is_closing() {
        let accepted = listener.accept();
        if wire.is_closing() {
            break;
        }
        match accepted {
            Ok((stream, peer)) => admit(wire, stream, peer),
            Err(error) if is_of_one_connection(&error) => {
                log_peer_left(wire, None);
            }
            Err(error) => {
                wire.report_later(Operation::Accept, ErrorContext::default(), error);
                // Most likely the process has no descriptors left, until some are closed.
                wire.pause(ACCEPT_PAUSE);
            }
        }
    }
}

/// Returns whether the error concerns a single connection: its peer left before it was
/// accepted. Other connections need not wait for that.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}

/// Wakes a thread that is blocked in accept: shuts down the listening socket, or
/// connects to it on systems that cannot do that.
fn wake(listener: &TcpListener) {
    if SockRef::from(listener).shutdown(Shutdown::Both).is_err()
        // If neither works, the close reports a thread that still runs.
        && let Ok(addr) = listener.local_addr()
    {
        // The result does not matter: either way accept returns.
        let _ = TcpStream::connect(reachable(addr));
    }
}

/// Returns the address at which a listener at `addr` can be reached from this machine.
/// Not every system can connect to the unspecified address.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}

/// Starts a thread for an accepted connection.
pub(crate) fn admit(wire: &Arc<WireState>, stream: TcpStream, peer: SocketAddr) {
    let mut context = ErrorContext::connection(&stream);
    // The socket no longer knows the address if the peer has disconnected.
    context.peer_addr = Some(canonical(peer));
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

/// Opens a session on a connection, and serves it until it ends.
fn serve(wire: &Arc<WireState>, stream: TcpStream, pending: Pending) {
    let established = open_session(wire, stream, &pending);
    drop(pending);
    if let Some(established) = established {
        let session = established.session.clone();
        let (slot, ended) = wire.serve(established);
        if let Err(error) = ended {
            wire.report_and_go_on(Operation::Session, &session, error);
        }
        // The session counts towards the limit until the error handler has returned.
        drop(slot);
    }
}

/// Opens a session. Reports the error if that fails.
fn open_session(
    wire: &Arc<WireState>,
    stream: TcpStream,
    pending: &Pending,
) -> Option<Established> {
    let mut handshake = match begin(wire, stream) {
        Ok(handshake) => handshake,
        Err(NotAccepted::PeerLeft) => {
            peer_left(pending);
            return None;
        }
        Err(NotAccepted::Failed(error)) => return failed(pending, Vec::new(), error),
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
            let identification = std::mem::take(&mut handshake.client_identification);
            if handshake.peer_left_silently(&error) {
                peer_left(pending);
            } else {
                let error = handshake.explain(connect::tls_error(error));
                failed(pending, identification, error);
            }
            handshake.dismiss();
            None
        }
    }
}

/// Handles the end of a connection on which nothing was received.
#[cold]
fn peer_left(pending: &Pending) {
    if pending.was_evicted() {
        // This side ended the connection, not the peer.
        failed(pending, Vec::new(), Error::Closed);
    } else {
        log_peer_left(pending.wire(), pending.context().peer_addr);
    }
}

/// Logs that a peer has left before its first byte. That is no error: health checks and
/// port scans do nothing else.
fn log_peer_left(wire: &Arc<WireState>, peer: Option<SocketAddr>) {
    let text = || match peer {
        Some(addr) => format!("a peer ({addr}) left before its first byte"),
        None => "a peer left before its first byte".into(),
    };
    wire.log_later(log::Level::Debug, module_path!(), text);
}

/// Reports the failure of a handshake. Not inlined, so that established sessions use
/// less stack.
#[cold]
#[inline(never)]
fn failed(pending: &Pending, identification: Vec<u8>, error: Error) -> Option<Established> {
    let mut context = pending.context();
    context.identification = identification;
    let wire = pending.wire();
    wire.note_failure(error.clone());
    if pending.was_evicted() {
        wire.report_later(Operation::Handshake, context, NoHandshake::Evicted);
    } else {
        wire.report_later(Operation::Handshake, context, error);
    }
    None
}

/// Prepares a handshake: TLS, and the connection.
fn begin(wire: &WireState, stream: TcpStream) -> Result<Handshake<'_>, NotAccepted> {
    let deadline = deadline(wire.options.handshake_timeout);
    socket::watch(&SockRef::from(&stream), &wire.options);
    let halves = connect::accepted(stream, &wire.options, deadline)?;
    let handshake = Handshake::new(wire, halves, Role::Server, deadline);
    Ok(handshake.map_err(connect::io_error)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_at_all_interfaces_is_reached_at_localhost() {
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
