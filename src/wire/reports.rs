//! What a wire tells its user's code: errors that no caller gets, and hooks.

use super::{
    Wire,
    session::{Session, SessionId},
    shared::Shared,
};
use crate::{
    error::{OpError, Operation},
    guard::{self, caught},
};
use std::{
    collections::VecDeque,
    net::{SocketAddr, TcpStream},
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
            // There are none any more where the peer has left: then they are unknown.
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

    fn tell(&self, error: &OpError) {
        guarded(|| match &self.options.on_error {
            Some(handler) => {
                log::debug!("{error}");
                handler(error);
            }
            None => log::warn!("{error}"),
        });
    }

    /// The same on a thread of the pool, for what strangers can bring about: who
    /// lets others in does not wait for the user's code. If there is no thread,
    /// they wait for the next error.
    pub(super) fn report_aside(
        self: &Arc<Self>,
        operation: Operation,
        about: About,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) {
        let error = about.error(operation, cause.into());
        let mut aside = self.aside.lock();
        let mut behind = None;
        if aside.errors.len() < MAX_ASIDE {
            aside.errors.push_back(error);
        } else {
            behind = Some(error);
        }
        let is_told = std::mem::replace(&mut aside.is_told, true);
        drop(aside);
        if let Some(error) = behind {
            guarded(|| log::warn!("{error}, and the error handler is behind"));
        }
        if is_told {
            return;
        }
        let wire = Arc::clone(self);
        let job = self.threads.count(move || wire.tell_aside());
        if let Err(error) = self.pool.submit(job) {
            self.aside.lock().is_told = false;
            guard::log(|| {
                log::warn!("no thread tells the error handler, so errors wait: {error}");
            });
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
        if let Err(cause) = caught(hook) {
            self.report(Operation::Hook(name), session, cause);
        }
    }
}

/// Runs what may run the user's code, which may panic: the error handler, and
/// what shows an error, as logging it does.
fn guarded(tell: impl FnOnce()) {
    if caught(tell).is_err() {
        guard::log(|| log::warn!("the error handler panicked, or what shows an error"));
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::wire::{arrival::find_handler, handlers::Handlers, options::Options};
    use crossbeam_channel::{Receiver, unbounded};
    use std::fmt;

    /// A wire whose pool cannot have a thread, and what its error handler is told.
    fn without_threads() -> (Arc<Shared>, Receiver<String>) {
        let (sender, told) = unbounded();
        let options = Options {
            stack_size: Some(usize::MAX / 8),
            on_error: Some(Box::new(move |error| {
                sender.send(error.cause.to_string()).unwrap();
            })),
            ..Options::default()
        };
        let wire = Shared::new(options, Handlers::default(), false, find_handler);
        (wire, told)
    }

    #[test]
    fn errors_wait_where_no_thread_can_be_started() {
        let (wire, told) = without_threads();
        for number in 0..2 * MAX_ASIDE {
            let cause = number.to_string();
            wire.report_aside(Operation::Accept, About::default(), cause);
            assert!(told.is_empty(), "it is not told on this thread");
            // The next error has a thread tried again, though none may wait.
            assert!(!wire.aside.lock().is_told);
        }
        // What a thread would do.
        wire.tell_aside();
        let numbers: Vec<usize> = told.try_iter().map(|text| text.parse().unwrap()).collect();
        assert!(numbers.into_iter().eq(0..MAX_ASIDE));
    }

    /// An error that cannot be shown.
    #[derive(Debug)]
    struct Unspeakable;

    impl std::error::Error for Unspeakable {}

    impl fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("it cannot be shown");
        }
    }

    /// Shows everything, to nobody.
    struct Showing;

    impl log::Log for Showing {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            let _ = record.args().to_string();
        }

        fn flush(&self) {}
    }

    #[test]
    fn an_error_that_panics_when_it_is_shown_does_no_harm_when_it_is_logged() {
        log::set_logger(&Showing).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
        let (wire, _told) = without_threads();
        for _ in 0..=MAX_ASIDE {
            wire.report_aside(Operation::Accept, About::default(), Unspeakable);
        }
        log::set_max_level(log::LevelFilter::Off);
    }
}
