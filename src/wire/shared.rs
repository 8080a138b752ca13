//! What the threads of one wire share: options, handlers, sessions, and
//! whether it is closed.

use super::{
    Owner,
    arrival::{Arrival, Find},
    handlers::Handlers,
    handshake::{Agreed, Handshake},
    hooks::Hooks,
    options::Options,
    pending::{Handshakes, NoHandshake, Pending},
    pool::{Place, Pool},
    registry::{Conflict, Obstacle, Registry},
    reports::{About, Aside},
    session::{Session, SessionId},
    stats::Stats,
    threads::Threads,
};
use crate::{
    error::{Error, Operation, ShutdownError},
    guard,
    sync::{self, Condvar, Mutex, MutexGuard, OnceLock},
    time::{deadline, wall_clock},
    yamux::{self, Acceptor, Reader, WeakConnection},
};
use std::{
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};

pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) handlers: Handlers,
    pub(super) pool: Arc<Pool>,
    pub(super) threads: Threads,
    /// The handle that people have, for hooks to get.
    pub(super) owner: OnceLock<Weak<Owner>>,
    /// The settings of each connection.
    pub(super) connection: Arc<yamux::Config>,
    pub(super) find: Find,
    is_hub: bool,
    since: SystemTime,
    /// What the error handler is yet to be told.
    pub(super) aside: Mutex<Aside>,
    state: Mutex<State>,
    /// A session was added, has left, or did not come about; a handshake gave way;
    /// the wire was closed, or is up no more; or somebody is impatient.
    changed: Condvar,
}

pub(super) struct State {
    pub(super) registry: Registry,
    /// Connections on which a session is being opened, for close to cut.
    handshakes: Handshakes,
    /// Wakes what waits outside of any session: the accept loop, a dial.
    interrupt: Option<Box<dyn Fn() + Send>>,
    connected: bool,
    closed: bool,
    /// Somebody wants a client not to wait before its next try.
    nudged: bool,
    /// By when the close is to be over.
    close_by: Option<Instant>,
    /// Calls of close that have not ended.
    closers: usize,
    /// What those that have ended say.
    shutdown: Result<(), ShutdownError>,
    local_addr: Option<SocketAddr>,
    /// What ended sessions have done.
    past: yamux::Stats,
    sessions: u64,
    round_trip_time: Option<Duration>,
}

impl Shared {
    /// On a hub, names of clients' streams have one owner, to whom calls are
    /// relayed.
    pub(super) fn new(options: Options, handlers: Handlers, is_hub: bool, find: Find) -> Arc<Self> {
        let pool = Pool::new(
            options.handler_limit,
            options.stack_size,
            format!("{}-handler", options.thread_name),
        );
        let state = State {
            registry: Registry::new(options.max_sessions, is_hub),
            handshakes: Handshakes::new(options.max_handshakes),
            interrupt: None,
            connected: false,
            closed: false,
            nudged: false,
            close_by: None,
            closers: 0,
            shutdown: Ok(()),
            local_addr: None,
            past: yamux::Stats::default(),
            sessions: 0,
            round_trip_time: None,
        };
        let connection = options.connection();
        Arc::new(Self {
            options,
            connection: Arc::new(connection),
            handlers,
            pool,
            threads: Threads::default(),
            owner: OnceLock::new(),
            find,
            is_hub,
            since: wall_clock(),
            aside: Mutex::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    pub(super) fn set_owner(&self, owner: &Arc<Owner>) {
        // A wire is made once.
        let _ = self.owner.set(Arc::downgrade(owner));
    }

    // -- sessions --

    pub(super) fn sessions(&self) -> Vec<Session> {
        self.state.lock().registry.standing().cloned().collect()
    }

    pub(super) fn session(&self, id: SessionId) -> Option<Session> {
        self.state.lock().registry.get(id).cloned()
    }

    /// Whether nobody has a session, or is about to have one, or a name.
    #[cfg(any(test, fuzzing))]
    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().registry.is_empty()
    }

    /// The session to which calls of this stream name are relayed; the inner
    /// `None`: it does not come to stand. One that is being opened is waited for:
    /// its client may know of it already, and have told others.
    pub(super) fn owner_of(&self, name: &str) -> Option<Option<Session>> {
        let deadline = deadline(self.options.handshake_timeout);
        let mut state = self.state.lock();
        loop {
            let owner = state.registry.owner(name);
            let is_opening = matches!(owner, Some(None)) && !state.closed;
            if !is_opening || self.changed.wait_until(&mut state, deadline).timed_out() {
                return owner;
            }
        }
    }

    pub(super) fn wait_session(&self, timeout: Duration) -> Result<Session, Error> {
        let deadline = deadline(timeout);
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(Error::Closed);
            }
            let mut standing = state.registry.standing();
            if let Some(session) = standing.find(|session| !session.is_closed()) {
                return Ok(session.clone());
            }
            drop(standing);
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                let what = "session";
                return Err(Error::TimedOut { what, timeout });
            }
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let state = self.state.lock();
        let (mut traffic, sessions) = (state.past, state.sessions);
        let mut round_trip_time = state.round_trip_time;
        let standing: Vec<Session> = state.registry.standing().cloned().collect();
        drop(state);
        for session in standing {
            traffic += session.connection().stats();
            round_trip_time = session.round_trip_time().or(round_trip_time);
        }
        let mut stats = Stats::new(self.since, sessions, traffic);
        stats.round_trip_time = round_trip_time;
        stats
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
        let session = Session::new(self, handshake.connection.clone(), agreed);
        self.enter(&session, pending)?;
        let acceptor = self.acceptor(&session, weak);
        for early in handshake.forward_early(&acceptor) {
            acceptor.offer(early);
        }
        let mut reader = handshake.reader;
        reader.set_acceptor(acceptor);
        Ok(Established { session, reader })
    }

