//! What the threads of one wire share: options, handlers, sessions, and
//! whether it is closed.

use super::{
    arrival::Arrival,
    builder::{Options, SessionHook},
    handlers::Handlers,
    handshake::{Agreed, Handshake},
    pool::{Place, Pool},
    session::{Session, SessionId},
};
use crate::{
    error::{Error, OpError, Operation, Panicked},
    time::deadline,
    yamux::{Incoming, Reader, WeakConnection},
};
use crossbeam_channel::{Receiver, bounded};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{HashMap, hash_map::Entry},
    convert::Infallible,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) handlers: Handlers,
    pool: Arc<Pool>,
    state: Mutex<State>,
    /// A session was added, or the wire was closed, or it is up no more.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The sessions that stand; `None` while one of this id is being opened.
    sessions: HashMap<SessionId, Option<Session>>,
    /// Connections on which a session is being opened, for close to cut.
    handshakes: HashMap<u64, WeakConnection>,
    next_handshake: u64,
    /// Wakes what waits outside of any session: the accept loop, a dial.
    interrupt: Option<Box<dyn Fn() + Send>>,
    connected: bool,
    closed: bool,
    local_addr: Option<SocketAddr>,
}

impl Shared {
    pub(super) fn new(options: Options, handlers: Handlers) -> Arc<Self> {
        let pool = Pool::new(
            options.handler_limit,
            options.stack_size,
            format!("{}-handler", options.thread_name),
        );
        Arc::new(Self {
            options,
            handlers,
            pool,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    // -- sessions --

    pub(super) fn sessions(&self) -> Vec<Session> {
        let state = self.state.lock();
        state.sessions.values().flatten().cloned().collect()
    }

    pub(super) fn session(&self, id: SessionId) -> Option<Session> {
        self.state.lock().sessions.get(&id).cloned().flatten()
    }

    pub(super) fn wait_session(&self, timeout: Duration) -> Result<Session, Error> {
        let deadline = deadline(timeout);
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(Error::Closed);
            }
            let mut standing = state.sessions.values().flatten();
            if let Some(session) = standing.find(|session| !session.is_closed()) {
                return Ok(session.clone());
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                let what = "session";
                return Err(Error::TimedOut { what, timeout });
            }
        }
    }

    /// Makes a session of a connection on which both sides have agreed, and
    /// enters it where it can be found; gives what remains to be done.
    pub(super) fn establish(
        self: &Arc<Self>,
        handshake: Handshake<'_>,
        agreed: Agreed,
        pending: &Pending,
    ) -> Result<Established, Error> {
        let weak = handshake.connection.downgrade();
        let session = Session::new(
            self,
            handshake.connection.clone(),
            agreed.id,
            agreed.identification,
            agreed.stream_names,
        );
        self.enter(&session, pending)?;
        let mut acceptor = self.acceptor(&session, weak);
        while let Some(early) = handshake.next_early() {
            acceptor(early);
        }
        let mut reader = handshake.reader;
        reader.set_acceptor(acceptor);
        Ok(Established { session, reader })
    }

    /// Keeps a session's id for the one that is being opened; `false` if a
    /// session has it.
    pub(super) fn reserve(&self, id: SessionId) -> bool {
        match self.state.lock().sessions.entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(None);
                true
            }
        }
    }

    /// The session that the id was kept for does not come about.
    pub(super) fn release(&self, id: SessionId) {
        let mut state = self.state.lock();
        if matches!(state.sessions.get(&id), Some(None)) {
            state.sessions.remove(&id);
        }
    }

    /// Notes that a session is being opened on a connection, until what is
    /// given is dropped; cuts it at once if the wire is closed.
    pub(super) fn begin_handshake(self: &Arc<Self>, connection: WeakConnection) -> Pending {
        let mut state = self.state.lock();
        let number = state.next_handshake;
        state.next_handshake += 1;
        let closed = state.closed;
        state.handshakes.insert(number, connection.clone());
        drop(state);
        if closed {
            connection.cut();
        }
        let wire = Arc::clone(self);
        Pending { wire, number }
    }

    /// From here on a close ends the session in order, and cuts it no more.
    fn enter(&self, session: &Session, pending: &Pending) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.handshakes.remove(&pending.number);
        state.sessions.insert(session.id(), Some(session.clone()));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Hands the streams that the peer opens to the pool.
    fn acceptor(
        self: &Arc<Self>,
        session: &Session,
        weak: WeakConnection,
    ) -> Box<dyn FnMut(Incoming) -> bool + Send> {
        let (wire, session) = (Arc::clone(self), session.clone());
        Box::new(move |incoming| {
            let Some(raw) = weak.stream(incoming) else {
                return false;
            };
            let arrival = Arrival::new(raw);
            match wire.pool.admit() {
                Ok(place) => wire.run_handler(&session, arrival, place),
                Err(full) => arrival.refuse(&wire, &session, &full.to_string()),
            }
            true
        })
    }

    fn run_handler(self: &Arc<Self>, session: &Session, arrival: Arrival, place: Place) {
        let raw = arrival.raw().clone();
        let job = {
            let (wire, session) = (Arc::clone(self), session.clone());
            move || {
                arrival.serve(&wire, &session);
                drop(place);
            }
        };
        if let Err(error) = self.pool.submit(job) {
            // Dropped with the job, it would seem to end in order.
            raw.reset();
            let operation = Operation::OpenStream(String::new());
            self.report(operation, Some(session), error);
        }
    }

    /// Serves a session on this thread until it ends.
    pub(super) fn serve(self: &Arc<Self>, established: Established) -> Result<(), Error> {
        let Established {
            session,
            mut reader,
        } = established;
        log::debug!(
            "session {} with {:?} stands",
            session.id(),
            session.peer_addr()
        );
        let hook = ("on_session_open", &self.options.on_session_open);
        let opened = self.run_hook(hook, &session, None);
        let ended = reader.run();
        drop(reader);
        self.state.lock().sessions.remove(&session.id());
        log::debug!("session {} ended: {ended:?}", session.id());
        let hook = ("on_session_close", &self.options.on_session_close);
        self.run_hook(hook, &session, opened);
        ended.map_err(Error::from)
    }

    // -- errors --

    /// Tells the error handler of an error that no caller gets.
    pub(super) fn report(
        &self,
        operation: Operation,
        session: Option<&Session>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) {
        self.report_op(OpError {
            operation,
            session: session.map(Session::id),
            identification: session.map_or(Vec::new(), |session| session.identification().into()),
            local_addr: session.and_then(Session::local_addr),
            peer_addr: session.and_then(Session::peer_addr),
            cause: cause.into(),
        });
    }

    pub(super) fn report_op(&self, error: OpError) {
        let Some(handler) = &self.options.on_error else {
            return log::warn!("{error}");
        };
        log::debug!("{error}");
        if catch_unwind(AssertUnwindSafe(|| handler(&error))).is_err() {
            log::warn!("the error handler panicked");
        }
    }

    /// Runs a hook, if there is one, off the reader and after the one before
    /// it; gives what is disconnected when it has returned.
    fn run_hook(
        self: &Arc<Self>,
        (name, hook): (&'static str, &Option<SessionHook>),
        session: &Session,
        after: Option<Receiver<Infallible>>,
    ) -> Option<Receiver<Infallible>> {
        let hook = hook.clone()?;
        let (returns, returned) = bounded(0);
        let (wire, hooked) = (Arc::clone(self), session.clone());
        let job = move || {
            if let Some(after) = after {
                let _ = after.recv();
            }
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(&hooked))) {
                let cause = Panicked::from_payload(&*payload);
                wire.report(Operation::Hook(name), Some(&hooked), cause);
            }
            drop(returns);
        };
        if let Err(error) = self.pool.submit(job) {
            self.report(Operation::Hook(name), Some(session), error);
        }
        Some(returned)
    }

    // -- up and down --

    /// Takes the wire up, unless it is already.
    pub(super) fn begin(self: &Arc<Self>) -> Result<Up, Error> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        if std::mem::replace(&mut state.connected, true) {
            return Err(Error::AlreadyConnected);
        }
        Ok(Up {
            wire: Arc::clone(self),
        })
    }

    /// Waits until the wire is not up.
    pub(super) fn wait(&self) {
        let mut state = self.state.lock();
        while state.connected {
            self.changed.wait(&mut state);
        }
    }

    /// Waits for a moment, or until the wire is closed.
    pub(super) fn pause(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut state = self.state.lock();
        while !state.closed && !self.changed.wait_until(&mut state, deadline).timed_out() {}
    }

    /// Notes how to wake what waits outside of any session; at once, if the
    /// wire is closed already.
    pub(super) fn set_interrupt(&self, interrupt: impl Fn() + Send + 'static) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            interrupt();
        } else {
            state.interrupt = Some(Box::new(interrupt));
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.state.lock().local_addr
    }

    pub(super) fn set_local_addr(&self, addr: Option<SocketAddr>) {
        self.state.lock().local_addr = addr;
    }

    /// Closes everything: stops accepting, tells every peer, waits for them
    /// side by side.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let interrupt = state.interrupt.take();
        let sessions: Vec<Session> = state.sessions.values().flatten().cloned().collect();
        let handshakes: Vec<WeakConnection> = state.handshakes.values().cloned().collect();
        drop(state);
        self.changed.notify_all();
        if let Some(interrupt) = interrupt {
            interrupt();
        }
        for connection in handshakes {
            connection.cut();
        }
        for session in &sessions {
            session.connection().start_close();
        }
        for session in &sessions {
            session.close();
        }
    }
}

/// A handshake under way.
pub(super) struct Pending {
    wire: Arc<Shared>,
    number: u64,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut state = self.wire.state.lock();
        let connection = state.handshakes.remove(&self.number);
        drop(state);
        drop(connection);
    }
}

/// The wire is up for as long as this lives; then it may be taken up again.
pub(super) struct Up {
    pub(super) wire: Arc<Shared>,
}

impl Drop for Up {
    fn drop(&mut self) {
        let mut state = self.wire.state.lock();
        state.connected = false;
        let interrupt = state.interrupt.take();
        drop(state);
        drop(interrupt);
        self.wire.changed.notify_all();
    }
}

/// A session that stands and is not served yet.
pub(super) struct Established {
    pub(super) session: Session,
    reader: Box<Reader>,
}
