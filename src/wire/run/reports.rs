//! Calls into the user's code: the error handler, for errors that no call can
//! return, and hooks.

use crate::{
    error::{OpError, Operation},
    user_code::{self, caught},
    wire::{
        session::session::Session,
        state::{error_context::ErrorContext, wire_state::WireState},
    },
};
use std::sync::Arc;

impl WireState {
    /// Passes an error that no call can return to the error handler.
    pub(crate) fn report(
        &self,
        operation: Operation,
        context: impl Into<ErrorContext>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) {
        self.call_error_handler(&context.into().error(operation, cause.into()));
    }

    fn call_error_handler(&self, error: &OpError) {
        guarded(|| match &self.options.on_error {
            Some(handler) => {
                log::debug!("{error}");
                handler(error);
            }
            None => log::warn!("{error}"),
        });
    }

    /// Passes an error to the error handler on a pool thread. For errors that
    /// unauthenticated peers can cause, because the accept loop must not wait for the
    /// user's code. If no thread can be started, the errors wait for the next report.
    pub(crate) fn report_later(
        self: &Arc<Self>,
        operation: Operation,
        context: ErrorContext,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) {
        let error = context.error(operation, cause.into());
        let mut deferred = self.deferred.lock();
        let rejected = deferred.push(error);
        let needs_thread = deferred.claim_thread();
        drop(deferred);
        if let Some(error) = rejected {
            guarded(|| log::warn!("{error} (not reported: the error handler is too slow)"));
        }
        if !needs_thread {
            return;
        }
        let wire = Arc::clone(self);
        let job = self.threads.track(move || wire.report_deferred());
        if let Err(error) = self.pool.submit(job) {
            self.deferred.lock().release_thread();
            user_code::log(|| {
                log::warn!(
                    "errors wait because no thread could be started to report them: {error}"
                );
            });
        }
    }

    fn report_deferred(&self) {
        loop {
            let error = self.deferred.lock().pop();
            let Some(error) = error else {
                return;
            };
            self.call_error_handler(&error);
        }
    }

    /// Runs `job`, which calls a hook, on a pool thread. If no thread can be
    /// started, reports the error and returns `false`.
    pub(crate) fn submit_hook(
        &self,
        name: &'static str,
        session: Option<&Session>,
        job: impl FnOnce() + Send + 'static,
    ) -> bool {
        let submitted = self.pool.submit(self.threads.track(job));
        let submitted = submitted.map_err(|error| {
            self.report(Operation::Hook(name), session, error);
        });
        submitted.is_ok()
    }

    /// Runs a hook on this thread.
    pub(crate) fn run_hook(
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

/// Calls code that may panic because it runs the user's code: the error handler, or
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
        state::{handlers::Handlers, options::Options, registry::Names},
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
        let wire = WireState::new(options, Handlers::default(), Names::Shared, find_handler);
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
        let numbers: Vec<usize> = reported
            .try_iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert!(numbers.into_iter().eq(0..MAX_DEFERRED));
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
