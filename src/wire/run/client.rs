//! A client: connects, opens a session, reads it on the current thread, and starts over
//! when the session has ended.

use crate::{
    error::{Error, Operation},
    sync,
    time::deadline,
    wire::{
        run::{
            Failure, Runner,
            addr::Addr,
            connect,
            dial::dial,
            handshake::{Handshake, is_departure},
            serving::Established,
        },
        session::session::Session,
        state::{
            error_context::ErrorContext, handshakes::NoHandshake, last_failure::Step,
            retry::History, takeovers::EndedSessions, wire_state::WireState,
        },
    },
    yamux::{self, Role},
};
use std::{net::TcpStream, sync::Arc, time::Duration};

/// Runs a wire that [`Wire::join`](crate::Wire::join) has set up.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    addr: Addr,
}

/// How an attempt to connect ended.
enum Attempt {
    /// No session was established.
    Failed(Box<Failure>),
    /// A session was established, and has ended.
    Served(Served),
}

/// A session that has ended.
struct Served {
    session: Session,
    lifetime: Duration,
    /// `None` if it ended gracefully.
    failure: Option<Box<Failure>>,
}

impl Served {
    /// Returns why the session ended.
    fn cause(&self) -> Error {
        if let Some(failure) = &self.failure {
            return failure.error.clone();
        }
        let ended = self.session.end_reason();
        ended.unwrap_or(yamux::Error::ClosedByPeer).into()
    }

    /// Counts the sessions in a row that the peer has ended soon after their start; any other
    /// session resets the count. If there are suspiciously many, that is an error, even if
    /// the connection was closed gracefully.
    fn note_end(&mut self, wire: &WireState, ended: &mut EndedSessions) {
        let error = self.cause();
        let is_short = self.lifetime < wire.options.retrying.min_lifetime();
        let identification = &wire.options.identification;
        // Without an identification, or names, nobody can take over a session.
        let may_be_replaced = !identification.is_empty() && !wire.handlers.names().is_empty();
        if !(is_departure(&error) && is_short && may_be_replaced) {
            *ended = EndedSessions::default();
            return;
        }
        ended.add(self.lifetime);
        if let Some(text) = ended.explain(identification) {
            self.failure = Some(Box::new(Failure {
                operation: Operation::Session,
                context: ErrorContext::from(&self.session),
                error: error.explained(text),
            }));
        }
    }
}

impl Attempt {
    fn failed(operation: Operation, context: ErrorContext, error: Error) -> Self {
        Self::Failed(Box::new(Failure {
            operation,
            context,
            error,
        }))
    }

    fn session(&self) -> Option<&Session> {
        match self {
            Self::Failed(_) => None,
            Self::Served(served) => Some(&served.session),
        }
    }

    fn into_failure(self) -> Option<Box<Failure>> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Served(served) => served.failure,
        }
    }

    /// Returns why the client must retry.
    fn cause(&self) -> Error {
        match self {
            Self::Failed(failure) => failure.error.clone(),
            Self::Served(served) => served.cause(),
        }
    }
}

impl Client {
    pub(crate) fn new(addr: Addr) -> Self {
        Self { addr }
    }

    /// Connects, opens a session and serves it until it ends.
    fn attempt(&self, wire: &Arc<WireState>, up: &mut dyn FnMut(Option<&Session>)) -> Attempt {
        wire.note_step(Step::Dial(self.addr.to_string()));
        let dialled = dial(wire, &self.addr).map_err(|cause| Error::Dial {
            addr: self.addr.to_string(),
            cause: Arc::new(cause),
        });
        let stream = match dialled {
            Ok(stream) => stream,
            Err(error) => return Attempt::failed(Operation::Dial, ErrorContext::default(), error),
        };
        wire.note_step(Step::Handshake(self.addr.to_string()));
        let mut context = ErrorContext::connection(&stream);
        context.identification = wire.options.identification.clone();
        let established = match self.open_session(wire, stream, &context) {
            Ok(established) => established,
            Err(error) => return Attempt::failed(Operation::Handshake, context, error),
        };
        let (session, since) = (established.session.clone(), sync::now());
        wire.client_is_up();
        up(Some(&session));
        let (_, served) = wire.serve(established);
        let failure = served.err().map(|error| {
            Box::new(Failure {
                operation: Operation::Session,
                context: ErrorContext::from(&session),
                error,
            })
        });
        Attempt::Served(Served {
            session,
            lifetime: sync::now().saturating_duration_since(since),
            failure,
        })
    }

