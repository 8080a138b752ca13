//! Connecting to a server by name.

use crate::{
    spawn::spawn,
    sync::{Condvar, Mutex},
    time::deadline,
    wire::{
        run::{
            addr::{Addr, no_address},
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

/// A dial under way. It runs on a thread of its own, because looking a name up
/// cannot be interrupted, but can be left to itself.
struct Dial {
    wire: Arc<WireState>,
    addr: Addr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Nobody waits for it any more.
    abandoned: bool,
    /// The name was looked up.
    resolved: bool,
    /// The socket that is being connected.
    socket: Weak<Socket>,
    outcome: Option<io::Result<TcpStream>>,
}

/// Looks the name up anew and tries every address that it resolves to. A close
/// of the wire interrupts it at once.
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
    })?;
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
            if state.abandoned {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            if state.resolved {
                // Each address has a timeout of its own.
                self.changed.wait(&mut state);
            } else if self.changed.wait_until(&mut state, deadline).timed_out() && !state.resolved {
                let text = format!("the name was not resolved within {timeout:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    }

    fn run(&self) -> io::Result<TcpStream> {
        let addrs = self.addr.resolve()?;
        self.state.lock().resolved = true;
        self.changed.notify_all();
        let mut last = None;
        for addr in addrs {
            match self.connect(addr) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let options = &self.wire.options;
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket::set_buffers(&SockRef::from(&socket), options)?;
        let socket = Arc::new(socket);
        let mut state = self.state.lock();
        if state.abandoned {
            return Err(io::ErrorKind::Interrupted.into());
        }
        state.socket = Arc::downgrade(&socket);
        drop(state);
        // socket2 waits for whole milliseconds, rounded down.
        let timeout = options
            .dial_timeout
            .saturating_add(Duration::from_millis(1));
        socket.connect_timeout(&addr.into(), timeout)?;
        // Before it is connected, these would count for connecting too.
        socket::watch(&SockRef::from(&*socket), options)?;
        let mut state = self.state.lock();
        state.socket = Weak::new();
        if state.abandoned {
            return Err(io::ErrorKind::Interrupted.into());
        }
        drop(state);
        // Where an abandoning thread holds it just now, it is of no use.
        let socket = Arc::into_inner(socket).ok_or(io::ErrorKind::Interrupted)?;
        Ok(socket.into())
    }

    /// Ends what still runs, as far as it can be.
    fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        let socket = state.socket.upgrade();
        drop(state);
        self.changed.notify_all();
        if let Some(socket) = socket {
            // Ends a connect that waits, too.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
