//! What a wire tells its user's code: errors that no caller gets, and hooks.

use super::{
    Wire,
    session::{Session, SessionId},
    shared::Shared,
};
use crate::error::{OpError, Operation, Panicked};
use std::{
    collections::VecDeque,
    net::{SocketAddr, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Whom an error is about, as far as that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    session: Option<SessionId>,
    pub(super) identification: Vec<u8>,
    pub(super) local_addr: Option<SocketAddr>,
    pub(super) peer_addr: Option<SocketAddr>,
}

impl About {
    /// A connection without a session.
    pub(super) fn connection(stream: &TcpStream) -> Self {
        Self {
            local_addr: stream.local_addr().ok(),
            peer_addr: stream.peer_addr().ok(),
            ..Self::default()
        }
    }

    fn error(
        self,
        operation: Operation,
        cause: Box<dyn std::error::Error + Send + Sync>,
    ) -> OpError {
        OpError {
            operation,
            session: self.session,
            identification: self.identification,
            local_addr: self.local_addr,
            peer_addr: self.peer_addr,
            cause,
        }
    }
}

/// Errors that wait for the error handler.
#[derive(Default)]
pub(super) struct Aside {
    errors: VecDeque<OpError>,
    /// A thread is there that tells it of all.
    is_told: bool,
}

/// How many may wait; more are logged.
const MAX_ASIDE: usize = 256;

impl From<&Session> for About {
    fn from(session: &Session) -> Self {
        Self {
            session: Some(session.id()),
            identification: session.identification().into(),
            local_addr: session.local_addr(),
            peer_addr: session.peer_addr(),
        }
    }
}

impl From<Option<&Session>> for About {
    fn from(session: Option<&Session>) -> Self {
        session.map_or_else(Self::default, Self::from)
    }
}

impl Shared {
    /// Tells the error handler of an error that no caller gets.
    pub(super) fn report(
        &self,
        operation: Operation,
        about: impl Into<About>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) {
        self.tell(&about.into().error(operation, cause.into()));
    }

    /// What is logged goes to the user's code too.
    fn tell(&self, error: &OpError) {
        let tell = || match &self.options.on_error {
            Some(handler) => {
                log::debug!("{error}");
                handler(error);
            }
            None => log::warn!("{error}"),
        };
        if catch_unwind(AssertUnwindSafe(tell)).is_err() {
            log::warn!("the error handler panicked");
        }
    }

    /// The same on a thread of the pool, for what strangers can bring about: who
    /// lets others in does not wait for the user's code.
    pub(super) fn report_aside(
        self: &Arc<Self>,
        operation: Operation,
        about: About,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) {
        let error = about.error(operation, cause.into());
        let mut aside = self.aside.lock();
        if aside.errors.len() >= MAX_ASIDE {
            drop(aside);
            return log::warn!("{error}, and the error handler is behind");
        }
        aside.errors.push_back(error);
        if std::mem::replace(&mut aside.is_told, true) {
            return;
        }
        drop(aside);
        let wire = Arc::clone(self);
        let job = self.threads.count(move || wire.tell_aside());
        if self.pool.submit(job).is_err() {
            // There is no thread for it.
            self.tell_aside();
        }
    }

    fn tell_aside(&self) {
        loop {
            let mut aside = self.aside.lock();
            let Some(error) = aside.errors.pop_front() else {
                aside.is_told = false;
                return;
            };
            drop(aside);
            self.tell(&error);
        }
    }

    /// The wire is up: it listens, or its session stands.
    pub(super) fn tell_up(self: &Arc<Self>, session: Option<&Session>) {
        let Some(hook) = self.options.on_connect.clone() else {
            return;
        };
        let owner = self.owner.get().cloned().unwrap_or_default();
        let (wire, stands) = (Arc::clone(self), session.cloned());
        self.submit_hook("on_connect", session, move || {
            // Nobody has the wire any more: it closes.
            if let Some(owner) = owner.upgrade() {
                wire.run_hook("on_connect", stands.as_ref(), || hook(&Wire { owner }));
            }
        });
    }

    /// Has `job`, which runs a hook, run on a thread of the pool; `false` if
    /// there is none, of which the error handler was told.
    pub(super) fn submit_hook(
        &self,
        name: &'static str,
        session: Option<&Session>,
        job: impl FnOnce() + Send + 'static,
    ) -> bool {
        let submitted = self.pool.submit(self.threads.count(job));
        let submitted = submitted.map_err(|error| {
            self.report(Operation::Hook(name), session, error);
        });
        submitted.is_ok()
    }

    /// Runs a hook on this thread.
    pub(super) fn run_hook(
        &self,
        name: &'static str,
        session: Option<&Session>,
        hook: impl FnOnce(),
    ) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(hook)) {
            let cause = Panicked::from_payload(&*payload);
            self.report(Operation::Hook(name), session, cause);
        }
    }
}
