//! Whether a wire runs, is being closed, or is closed, and the threads that wait
//! for a change.

use super::{
    last_failure::LastFailure,
    wire_state::{WireData, WireState},
};
use crate::{
    error::{Error, ShutdownError},
    sync::MutexGuard,
    time::deadline,
    wire::session::session::Session,
};
use std::{
    net::Shutdown,
    sync::Arc,
    time::{Duration, Instant},
};

/// The life of a wire:
///
/// ```text
///         begin                     stop                 the last close ends
///  idle ────────▶ running ──┬────────────────▶ closing ─────────────────────▶ closed
///   │ ▲              │      │                     ▲
///   │ └──────────────┘      │                     │
///   │  `RunGuard` dropped:  │                     │
///   │  could not listen,    │                     │
///   │  or gave up           │                     │
///   └───────────────────────┴─────────────────────┘
/// ```
///
/// `is_running` is separate, because a wire keeps running while it is being closed, until
/// its threads have noticed. A close of a closed wire makes it closing again until that
/// close ends; nothing else leads back.
pub(crate) struct Lifecycle {
    /// Whether a thread runs the wire, in `Wire::connect` or started by
    /// `Wire::start`.
    is_running: bool,
    /// The deadline of the close. Set by the first close; from then on the wire
    /// accepts no new sessions and streams.
    close_deadline: Option<Instant>,
    /// The number of calls of close that have not returned.
    closers: usize,
    /// The combined result of all calls of close that have returned.
    outcome: Result<(), ShutdownError>,
    /// Why the last run ended, if a failure ended it: a client has given up, for example.
    failure: Option<Error>,
    /// Whether the next wait of a client before it dials again ends immediately.
    is_nudged: bool,
    /// Wakes the thread that waits outside of any session: in accept, or in a dial.
    interrupt: Option<Box<dyn Fn() + Send>>,
}

impl Lifecycle {
    pub(super) fn new() -> Self {
        Self {
            is_running: false,
            close_deadline: None,
            closers: 0,
            outcome: Ok(()),
            failure: None,
            is_nudged: false,
            interrupt: None,
        }
    }

    /// Returns whether a close has begun.
    pub(super) fn is_closing(&self) -> bool {
        self.close_deadline.is_some()
    }

    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Returns the failure that ended the last run, if one did.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failure.clone()
    }
}

