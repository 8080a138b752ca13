//! The dialling side: connects, opens its session, and reads it on the thread
//! that asked for it.

use super::{
    Run,
    handshake::Handshake,
    shared::{Established, Shared, Up},
};
use crate::{
    error::{Error, Operation},
    yamux::Role,
};
use crossbeam_channel::bounded;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs},
    sync::Arc,
    thread,
    time::Duration,
};

/// How long a dial waits for one address to answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The stack of the reader's thread; see the server's.
const STACK: usize = 256 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Client {
    addr: String,
}

impl Client {
    pub(super) fn new(addr: String) -> Result<Self, Error> {
        super::check_addr("join", &addr)?;
        Ok(Self { addr })
    }

    /// Connects and opens a session.
    fn establish(&self, wire: &Arc<Shared>) -> Result<Established, Error> {
        self.try_establish(wire).map_err(|error| {
            // Whatever a close interrupts fails somehow.
            if wire.is_closed() {
                Error::Closed
            } else {
                error
            }
        })
    }

    fn try_establish(&self, wire: &Arc<Shared>) -> Result<Established, Error> {
        let dial_error = |cause| Error::Dial {
            addr: self.addr.clone(),
            cause: Arc::new(cause),
        };
        let stream = self.dial(wire).map_err(dial_error)?;
        wire.set_local_addr(stream.local_addr().ok());
        let config = wire.options.yamux.clone();
        let mut handshake =
            Handshake::new(wire, stream, Role::Client, config).map_err(dial_error)?;
        let pending = wire.begin_handshake(handshake.connection.downgrade());
        let agreed = handshake.ask()?;
        wire.establish(handshake, agreed, &pending)
    }

    /// Tries every address that the name resolves to. A close interrupts it,
    /// but for the look-up of the name.
    fn dial(&self, wire: &Shared) -> io::Result<TcpStream> {
        let mut last = None;
        for addr in self.addr.to_socket_addrs()? {
            match dial_one(wire, addr) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("the name resolves to no address")))
    }
}

fn dial_one(wire: &Shared, addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    super::set_buffers(&SockRef::from(&socket), &wire.options)?;
    let socket = Arc::new(socket);
    let dialling = Arc::downgrade(&socket);
    wire.set_interrupt(move || {
        if let Some(socket) = dialling.upgrade() {
            // Ends a connect that waits, too.
            let _ = socket.shutdown(Shutdown::Both);
        }
    });
    if wire.is_closed() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    socket.connect_timeout(&addr.into(), DIAL_TIMEOUT)?;
    let stream = socket.try_clone()?;
    Ok(stream.into())
}

impl Run for Client {
    fn connect(&self, up: Up) -> Result<(), Error> {
        let established = self.establish(&up.wire)?;
        up.wire.serve(established)
    }

    fn start(&self, up: Up) -> Result<(), Error> {
        let (sender, stands) = bounded(1);
        let client = self.clone();
        let thread = thread::Builder::new()
            .name(format!("{}-session", up.wire.options.thread_name))
            .stack_size(STACK);
        let spawned = thread.spawn(move || match client.establish(&up.wire) {
            Ok(established) => {
                let session = established.session.clone();
                // The receiver waits for exactly this.
                let _ = sender.send(Ok(()));
                if let Err(error) = up.wire.serve(established) {
                    up.wire.report(Operation::Session, Some(&session), error);
                }
            }
            Err(error) => {
                drop(up);
                let _ = sender.send(Err(error));
            }
        });
        spawned.map_err(|error| Error::Thread(Arc::new(error)))?;
        // The thread sends before it ends, whatever happens to it.
        stands.recv().unwrap_or(Err(Error::Closed))
    }
}
