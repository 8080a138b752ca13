//! The two hooks of a session, `on_session_open` and `on_session_close`. Each runs once,
//! on a pool thread, the second after the first has returned.

use crate::{
    sync::Mutex,
    wire::{
        session::session::Session,
        state::{options::SessionHook, session_opening::SessionSlot, wire_state::WireState},
    },
};
use std::sync::Arc;

const OPEN: &str = "on_session_open";
const CLOSE: &str = "on_session_close";

/// The hooks of one session.
pub(crate) struct Hooks {
    wire: Arc<WireState>,
    session: Session,
    /// If the session ends while the first hook runs, the thread of the first hook runs the
    /// second one. No thread waits.
    progress: Mutex<Progress>,
}

enum Progress {
    /// The first hook runs, or is about to.
    Opening,
    /// The first hook runs, or is about to, and the session has ended: the second
    /// hook is due afterwards. The session counts towards the limit until both have
    /// returned.
    OpeningAndDue(Arc<SessionSlot>),
    /// The first hook has returned, or there is none.
    Opened,
}

impl Hooks {
    /// Returns `None` if the wire has neither hook.
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

    /// Runs the first hook, when the session is established.
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
            if let Progress::OpeningAndDue(_slot) = due {
                hooks.run_close();
            }
        });
        if !submitted {
            *self.progress.lock() = Progress::Opened;
        }
    }

    /// Runs the second hook, when the session has ended. The session keeps its slot
    /// until the hooks have returned, so that a client that reconnects repeatedly
    /// cannot have more hooks running than there may be sessions.
    pub(crate) fn closed(self: &Arc<Self>, slot: &Arc<SessionSlot>) {
        let mut progress = self.progress.lock();
        if !matches!(*progress, Progress::Opened) {
            *progress = Progress::OpeningAndDue(Arc::clone(slot));
            return;
        }
        drop(progress);
        let (hooks, slot) = (Arc::clone(self), Arc::clone(slot));
        self.submit(CLOSE, move || {
            hooks.run_close();
            drop(slot);
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
