//! Calls into the program's code: the error handler, for errors that no call can
//! return, the logger, and hooks.
//!
//! A logger may block: standard error may be a pipe that nobody reads. No thread that
//! accepts, reads a session, runs a handler or dials calls the logger; a pool thread does.
//! There are three exceptions: an error that the error handler gets is logged at `debug` on
//! the same thread, and so are a panic of that handler, and socket options that the system
//! refuses (see [`best_effort`](crate::transport)), each once per process.

use crate::{
    error::{OpError, Operation},
    time::deadline,
    user_code::{self, caught},
    wire::{
        session::{session::Session, wire_threads},
        state::{
            deferred::{LogLine, Report},
            error_context::ErrorContext,
            wire_state::WireState,
        },
    },
};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long to wait for the logger before the program may exit.
const GRACE: Duration = Duration::from_secs(1);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why reports are missing, or late.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("{0} more reports were dropped: the error handler, or the logger, is too slow")]
    Dropped(u64),
    #[error("reports had to wait, because no thread could be started: {0}")]
    NoThread(#[source] io::Error),
}

impl WireState {
    /// Passes an error that no call can return to the error handler, or logs it, on this
    /// thread. Without an error handler, only the thread that logs may call this.
    fn report(&self, operation: Operation, context: ErrorContext, cause: Cause) {
        self.call_error_handler(&context.error(operation, cause));
    }

    /// Passes an error that no call can return to the error handler, on this thread. If
    /// there is none, a pool thread logs the error, because a logger that blocks must not
    /// stop what this thread does next.
    pub(crate) fn report_and_go_on(
        self: &Arc<Self>,
        operation: Operation,
        context: impl Into<ErrorContext>,
        cause: impl Into<Cause>,
    ) {
        self.report_or_defer(operation, context.into(), cause.into());
    }

    /// Not generic, so that it is compiled once and not for each kind of cause.
    fn report_or_defer(
        self: &Arc<Self>,
        operation: Operation,
        context: ErrorContext,
        cause: Cause,
    ) {
        match &self.options.on_error {
            Some(_) => self.report(operation, context, cause),
            None => self.report_later(operation, context, cause),
        }
    }

    /// Reports the last error of a wire: the program may exit next, so without an error
    /// handler this waits until the error is logged. If the logger blocks, waits at most for
    /// [`GRACE`].
    pub(crate) fn report_last(self: &Arc<Self>, error: OpError) {
        if self.options.on_error.is_some() {
            return self.call_error_handler(&error);
        }
        if is_logged(log::Level::Warn) {
            self.defer(Report::Error(error));
            self.wait_reported(deadline(GRACE));
        }
    }

    fn wait_reported(&self, deadline: Instant) {
        let mut deferred = self.deferred.lock();
        while deferred.has_thread() {
            if self
                .reported
                .wait_until(&mut deferred, deadline)
                .timed_out()
            {
                return;
            }
        }
    }

    pub(super) fn call_error_handler(&self, error: &OpError) {
        guarded(|| match &self.options.on_error {
            Some(handler) => {
                log::debug!("{error}");
                let on_error = Operation::Hook("on_error");
                let _current = wire_threads::set_current_operation(on_error);
                handler(error);
            }
            None => log::warn!("{error}"),
        });
    }

    /// Passes an error to the error handler, or logs it, on a pool thread. For errors
    /// that unauthenticated peers can cause, because the accept loop must not wait for
    /// the program's code. If no thread can be started, the errors wait for the next report.
    pub(crate) fn report_later(
        self: &Arc<Self>,
        operation: Operation,
        context: ErrorContext,
        cause: impl Into<Cause>,
    ) {
        if self.options.on_error.is_none() && !is_logged(log::Level::Warn) {
            return;
        }
        self.defer(Report::Error(context.error(operation, cause.into())));
    }

    /// Logs on a pool thread. `target` is the module that logs.
    pub(crate) fn log_later(
        self: &Arc<Self>,
        level: log::Level,
        target: &'static str,
        text: impl FnOnce() -> String,
    ) {
        if is_logged(level) {
            let text = text();
            self.defer(Report::Log(LogLine {
                level,
                target,
                text,
            }));
        }
    }

    /// Leaves a report to a pool thread. Calls none of the program's code.
    fn defer(self: &Arc<Self>, report: Report) {
        let mut deferred = self.deferred.lock();
        let rejected = deferred.push(report);
        let needs_thread = deferred.claim_thread();
        drop(deferred);
        drop(rejected);
        if !needs_thread {
            return;
        }
        let wire = Arc::clone(self);
        let job = self.threads.track(move || wire.report_deferred());
        if let Err(error) = self.pool.submit(job) {
            self.deferred.lock().no_thread(error);
            self.reported.notify_all();
        }
    }

