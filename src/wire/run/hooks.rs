//! The two hooks of a session, `on_session_open` and `on_session_close`. Each runs once,
//! on a pool thread, the second after the first has returned.

use crate::{
    sync::Mutex,
    wire::{
        session::session::Session,
        state::{
            options::{SessionEvents, SessionHook},
            wire_state::WireState,
        },
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
    OpeningAndDue(Arc<dyn Send + Sync>),
    /// The first hook has returned, or there is none.
    Opened,
}

impl Hooks {
    pub(crate) fn of(wire: &Arc<WireState>, session: &Session) -> Arc<dyn SessionEvents> {
        Arc::new(Self {
            wire: Arc::clone(wire),
            session: session.clone(),
            progress: Mutex::new(Progress::Opened),
        })
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

impl SessionEvents for Hooks {
    /// Runs the first hook.
    fn opened(self: Arc<Self>) {
        let Some(hook) = self.wire.options.on_session_open.clone() else {
            return;
        };
        *self.progress.lock() = Progress::Opening;
        let hooks = Arc::clone(&self);
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

    /// Runs the second hook. The session keeps its slot until the hooks have returned, so
    /// that a client that reconnects repeatedly cannot have more hooks running than there
    /// may be sessions.
    fn closed(self: Arc<Self>, slot: Arc<dyn Send + Sync>) {
        let mut progress = self.progress.lock();
        if !matches!(*progress, Progress::Opened) {
            *progress = Progress::OpeningAndDue(slot);
            return;
        }
        drop(progress);
        let hooks = Arc::clone(&self);
        self.submit(CLOSE, move || {
            hooks.run_close();
            drop(slot);
        });
    }
}