    pub(crate) fn open_session(
        &self,
        wire: &Arc<WireState>,
        stream: TcpStream,
        context: &ErrorContext,
    ) -> Result<Established, Error> {
        let deadline = deadline(wire.options.handshake_timeout);
        let pending = wire.begin_only_handshake(&stream, context);
        let pending = pending.map_err(|cause| match cause {
            NoHandshake::Io(cause) => connect::io_error(cause),
            _ => Error::Closed,
        })?;
        wire.set_local_addr(context.local_addr);
        let halves = connect::dialled(stream, &self.addr, &wire.options, deadline)?;
        let handshake = Handshake::new(wire, halves, Role::Client, deadline);
        let mut handshake = handshake.map_err(connect::io_error)?;
        let agreed = handshake.ask();
        let agreed = agreed.map_err(|error| handshake.explain(connect::tls_error(error)))?;
        wire.establish(handshake, agreed, &pending)
    }

    /// Returns how long to wait before the next attempt, or `None` to give up.
    fn wait_before_retry(
        wire: &Arc<WireState>,
        failures: u32,
        history: History,
        ended: &Attempt,
    ) -> Option<Duration> {
        let wait = wire
            .options
            .retrying
            .wait(failures, history, &ended.cause());
        wait.unwrap_or_else(|panicked| {
            let operation = Operation::Hook("retry_policy");
            wire.report_and_go_on(operation, ended.session(), panicked.cause);
            panicked.wait
        })
    }
}

impl Client {
    /// Reports why the client has no session, and when it connects again. Without an
    /// error handler, a failure that repeats the one before is logged at `debug`.
    fn report_retry(
        &self,
        wire: &Arc<WireState>,
        failure: Option<Box<Failure>>,
        previous: Option<Error>,
        wait: Duration,
    ) {
        let Some(failure) = failure else {
            let text = || format!("connecting to {} again in {wait:.1?}", self.addr);
            return wire.log_later(log::Level::Debug, module_path!(), text);
        };
        let repeats =
            previous.is_some_and(|previous| previous.to_string() == failure.error.to_string());
        let mut error = failure.into_op_error();
        (error.repeats, error.retry_in) = (repeats, Some(wait));
        if wire.options.on_error.is_some() {
            return wire.call_error_handler(&error);
        }
        let level = match repeats {
            true => log::Level::Debug,
            false => log::Level::Warn,
        };
        wire.log_later(level, module_path!(), || error.to_string());
    }
}

impl Runner for Client {
    fn thread_name(&self) -> &'static str {
        "session"
    }

    fn run(
        &self,
        wire: &Arc<WireState>,
        up: &mut dyn FnMut(Option<&Session>),
    ) -> Result<(), Box<Failure>> {
        let (mut failures, mut history) = (0u32, History::NoSession);
        let mut ended_soon = EndedSessions::default();
        loop {
            let mut ended = self.attempt(wire, up);
            if let Attempt::Served(served) = &mut ended {
                served.note_end(wire, &mut ended_soon);
                history = History::HadSession;
                if served.lifetime >= wire.options.retrying.min_lifetime() {
                    failures = 0;
                }
            }
            let previous = wire.note_failure(ended.cause());
            if wire.is_closing() {
                if let Attempt::Served(served) = ended
                    && let Some(failure) = served.failure
                {
                    // A close ends a session gracefully, so this session was lost
                    // before the close, which does not report it. A failed attempt
                    // needs no report, because the close interrupted it.
                    failure.report_and_go_on(wire);
                }
                return closed(history);
            }
            failures = failures.saturating_add(1);
            let wait = Self::wait_before_retry(wire, failures, history, &ended);
            let failure = ended.into_failure();
            let Some(wait) = wait else {
                let text = || format!("not connecting to {} again", self.addr);
                wire.log_later(log::Level::Debug, module_path!(), text);
                return failure.map_or(Ok(()), Err);
            };
            self.report_retry(wire, failure, previous, wait);
            wire.pause(wait);
            if wire.is_closing() {
                return closed(history);
            }
        }
    }
}

/// Returns the result of a run that a close ended.
fn closed(history: History) -> Result<(), Box<Failure>> {
    match history {
        History::HadSession => Ok(()),
        History::NoSession => Err(Error::Closed.into()),
    }
}