    /// Keeps an id, and on a hub the names, for the session that is being
    /// opened.
    pub(super) fn reserve(
        &self,
        id: SessionId,
        identification: &[u8],
        names: &[String],
    ) -> Result<(), Conflict> {
        if self.is_hub
            && let Some(own) = names.iter().find(|name| self.handlers.get(name).is_some())
        {
            return Err(Conflict::Own(own.clone()));
        }
        let mut state = self.state.lock();
        let replaced = state.registry.reserve(id, identification, names)?;
        drop(state);
        for session in replaced {
            session.connection().cut();
            let replaced = session.id();
            guard::log(|| log::debug!("session {replaced} gives way to {id}, the same client"));
        }
        Ok(())
    }

    /// Looks whether the session that owns a name is there: one that has been
    /// silent for too long ends by it. Whether nothing is in the way any more.
    pub(super) fn look_at_owner(&self, conflict: &Conflict, identification: &[u8]) -> bool {
        let obstacle = self
            .state
            .lock()
            .registry
            .obstacle(conflict, identification);
        match obstacle {
            Some(Obstacle::Owner(owner)) => self.look_for_life(&owner).is_none(),
            Some(Obstacle::Other) => false,
            None => true,
        }
    }

    /// Asks an owner for a sign of life; when to look again, if it may still give
    /// one. A third of a handshake: so whoever waits for its name can have it
    /// within one.
    fn look_for_life(&self, owner: &Session) -> Option<Instant> {
        let options = &self.options;
        let patience = options.write_timeout.min(options.handshake_timeout / 3);
        owner.connection().look_for_life(patience)
    }

    /// Waits until what is in the way of a session may be gone, and looks
    /// meanwhile whether the owner of its name is there. Whether it may be; if
    /// not, the wire is closed, the handshake gave way, it is too late, or too
    /// many wait.
    pub(super) fn wait_for_room(
        &self,
        conflict: &Conflict,
        identification: &[u8],
        pending: &Pending,
        deadline: Instant,
    ) -> bool {
        let begun = self.state.lock().handshakes.begin_wait(pending.number());
        match begun {
            Ok(evicted) => self.send_away(evicted),
            // The caller is told that it may not wait.
            Err(_) => return false,
        }
        let may_be_gone = self.wait_until_gone(conflict, identification, pending, deadline);
        self.state.lock().handshakes.end_wait(pending.number());
        may_be_gone
    }

