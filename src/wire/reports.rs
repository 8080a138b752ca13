//! What a wire tells its user's code: errors that no caller gets, and hooks.

use super::{Wire, session::Session, shared::Shared};
use crate::error::{OpError, Operation, Panicked};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

impl Shared {
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