impl WireState {
    /// Marks the wire as running until the returned guard is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the wire is closed, and [`Error::AlreadyConnected`] if
    /// it already runs.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<RunGuard, Error> {
        let mut data = self.data.lock();
        if data.life.is_closing() {
            return Err(Error::Closed);
        }
        if std::mem::replace(&mut data.life.is_running, true) {
            return Err(Error::AlreadyConnected);
        }
        data.last_failure = LastFailure::Nothing;
        data.life.failure = None;
        Ok(RunGuard {
            wire: Arc::clone(self),
        })
    }

    /// Returns whether a close has begun.
    pub(crate) fn is_closing(&self) -> bool {
        self.data.lock().life.is_closing()
    }

    /// Waits for the calls of close that are in progress, and returns their combined
    /// result.
    pub(crate) fn wait_closed(&self) -> Result<(), ShutdownError> {
        // A close must not wait for this thread.
        let _excluded = self.threads.exclude_current();
        let mut data = self.data.lock();
        self.wait_closers(&mut data);
        data.life.outcome.clone()
    }

    /// Waits until the wire no longer runs and no close is in progress. Returns the failure
    /// that ended the run, or else the combined result of the closes. A thread of the wire
    /// itself, in the program's code, waits for closes alone, because it keeps the wire running.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        let excluded = self.threads.exclude_current();
        let mut data = self.data.lock();
        while data.life.is_running && !(excluded.is_own() && data.life.is_closing()) {
            self.changed.wait(&mut data);
        }
        self.wait_closers(&mut data);
        match &data.life.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(data.life.outcome.clone()?),
        }
    }

    fn wait_closers(&self, data: &mut MutexGuard<'_, WireData>) {
        while data.life.closers > 0 {
            self.changed.wait(data);
        }
    }

    /// Notes that a close is in progress until the returned guard is dropped.
    pub(crate) fn begin_close(&self) -> Closing<'_> {
        self.data.lock().life.closers += 1;
        Closing { wire: self }
    }

    /// Refuses new sessions, ends the handshakes in progress, and wakes the thread that
    /// waits outside of a session. Returns the sessions to close, and the deadline,
    /// which is the same for every close.
    pub(crate) fn stop(&self) -> (Vec<Session>, Instant) {
        let mut data = self.data.lock();
        let timeout = self.options.session_close_timeout;
        let close_deadline = data.life.close_deadline;
        let close_deadline = close_deadline.unwrap_or_else(|| deadline(timeout));
        data.life.close_deadline = Some(close_deadline);
        let interrupt = data.life.interrupt.take();
        let sessions = data.registry.established().cloned().collect();
        let handshakes = data.handshakes.take_all();
        drop(data);
        for stream in &handshakes {
            // Fails if the peer has already closed the connection.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
        if let Some(interrupt) = interrupt {
            interrupt();
        }
        (sessions, close_deadline)
    }

    /// Sets how to wake the thread that waits outside of any session. Wakes the thread
    /// immediately if the wire is already closed.
    pub(crate) fn set_interrupt(&self, interrupt: impl Fn() + Send + 'static) {
        let mut data = self.data.lock();
        if data.life.is_closing() {
            drop(data);
            interrupt();
        } else {
            data.life.interrupt = Some(Box::new(interrupt));
        }
    }

    /// Waits for `time`, until the wire is closed, or until [`nudge`](Self::nudge).
    pub(crate) fn pause(&self, time: Duration) {
        let deadline = deadline(time);
        let mut data = self.data.lock();
        while !data.life.is_closing() && !std::mem::take(&mut data.life.is_nudged) {
            if self.changed.wait_until(&mut data, deadline).timed_out() {
                return;
            }
        }
    }

    /// Ends the current wait before the next attempt to dial, or else the next
    /// wait.
    pub(crate) fn nudge(&self) {
        self.data.lock().life.is_nudged = true;
        self.changed.notify_all();
    }

    /// Notes that a client has established a session: forgets a [`nudge`](Self::nudge).
    pub(crate) fn client_is_up(&self) {
        self.data.lock().life.is_nudged = false;
    }
}

/// The wire runs while this exists. Afterwards it may run again.
pub(crate) struct RunGuard {
    pub(crate) wire: Arc<WireState>,
}

impl RunGuard {
    /// Ends the run because of a failure, which [`WireState::wait`] returns.
    pub(crate) fn fail(self, error: &Error) {
        // A close before the first session is how the program wanted the run to end.
        if !matches!(error, Error::Closed) {
            self.wire.data.lock().life.failure = Some(error.clone());
        }
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let mut data = self.wire.data.lock();
        data.life.is_running = false;
        let interrupt = data.life.interrupt.take();
        drop(data);
        drop(interrupt);
        self.wire.changed.notify_all();
    }
}

/// A close is in progress while this exists.
#[must_use]
pub(crate) struct Closing<'a> {
    wire: &'a WireState,
}

impl Closing<'_> {
    /// Adds the result of this close. Several threads may close the wire at the same
    /// time, and each sees a part of what was cut.
    pub(crate) fn end(self, outcome: &Result<(), ShutdownError>) {
        let Err(error) = outcome else {
            return;
        };
        let mut data = self.wire.data.lock();
        match &mut data.life.outcome {
            Ok(()) => data.life.outcome = Err(error.clone()),
            Err(known) => known.add(error),
        }
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.wire.data.lock().life.closers -= 1;
        self.wire.changed.notify_all();
    }
}
