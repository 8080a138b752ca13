//! The accepting side: a loop that only accepts, and a thread for each
//! connection that opens its session and then reads it.

use super::{
    Run,
    handshake::Handshake,
    shared::{Established, Shared, Up},
};
use crate::{
    error::{Error, OpError, Operation},
    yamux::{self, Role},
};
use socket2::SockRef;
use std::{
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

/// The stack of a session's thread. The handshake uses a few pages of it; more
/// costs nothing until it is touched.
const STACK: usize = 256 * 1024;

/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Server {
    addr: String,
}

impl Server {
    pub(super) fn new(addr: String) -> Result<Self, Error> {
        super::check_addr("mount", &addr)?;
        Ok(Self { addr })
    }

    fn listen(&self, wire: &Shared) -> Result<TcpListener, Error> {
        let error = |cause| Error::Listen {
            addr: self.addr.clone(),
            cause: Arc::new(cause),
        };
        let listener = TcpListener::bind(&self.addr).map_err(error)?;
        super::set_buffers(&SockRef::from(&listener), &wire.options).map_err(error)?;
        wire.set_local_addr(listener.local_addr().ok());
        Ok(listener)
    }
}

impl Run for Server {
    fn connect(&self, up: Up) -> Result<(), Error> {
        accept_all(&up.wire, &Arc::new(self.listen(&up.wire)?));
        Ok(())
    }

    fn start(&self, up: Up) -> Result<(), Error> {
        let listener = Arc::new(self.listen(&up.wire)?);
        let name = format!("{}-accept", up.wire.options.thread_name);
        let thread = thread::Builder::new().name(name);
        let spawned = thread.spawn(move || accept_all(&up.wire, &listener));
        spawned.map_err(|error| Error::Thread(Arc::new(error)))?;
        Ok(())
    }
}

fn accept_all(wire: &Arc<Shared>, listener: &Arc<TcpListener>) {
    if let Some(addr) = wire.local_addr() {
        log::info!("listening at {addr}");
    }
    let to_wake = Arc::clone(listener);
    wire.set_interrupt(move || wake(&to_wake));
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
    let shared = Arc::clone(wire);
    let spawned = thread::Builder::new()
        .name(format!("{}-session", wire.options.thread_name))
        .stack_size(STACK)
        .spawn(move || serve(&shared, stream, peer));
    if let Err(error) = spawned {
        report(wire, Operation::Accept, None, peer, error);
    }
}

fn serve(wire: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let local = stream.local_addr().ok();
    let config = wire.options.yamux.clone();
    let established = Handshake::new(wire, stream, Role::Server, config)
        .map_err(|error| Error::from(yamux::Error::from_read(error)))
        .and_then(|handshake| open_session(wire, handshake));
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

fn open_session(wire: &Arc<Shared>, mut handshake: Handshake<'_>) -> Result<Established, Error> {
    let pending = wire.begin_handshake(handshake.connection.downgrade());
    match handshake.answer() {
        Ok(agreed) => {
            let id = agreed.id;
            let established = wire.establish(handshake, agreed, &pending);
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
