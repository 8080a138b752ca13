//! The state that the threads of one wire share.

use super::{
    admitted::Find,
    deferred::Deferred,
    handlers::Handlers,
    handshakes::Handshakes,
    lifecycle::Lifecycle,
    options::Options,
    pool::HandlerPool,
    registry::{NameOwner, Names, Registry},
    takeovers::Takeovers,
};
use crate::{
    error::Error,
    sync::{Condvar, Mutex, OnceLock},
    time::{deadline, wall_clock},
    wire::session::{id::SessionId, session::Session, stats::Stats, wire_threads::Threads},
    yamux,
};
use std::{
    any::Any,
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

impl WireState {
    pub(crate) fn new(options: Options, handlers: Handlers, names: Names, find: Find) -> Arc<Self> {
        let pool = HandlerPool::new(
            options.handler_limit,
            options.stack_size,
            format!("{}-handler", options.thread_name),
        );
        let data = WireData {
            registry: Registry::new(options.max_sessions, names),
            handshakes: Handshakes::new(options.max_handshakes),
            life: Lifecycle::new(),
            totals: Totals::default(),
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

    /// Waits until a session is established, and returns it.
    pub(crate) fn wait_session(&self, timeout: Duration) -> Result<Session, Error> {
        let deadline = deadline(timeout);
        let mut data = self.data.lock();
        loop {
            if data.life.is_closing() {
                return Err(Error::Closed);
            }
            let mut established = data.registry.established();
            if let Some(session) = established.find(|session| !session.is_closed()) {
                return Ok(session.clone());
            }
            drop(established);
            if self.changed.wait_until(&mut data, deadline).timed_out() {
                let what = "session";
                return Err(Error::TimedOut { what, timeout });
            }
        }
    }

    /// Returns the owner of a stream name. Waits for one whose session is still being
    /// opened: its client may know of the session already and have told others.
    pub(crate) fn owner_of(&self, name: &str) -> NameOwner<Session> {
        let deadline = deadline(self.options.handshake_timeout);
        let mut data = self.data.lock();
        loop {
            let owner = data.registry.owner(name);
            let is_opening = matches!(owner, NameOwner::Opening) && !data.life.is_closing();
            if !is_opening || self.changed.wait_until(&mut data, deadline).timed_out() {
                return owner;
            }
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
