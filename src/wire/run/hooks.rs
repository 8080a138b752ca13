//! The two hooks of a session: each once, the first before the second, on
//! threads of the pool.

use crate::{
    sync::Mutex,
    wire::{
        session::session::Session,
        state::{opening::SessionSlot, options::SessionHook, wire_state::WireState},
    },
};
use std::sync::Arc;

const OPEN: &str = "on_session_open";
const CLOSE: &str = "on_session_close";

pub(crate) struct Hooks {
    wire: Arc<WireState>,
    session: Session,
    /// No thread waits for a hook: whoever runs the first goes on with the
    /// second, if that has become due meanwhile.
    progress: Mutex<Progress>,
}

enum Progress {
    /// The first hook runs, or is about to.
    Opening,
    /// It does, and the second is due after it. The session keeps its place for
    /// both.
    OpeningAndDue(Arc<SessionSlot>),
    Opened,
}

impl Hooks {
    /// `None` if the wire has neither.
    pub(crate) fn of(wire: &Arc<WireState>, session: &Session) -> Option<Arc<Self>> {
        let options = &wire.options;
        if options.on_session_open.is_none() && options.on_session_close.is_none() {
            return None;
        }
        Some(Arc::new(Self {
            wire: Arc::clone(wire),
            session: session.clone(),
            progress: Mutex::new(Progress::Opened),
        }))
    }

    /// The session stands.
    pub(crate) fn opened(self: &Arc<Self>) {
        let Some(hook) = self.wire.options.on_session_open.clone() else {
            return;
        };
        *self.progress.lock() = Progress::Opening;
        let hooks = Arc::clone(self);
        let submitted = self.submit(OPEN, move || {
            hooks.run(OPEN, &hook);
            let mut progress = hooks.progress.lock();
            let due = std::mem::replace(&mut *progress, Progress::Opened);
            drop(progress);
            if let Progress::OpeningAndDue(_left) = due {
                hooks.run_close();
            }
        });
        if !submitted {
            *self.progress.lock() = Progress::Opened;
        }
    }

    /// The session has ended, and keeps its place until the hooks have returned:
    /// a client that comes and goes cannot have more of them run than there may
    /// be sessions.
    pub(crate) fn closed(self: &Arc<Self>, left: &Arc<SessionSlot>) {
        let mut progress = self.progress.lock();
        if !matches!(*progress, Progress::Opened) {
            *progress = Progress::OpeningAndDue(Arc::clone(left));
            return;
        }
        drop(progress);
        let (hooks, left) = (Arc::clone(self), Arc::clone(left));
        self.submit(CLOSE, move || {
            hooks.run_close();
            drop(left);
        });
    }

    fn run_close(&self) {
        if let Some(hook) = &self.wire.options.on_session_close {
            self.run(CLOSE, hook);
        }
    }

    fn run(&self, name: &'static str, hook: &SessionHook) {
        let session = &self.session;
        self.wire.run_hook(name, Some(session), || hook(session));
    }

    fn submit(&self, name: &'static str, job: impl FnOnce() + Send + 'static) -> bool {
        self.wire.submit_hook(name, Some(&self.session), job)
    }
}
