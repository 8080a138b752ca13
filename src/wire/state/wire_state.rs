//! The state that the threads of one wire share.

use super::{
    admitted::Find,
    deferred::Deferred,
    handlers::Handlers,
    handshakes::Handshakes,
    last_failure::LastFailure,
    lifecycle::Lifecycle,
    options::{NewSessionEvents, Options},
    pool::HandlerPool,
    registry::{NameOwner, Names, Registry},
    takeovers::Takeovers,
};
use crate::{
    error::{Error, PrintableBytes, names_address},
    sync::{Condvar, Mutex, OnceLock},
    time::{deadline, wall_clock},
    wire::session::{id::SessionId, session::Session, stats::Stats, wire_threads::Threads},
    yamux,
};
use std::{
    any::Any,
    borrow::Cow,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

/// A wire without its handles: everything that its threads need. The program's handles
/// own it through `Wire`; its threads own it as long as they run.
pub(crate) struct WireState {
    pub(crate) options: Options,
    pub(crate) handlers: Handlers,
    pub(crate) pool: Arc<HandlerPool>,
    pub(crate) threads: Threads,
    /// The state that the program's handles share. `dyn Any`, because its type is above
    /// this floor.
    pub(crate) handle: OnceLock<Weak<dyn Any + Send + Sync>>,
    /// The settings of each connection.
    pub(crate) connection: Arc<yamux::Config>,
    pub(crate) find: Find,
    /// `None` if the program has no hooks of sessions.
    pub(crate) hooks: Option<NewSessionEvents<WireState>>,
    pub(super) names: Names,
    since: SystemTime,
    pub(crate) deferred: Mutex<Deferred>,
    /// Signalled when no report is left, or no thread can be started for them.
    pub(crate) reported: Condvar,
    pub(crate) takeovers: Mutex<Takeovers>,
    pub(super) data: Mutex<WireData>,
    /// Signalled when a session is established, ends, or could not be opened; when a
    /// handshake is evicted; when the wire stops running or is closed; and on a nudge.
    pub(super) changed: Condvar,
}

/// The state of a wire that changes, under its lock.
pub(crate) struct WireData {
    pub(super) registry: Registry<Session>,
    /// Connections on which a session is being opened, for close to cut.
    pub(super) handshakes: Handshakes,
    pub(super) life: Lifecycle,
    pub(super) totals: Totals,
    pub(super) last_failure: LastFailure,
    pub(super) server_addr: Option<String>,
    local_addr: Option<SocketAddr>,
}

/// The counts that ended sessions add to [`Stats`].
#[derive(Default)]
pub(super) struct Totals {
    pub(super) traffic: yamux::Stats,
    /// Sessions established so far, ended or not.
    pub(super) sessions: u64,
    pub(super) round_trip_time: Option<Duration>,
}

impl WireData {
    /// Returns the error for something that did not happen in time. It has the reason and, for
    /// a client, the server's address unless the reason contains it.
    fn missing(&self, what: Cow<'static, str>, timeout: Duration) -> Error {
        let cause = self.why_no_session();
        let addr = self.server_addr.as_ref().filter(|addr| {
            let cause = cause.as_ref().map(Error::to_string);
            !cause.is_some_and(|cause| names_address(&cause, addr))
        });
        let what = match addr {
            Some(addr) => format!("{what} with {addr}").into(),
            None => what,
        };
        let cause = cause.map(Arc::new);
        Error::TimedOut {
            what,
            timeout,
            cause,
        }
    }

    fn why_no_session(&self) -> Option<Error> {
        let is_running = self.life.is_running();
        match self.last_failure.error() {
            // A server runs until it is closed.
            Some(error) if !is_running && self.server_addr.is_some() => {
                let text = format!("the client gave up: {error}");
                Some(error.explained(text))
            }
            None if !is_running => Some(Error::NotRunning),
            error => error,
        }
    }
}

impl WireState {
    pub(crate) fn new(
        options: Options,
        handlers: Handlers,
        registry: fn(usize) -> Registry<Session>,
        find: Find,
        hooks: Option<NewSessionEvents<Self>>,
    ) -> Arc<Self> {
        let pool = HandlerPool::new(
            options.handler_limit,
            options.stack_size,
            format!("{}-handler", options.thread_name),
        );
        let registry = registry(options.max_sessions);
        let names = registry.names();
        let data = WireData {
            registry,
            handshakes: Handshakes::new(options.max_handshakes),
            life: Lifecycle::new(),
            totals: Totals::default(),
            last_failure: LastFailure::default(),
            server_addr: None,
            local_addr: None,
        };
        Arc::new(Self {
            connection: Arc::new(options.connection()),
            options,
            handlers,
            pool,
            threads: Threads::default(),
            handle: OnceLock::new(),
            find,
            hooks,
            names,
            since: wall_clock(),
            deferred: Mutex::default(),
            reported: Condvar::new(),
            takeovers: Mutex::default(),
            data: Mutex::new(data),
            changed: Condvar::new(),
        })
    }

    /// The established sessions.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        self.data.lock().registry.established().cloned().collect()
    }

    pub(crate) fn session(&self, id: SessionId) -> Option<Session> {
        self.data.lock().registry.get(id).cloned()
    }

    pub(crate) fn session_for(&self, identification: &[u8]) -> Option<Session> {
        let data = self.data.lock();
        data.registry.session_for(identification).cloned()
    }

    pub(crate) fn session_offering(&self, name: &str) -> Option<Session> {
        self.data.lock().registry.session_offering(name).cloned()
    }

    /// Waits until a session is established, and returns it.
    pub(crate) fn wait_session(&self, timeout: Duration) -> Result<Session, Error> {
        self.wait_open(timeout, "session", Registry::open_session)
    }

    /// Waits until there is a session with this identification, and returns it.
    pub(crate) fn wait_session_for(
        &self,
        identification: &[u8],
        timeout: Duration,
    ) -> Result<Session, Error> {
        let what = format!("session of {}", PrintableBytes(identification));
        self.wait_open(timeout, what, |registry| {
            registry.session_for(identification)
        })
    }

    fn wait_open(
        &self,
        timeout: Duration,
        what: impl Into<Cow<'static, str>>,
        find: impl Fn(&Registry<Session>) -> Option<&Session>,
    ) -> Result<Session, Error> {
        self.wait_for(timeout, what, |data| match data.life.is_closing() {
            true => Some(Err(Error::Closed)),
            false => find(&data.registry).cloned().map(Ok),
        })?
    }

    /// Waits for the first session of a wire that has begun to run. Returns `None` if the
    /// wire no longer runs.
    pub(crate) fn wait_first_session(&self, timeout: Duration) -> Result<Option<Session>, Error> {
        self.wait_for(timeout, "session", |data| match data.life.is_running() {
            true => data.registry.open_session().cloned().map(Some),
            false => Some(None),
        })
    }

    /// Waits until `check` returns something. It is called again after each change.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], with the reason why there is no `what`.
    fn wait_for<T>(
        &self,
        timeout: Duration,
        what: impl Into<Cow<'static, str>>,
        check: impl Fn(&WireData) -> Option<T>,
    ) -> Result<T, Error> {
        let deadline = deadline(timeout);
        let mut data = self.data.lock();
        let mut timed_out = false;
        loop {
            // Checked after the last wait, too: it may have come while this thread woke.
            if let Some(found) = check(&data) {
                return Ok(found);
            }
            if timed_out {
                return Err(data.missing(what.into(), timeout));
            }
            timed_out = self.changed.wait_until(&mut data, deadline).timed_out();
        }
    }

    /// Returns the owner of a stream name. Waits for one whose session is still being
    /// opened: its client may know of the session already and have told others.
    pub(crate) fn owner_of(&self, name: &str) -> NameOwner<Session> {
        let deadline = deadline(self.options.handshake_timeout);
        let mut data = self.data.lock();
        let mut timed_out = false;
        loop {
            let owner = data.registry.owner(name);
            let is_opening = matches!(owner, NameOwner::Opening) && !data.life.is_closing();
            if !is_opening || timed_out {
                return owner;
            }
            timed_out = self.changed.wait_until(&mut data, deadline).timed_out();
        }
    }

    /// Returns whether there are neither sessions, nor reservations, nor names.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_empty(&self) -> bool {
        self.data.lock().registry.is_empty()
    }

    pub(crate) fn stats(&self) -> Stats {
        let data = self.data.lock();
        let (mut traffic, sessions) = (data.totals.traffic, data.totals.sessions);
        let mut round_trip_time = data.totals.round_trip_time;
        let established: Vec<Session> = data.registry.established().cloned().collect();
        drop(data);
        for session in established {
            traffic += session.connection().stats();
            round_trip_time = session.round_trip_time().or(round_trip_time);
        }
        let mut stats = Stats::new(self.since, sessions, traffic);
        stats.round_trip_time = round_trip_time;
        stats
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.data.lock().local_addr
    }

    pub(crate) fn set_local_addr(&self, addr: Option<SocketAddr>) {
        self.data.lock().local_addr = addr;
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::wire::run::inbound::find_handler;
    use std::cell::Cell;

    #[test]
    fn what_comes_while_a_wait_times_out_is_found() {
        let (options, handlers) = (Options::default(), Handlers::default());
        let wire = WireState::new(options, handlers, Registry::of_server, find_handler, None);
        let checks = Cell::new(0);
        let second = |_: &WireData| {
            checks.set(checks.get() + 1);
            (checks.get() == 2).then_some("found")
        };
        assert_eq!(
            wire.wait_for(Duration::ZERO, "it", second).unwrap(),
            "found"
        );
    }
}