    fn report_deferred(&self) {
        // A close that waits for a logger that blocks says so.
        let _current = wire_threads::set_current_operation(Operation::Report);
        loop {
            let report = self.deferred.lock().pop();
            let Some(report) = report else {
                self.reported.notify_all();
                return;
            };
            let missing = match report {
                Report::Error(error) => {
                    self.call_error_handler(&error);
                    continue;
                }
                Report::Log(line) => {
                    let LogLine { level, target, .. } = line;
                    user_code::log(|| log::log!(target: target, level, "{}", line.text));
                    continue;
                }
                Report::Dropped(count) => ReportError::Dropped(count),
                Report::NoThread(error) => ReportError::NoThread(error),
            };
            self.report(Operation::Report, ErrorContext::default(), missing.into());
        }
    }

    /// Runs `job`, which calls a hook, on a pool thread. If no thread can be
    /// started, reports the error and returns `false`.
    pub(crate) fn submit_hook(
        self: &Arc<Self>,
        name: &'static str,
        session: Option<&Session>,
        job: impl FnOnce() + Send + 'static,
    ) -> bool {
        let submitted = self.pool.submit(self.threads.track(job));
        let submitted = submitted.map_err(|error| {
            self.report_later(Operation::Hook(name), session.into(), error);
        });
        submitted.is_ok()
    }

    /// Runs a hook on this thread.
    pub(crate) fn run_hook(
        self: &Arc<Self>,
        name: &'static str,
        session: Option<&Session>,
        hook: impl FnOnce(),
    ) {
        let current = wire_threads::set_current_operation(Operation::Hook(name));
        let outcome = caught(hook);
        drop(current);
        if let Err(cause) = outcome {
            self.report_and_go_on(Operation::Hook(name), session, cause);
        }
    }
}

/// Returns whether the program's log level includes `level`. Does not ask the logger, which
/// is the program's code.
fn is_logged(level: log::Level) -> bool {
    level <= log::STATIC_MAX_LEVEL && level <= log::max_level()
}

/// Calls code that may panic because it runs the program's code: the error handler, or
/// the `Display` of an error that is logged.
fn guarded(tell: impl FnOnce()) {
    if caught(tell).is_err() {
        user_code::log(|| log::warn!("the error handler, or the `Display` of an error, panicked"));
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::wire::state::deferred::MAX_DEFERRED;
    use crate::wire::{
        run::inbound::find_handler,
        state::{handlers::Handlers, options::Options, registry::Registry},
    };
    use crossbeam_channel::{Receiver, unbounded};
    use std::fmt;

    /// Returns a wire whose pool cannot start a thread, and the errors that its handler
    /// gets.
    fn without_threads() -> (Arc<WireState>, Receiver<String>) {
        let (sender, reported) = unbounded();
        let options = Options {
            stack_size: Some(usize::MAX / 8),
            on_error: Some(Box::new(move |error| {
                sender.send(error.cause.to_string()).unwrap();
            })),
            ..Options::default()
        };
        let wire = WireState::new(
            options,
            Handlers::default(),
            Registry::of_server,
            find_handler,
            None,
        );
        (wire, reported)
    }

    #[test]
    fn errors_wait_if_no_thread_can_be_started() {
        let (wire, reported) = without_threads();
        for number in 0..2 * MAX_DEFERRED {
            let cause = number.to_string();
            wire.report_later(Operation::Accept, ErrorContext::default(), cause);
            assert!(reported.is_empty(), "not reported on this thread");
            // The next report tries again to start a thread.
            assert!(!wire.deferred.lock().has_thread());
        }
        // This is what a pool thread does.
        wire.report_deferred();
        let mut texts: Vec<String> = reported.try_iter().collect();
        assert!(texts.remove(0).contains("no thread could be started"));
        assert!(texts.pop().unwrap().starts_with("256 more"));
        let numbers = texts.iter().map(|text| text.parse::<usize>().unwrap());
        assert!(numbers.eq(0..MAX_DEFERRED));
    }

    /// An error whose `Display` panics.
    #[derive(Debug)]
    struct PanicsInDisplay;

    impl std::error::Error for PanicsInDisplay {}

    impl fmt::Display for PanicsInDisplay {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("in Display");
        }
    }

    /// Formats every record, and discards it.
    struct Formatting;

    impl log::Log for Formatting {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            let _ = record.args().to_string();
        }

        fn flush(&self) {}
    }

    #[test]
    fn an_error_whose_display_panics_can_be_logged() {
        log::set_logger(&Formatting).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
        let (wire, _reported) = without_threads();
        for _ in 0..=MAX_DEFERRED {
            wire.report_later(Operation::Accept, ErrorContext::default(), PanicsInDisplay);
        }
        log::set_max_level(log::LevelFilter::Off);
    }
}
