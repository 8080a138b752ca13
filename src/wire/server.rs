//! The accepting side: a loop that only accepts, and a thread for each
//! connection that opens its session and then reads it.

use super::{
    Failure, Run, STACK,
    addr::Addr,
    handshake::Handshake,
    pending::Pending,
    secure,
    shared::{Established, Shared},
    socket,
};
use crate::{
    error::{Error, OpError, Operation},
    time::deadline,
    yamux::Role,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that the kernel accepts ahead of the loop.
const BACKLOG: i32 = 1024;

#[derive(Debug)]
pub(super) struct Server {
    addr: Addr,
}

impl Server {
    pub(super) fn new(addr: Addr) -> Self {
        Self { addr }
    }

    fn listen(&self, wire: &Shared) -> Result<TcpListener, Error> {
        let listener = self.listen_any(wire).map_err(|cause| Error::Listen {
            addr: self.addr.to_string(),
            cause: Arc::new(cause),
        })?;
        wire.set_local_addr(listener.local_addr().ok());
        Ok(listener)
    }

    /// Listens at the first of the addresses that lets it.
    fn listen_any(&self, wire: &Shared) -> io::Result<TcpListener> {
        let mut last = None;
        for addr in self.addr.listen_addrs()? {
            match listen_at(addr, wire) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("the name resolves to no address")))
    }
}

fn listen_at(addr: SocketAddr, wire: &Shared) -> io::Result<TcpListener> {
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

    fn run(&self, wire: &Arc<Shared>, up: &mut dyn FnMut()) -> Result<(), Box<Failure>> {
        let listener = Arc::new(self.listen(wire)?);
        if let Some(addr) = wire.local_addr() {
            log::info!("listening at {addr}");
        }
        let to_wake = Arc::clone(&listener);
        wire.set_interrupt(move || wake(&to_wake));
        wire.tell_up(None);
        up();
        accept_all(wire, &listener);
        Ok(())
    }
}

fn accept_all(wire: &Arc<Shared>, listener: &TcpListener) {
    while !wire.is_closed() {
        let accepted = listener.accept();
        if wire.is_closed() {
            break;
        }
        match accepted {
            Ok((stream, peer)) => admit(wire, stream, peer),
            Err(error) => {
                wire.report(Operation::Accept, None, error);
                // Out of descriptors, most likely: they come back with time.
                wire.pause(ACCEPT_PAUSE);
            }
        }
    }
}

/// Ends a blocked accept. Where a listening socket cannot be shut down, a
/// connection to it does the same.
fn wake(listener: &TcpListener) {
    if SockRef::from(listener).shutdown(Shutdown::Both).is_err()
        && let Ok(addr) = listener.local_addr()
    {
        let _ = TcpStream::connect(addr);
    }
}

/// Gives a connection a thread.
fn admit(wire: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let pending = match wire.begin_handshake(&stream) {
        Ok(pending) => pending,
        Err(cause) => return report(wire, Operation::Accept, None, peer, cause),
    };
    let shared = Arc::clone(wire);
    let spawned = thread::Builder::new()
        .name(format!("{}-session", wire.options.thread_name))
        .stack_size(STACK)
        .spawn(
            wire.threads
                .count(move || serve(&shared, stream, peer, pending)),
        );
    if let Err(error) = spawned {
        report(wire, Operation::Accept, None, peer, error);
    }
}

fn serve(wire: &Arc<Shared>, stream: TcpStream, peer: SocketAddr, pending: Pending) {
    let local = stream.local_addr().ok();
    let established = open_session(wire, stream, &pending);
    drop(pending);
    match established {
        Ok(established) => {
            let session = established.session.clone();
            if let Err(error) = wire.serve(established) {
                wire.report(Operation::Session, Some(&session), error);
            }
        }
        Err(error) => report(wire, Operation::Handshake, local, peer, error),
    }
}

fn open_session(
    wire: &Arc<Shared>,
    stream: TcpStream,
    pending: &Pending,
) -> Result<Established, Error> {
    let deadline = deadline(wire.options.handshake_timeout);
    socket::watch(&SockRef::from(&stream), &wire.options).map_err(secure::broken)?;
    let halves = secure::accepted(stream, &wire.options, deadline)?;
    let handshake = Handshake::new(wire, halves, Role::Server, deadline);
    let mut handshake = handshake.map_err(secure::broken)?;
    match handshake.answer().map_err(secure::cause) {
        Ok(agreed) => {
            let id = agreed.id;
            let established = wire.establish(handshake, agreed, pending);
            established.inspect_err(|_| wire.release(id))
        }
        Err(error) => {
            handshake.dismiss();
            Err(error)
        }
    }
}

/// Reports an error of a connection that has no session.
fn report(
    wire: &Shared,
    operation: Operation,
    local: Option<SocketAddr>,
    peer: SocketAddr,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) {
    wire.report_op(OpError {
        operation,
        session: None,
        identification: Vec::new(),
        local_addr: local,
        peer_addr: Some(peer),
        cause: cause.into(),
    });
}
