//! Connecting a TCP socket to a server's address.

use crate::{
    spawn::spawn,
    sync::{Condvar, Mutex},
    time::deadline,
    wire::{
        run::{
            addr::{Addr, no_address, not_connected},
            socket,
        },
        state::wire_state::WireState,
    },
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Weak},
    time::Duration,
};

/// A dial in progress. It runs on its own thread, because a name lookup cannot be
/// interrupted, but its thread can be left behind.
struct Dial {
    wire: Arc<WireState>,
    addr: Addr,
    state: Mutex<DialState>,
    changed: Condvar,
}

#[derive(Default)]
struct DialState {
    /// Whether the caller no longer waits for the outcome.
    is_abandoned: bool,
    /// Whether the name has been looked up.
    is_resolved: bool,
    /// The socket that is being connected.
    socket: Weak<Socket>,
    outcome: Option<io::Result<TcpStream>>,
}

/// The thread of a dial could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "no thread could be started for it: {0}; check this process's limits on threads and memory"
)]
struct NoThread(#[source] io::Error);

/// Looks up the name and tries every address that it resolves to, until one can be
/// connected. A close of the wire interrupts this immediately.
pub(crate) fn dial(wire: &Arc<WireState>, addr: &Addr) -> io::Result<TcpStream> {
    let dial = Arc::new(Dial {
        wire: Arc::clone(wire),
        addr: addr.clone(),
        state: Mutex::default(),
        changed: Condvar::new(),
    });
    let dialling = Arc::clone(&dial);
    let thread = wire.options.thread("dial");
    spawn(thread, move || {
        let outcome = dialling.run();
        dialling.state.lock().outcome = Some(outcome);
        dialling.changed.notify_all();
    })
    .map_err(|cause| io::Error::new(cause.kind(), NoThread(cause)))?;
    let interrupted = Arc::downgrade(&dial);
    wire.set_interrupt(move || {
        if let Some(dial) = interrupted.upgrade() {
            dial.abandon();
        }
    });
    let outcome = dial.wait();
    dial.abandon();
    outcome
}

impl Dial {
    fn wait(&self) -> io::Result<TcpStream> {
        let timeout = self.wire.options.dial_timeout;
        let deadline = deadline(timeout);
        let mut state = self.state.lock();
        loop {
            if state.is_abandoned {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            if state.is_resolved {
                // From here on each address has its own timeout.
                self.changed.wait(&mut state);
            } else if self.changed.wait_until(&mut state, deadline).timed_out()
                && !state.is_resolved
            {
                let host = self.addr.host();
                let text = format!(
                    "{host:?} was not looked up within {timeout:?}; check this machine's DNS"
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    }

    fn run(&self) -> io::Result<TcpStream> {
        let addrs = self.addr.resolve()?;
        self.state.lock().is_resolved = true;
        self.changed.notify_all();
        let mut last = None;
        for addr in addrs {
            match self.connect(addr) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(no_address, not_connected))
    }

    fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let options = &self.wire.options;
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket::set_buffers(&SockRef::from(&socket), options);
        let socket = Arc::new(socket);
        let mut state = self.state.lock();
        if state.is_abandoned {
            return Err(io::ErrorKind::Interrupted.into());
        }
        state.socket = Arc::downgrade(&socket);
        drop(state);
        // socket2 rounds the timeout down to whole milliseconds.
        let timeout = options
            .dial_timeout
            .saturating_add(Duration::from_millis(1));
        socket.connect_timeout(&addr.into(), timeout)?;
        // Set earlier, these options would apply to connecting too.
        socket::watch(&SockRef::from(&*socket), options);
        let mut state = self.state.lock();
        state.socket = Weak::new();
        if state.is_abandoned {
            return Err(io::ErrorKind::Interrupted.into());
        }
        drop(state);
        // If another thread holds the socket, it is about to shut it down.
        let socket = Arc::into_inner(socket).ok_or(io::ErrorKind::Interrupted)?;
        Ok(socket.into())
    }

    /// Ends the dial as far as possible: a connect is interrupted, but a lookup
    /// continues.
    fn abandon(&self) {
        let mut state = self.state.lock();
        state.is_abandoned = true;
        let socket = state.socket.upgrade();
        drop(state);
        self.changed.notify_all();
        if let Some(socket) = socket {
            // This ends a blocked connect, too.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