    fn wait_until_gone(
        &self,
        conflict: &Conflict,
        identification: &[u8],
        pending: &Pending,
        deadline: Instant,
    ) -> bool {
        // The owner that is looked at, and when to do so again.
        let mut awaited: Option<(SessionId, Instant)> = None;
        let mut state = self.state.lock();
        loop {
            if state.closed || state.handshakes.gave_way(pending.number()) {
                return false;
            }
            let now = sync::now();
            let owner = match state.registry.obstacle(conflict, identification) {
                None => return true,
                Some(_) if now >= deadline => return false,
                Some(Obstacle::Owner(owner)) => Some(owner),
                Some(Obstacle::Other) => None,
            };
            let until = match owner {
                None => deadline,
                Some(owner) => match awaited {
                    Some((id, due)) if id == owner.id() && now < due => due.min(deadline),
                    _ => {
                        drop(state);
                        let due = self.look_for_life(&owner);
                        awaited = due.map(|due| (owner.id(), due));
                        // It may write, and its end wakes others.
                        state = self.state.lock();
                        continue;
                    }
                },
            };
            self.changed.wait_until(&mut state, until);
        }
    }

    /// The session that the id was kept for does not come about.
    pub(super) fn release(&self, id: SessionId) {
        let mut state = self.state.lock();
        if state.registry.get(id).is_none() {
            state.registry.remove(id);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Notes that a session is being opened on a connection, until what is
    /// given is dropped.
    pub(super) fn begin_handshake(
        self: &Arc<Self>,
        stream: &TcpStream,
        about: &About,
    ) -> Result<Pending, NoHandshake> {
        let about = Box::new(about.clone());
        let origin = about
            .peer_addr
            .map_or(Ipv4Addr::UNSPECIFIED.into(), |addr| addr.ip());
        let stream = stream.try_clone()?;
        let mut state = self.state.lock();
        if state.closed {
            return Err(NoHandshake::Closed);
        }
        let (number, evicted) = state.handshakes.begin(origin.into(), stream)?;
        drop(state);
        self.send_away(evicted);
        Ok(Pending::new(self, number, about))
    }

    /// Ends a handshake that gave way.
    fn send_away(&self, evicted: Option<TcpStream>) {
        if let Some(stream) = evicted {
            // Its thread ends by it, and says why; or it waits for room.
            let _ = stream.shutdown(Shutdown::Both);
            self.changed.notify_all();
        }
    }

    /// Whether the connection's place was wanted for another.
    pub(super) fn gave_way(&self, pending: &Pending) -> bool {
        self.state.lock().handshakes.gave_way(pending.number())
    }

    pub(super) fn end_handshake(&self, number: u64) {
        let stream = self.state.lock().handshakes.end(number);
        // A descriptor less, and not under the lock.
        drop(stream);
    }

    /// From here on a close ends the session in order, and cuts it no more.
    fn enter(&self, session: &Session, pending: &Pending) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        let Some(stream) = state.handshakes.complete(pending.number()) else {
            return Err(Error::Closed);
        };
        state.registry.enter(session);
        state.sessions += 1;
        drop(state);
        // A descriptor less, and not under the lock.
        drop(stream);
        self.changed.notify_all();
        Ok(())
    }

    /// Hands the streams that the peer opens to the pool.
    fn acceptor(self: &Arc<Self>, session: &Session, weak: WeakConnection) -> Acceptor {
        let (wire, session) = (Arc::clone(self), session.clone());
        let share = self.pool.share();
        Acceptor::new(move |incoming| {
            let Some(raw) = weak.stream(incoming) else {
                return false;
            };
            let arrival = Arrival::new(raw);
            match share.admit() {
                Ok(place) => wire.run_handler(&session, arrival, place),
                Err(full) => arrival.refuse(&wire, &session, &full.to_string()),
            }
            true
        })
    }

    fn run_handler(self: &Arc<Self>, session: &Session, arrival: Arrival, place: Place) {
        let raw = arrival.raw().clone();
        let (wire, serving) = (Arc::clone(self), session.clone());
        let opening = self.threads.count_opening();
        let job = self.threads.count(move || {
            arrival.serve(&wire, &serving, opening);
            drop(place);
        });
        if let Err(error) = self.pool.submit(job) {
            // Dropped with the job, it would seem to end in order.
            raw.reset();
            let operation = Operation::OpenStream(String::new());
            self.report(operation, Some(session), error);
        }
    }

    /// Serves a session on this thread until it ends. It has its place until what
    /// is given is dropped, and its hooks have returned.
    pub(super) fn serve(
        self: &Arc<Self>,
        established: Established,
    ) -> (Arc<Left>, Result<(), Error>) {
        let Established {
            session,
            mut reader,
        } = established;
        let (id, peer) = (session.id(), session.peer_addr());
        guard::log(|| log::debug!("session {id} with {peer:?} stands"));
        let hooks = Hooks::of(self, &session);
        if let Some(hooks) = &hooks {
            hooks.opened();
        }
        let ended = reader.run();
        // A close waits for the reader, and then finds the session gone.
        let left = Arc::new(self.leave(&session));
        drop(reader);
        guard::log(|| log::debug!("session {id} ended: {ended:?}"));
        if let Some(hooks) = &hooks {
            hooks.closed(&left);
        }
        (left, ended.map_err(Error::from))
    }

    pub(super) fn leave(self: &Arc<Self>, session: &Session) -> Left {
        let traffic = session.connection().stats();
        let mut state = self.state.lock();
        state.registry.leave(session.id());
        state.past += traffic;
        state.round_trip_time = session.round_trip_time().or(state.round_trip_time);
        drop(state);
        self.changed.notify_all();
        Left {
            wire: Arc::clone(self),
        }
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

    /// If the wire is closed, waits until that is over; what the close says.
    pub(super) fn wait_closed(&self) -> Result<(), ShutdownError> {
        // A close does not wait for this thread.
        let _aside = self.threads.step_aside();
        self.outlast_close(self.state.lock())
    }

    fn outlast_close(&self, mut state: MutexGuard<'_, State>) -> Result<(), ShutdownError> {
        while state.closers > 0 {
            self.changed.wait(&mut state);
        }
        state.shutdown.clone()
    }

    /// Waits until the wire is not up, and if it is closed, until that is over;
    /// what the close says. The wire may be up by this very thread, which is in the
    /// user's code: then a close is all that can come.
    pub(super) fn wait(&self) -> Result<(), ShutdownError> {
        let aside = self.threads.step_aside();
        let mut state = self.state.lock();
        while state.connected && !(aside.is_inside() && state.closed) {
            self.changed.wait(&mut state);
        }
        self.outlast_close(state)
    }

    /// Notes that the wire is being closed, until what is given ends.
    pub(super) fn begin_close(&self) -> Closing<'_> {
        self.state.lock().closers += 1;
        Closing { wire: self }
    }

    /// Waits for a moment, or until the wire is closed, or somebody is
    /// impatient.
    pub(super) fn pause(&self, time: Duration) {
        let deadline = deadline(time);
        let mut state = self.state.lock();
        while !state.closed && !std::mem::take(&mut state.nudged) {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    /// Ends a wait before the next try: the one that is, or the next one.
    pub(super) fn nudge(&self) {
        self.state.lock().nudged = true;
        self.changed.notify_all();
    }

    /// Who was impatient has got a session.
    pub(super) fn forget_nudge(&self) {
        self.state.lock().nudged = false;
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

    /// Lets nobody in any more and wakes who waits outside of a session; gives
    /// the sessions to close, and by when. Those that come again get the same.
    pub(super) fn stop(&self) -> (Vec<Session>, Instant) {
        let mut state = self.state.lock();
        state.closed = true;
        let timeout = self.options.session_close_timeout;
        let close_by = *state.close_by.get_or_insert_with(|| deadline(timeout));
        let interrupt = state.interrupt.take();
        let sessions = state.registry.standing().cloned().collect();
        let handshakes = state.handshakes.take_all();
        drop(state);
        for stream in &handshakes {
            // Fails if the peer was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
        if let Some(interrupt) = interrupt {
            interrupt();
        }
        (sessions, close_by)
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

/// A close under way, for as long as this lives.
#[must_use]
pub(super) struct Closing<'a> {
    wire: &'a Shared,
}

impl Closing<'_> {
    /// How it went. Others may close the wire at the same time, of which each
    /// sees a part.
    pub(super) fn end(self, outcome: &Result<(), ShutdownError>) {
        let Err(error) = outcome else {
            return;
        };
        let mut state = self.wire.state.lock();
        match &mut state.shutdown {
            Ok(()) => state.shutdown = Err(error.clone()),
            Err(known) => known.add(error),
        }
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.wire.state.lock().closers -= 1;
        self.wire.changed.notify_all();
    }
}

/// A session that stands and is not served yet.
pub(super) struct Established {
    pub(super) session: Session,
    pub(super) reader: Box<Reader>,
}

/// The place of a session that has left, while the user's code is told of it.
#[must_use]
pub(super) struct Left {
    wire: Arc<Shared>,
}

impl Drop for Left {
    fn drop(&mut self) {
        self.wire.state.lock().registry.give_up();
        self.wire.changed.notify_all();
    }
}

#[cfg(all(test, shuttle))]
mod models;
