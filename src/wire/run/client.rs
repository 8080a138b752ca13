//! The dialling side: connects, opens its session, reads it on the thread that
//! asked for it, and begins again when it has ended.

use crate::{
    error::{Error, Operation},
    guard, sync,
    time::deadline,
    wire::{
        run::{
            Failure, Run, addr::Addr, connect, dial::dial, handshake::Handshake,
            serving::Established,
        },
        session::session::Session,
        state::{error_context::ErrorContext, handshakes::NoHandshake, wire_state::WireState},
    },
    yamux::{self, Role},
};
use std::{net::TcpStream, sync::Arc, time::Instant};

#[derive(Clone, Debug)]
pub(crate) struct Client {
    addr: Addr,
}

/// How a try, or the session that it led to, ended.
struct Ended {
    operation: Operation,
    /// The session, and since when it stood.
    session: Option<(Session, Instant)>,
    context: ErrorContext,
    error: Option<Error>,
}

impl Ended {
    fn failed(operation: Operation, context: ErrorContext, error: Error) -> Self {
        Self {
            operation,
            session: None,
            context,
            error: Some(error),
        }
    }
}

impl Client {
    pub(crate) fn new(addr: Addr) -> Self {
        Self { addr }
    }

    /// Connects, opens a session and serves it until it ends.
    fn try_once(&self, wire: &Arc<WireState>, up: &mut dyn FnMut(Option<&Session>)) -> Ended {
        let dialled = dial(wire, &self.addr).map_err(|cause| Error::Dial {
            addr: self.addr.to_string(),
            cause: Arc::new(cause),
        });
        let stream = match dialled {
            Ok(stream) => stream,
            Err(error) => return Ended::failed(Operation::Dial, ErrorContext::default(), error),
        };
        let mut context = ErrorContext::connection(&stream);
        context.identification = wire.options.identification.clone();
        let established = match self.open_session(wire, stream, &context) {
            Ok(established) => established,
            Err(error) => return Ended::failed(Operation::Handshake, context, error),
        };
        let (session, since) = (established.session.clone(), sync::now());
        wire.forget_nudge();
        up(Some(&session));
        let (_, served) = wire.serve(established);
        Ended {
            operation: Operation::Session,
            context: ErrorContext::from(&session),
            session: Some((session, since)),
            error: served.err(),
        }
    }

    pub(crate) fn open_session(
        &self,
        wire: &Arc<WireState>,
        stream: TcpStream,
        context: &ErrorContext,
    ) -> Result<Established, Error> {
        let deadline = deadline(wire.options.handshake_timeout);
        // One client has one handshake: there is a place for it.
        let pending = wire.begin_handshake(&stream, context);
        let pending = pending.map_err(|cause| match cause {
            NoHandshake::Io(cause) => connect::broken(cause),
            _ => Error::Closed,
        })?;
        wire.set_local_addr(context.local_addr);
        let halves = connect::dialled(stream, &self.addr, &wire.options, deadline)?;
        let handshake = Handshake::new(wire, halves, Role::Client, deadline);
        let mut handshake = handshake.map_err(connect::broken)?;
        let agreed = handshake.ask().map_err(connect::cause)?;
        wire.establish(handshake, agreed, &pending)
    }
}

impl Run for Client {
    fn thread_name(&self) -> &'static str {
        "session"
    }

    fn run(
        &self,
        wire: &Arc<WireState>,
        up: &mut dyn FnMut(Option<&Session>),
    ) -> Result<(), Box<Failure>> {
        let retrying = &wire.options.retrying;
        let (mut failures, mut stood) = (0u32, false);
        loop {
            let ended = self.try_once(wire, up);
            stood |= ended.session.is_some();
            if wire.is_closed() {
                return outcome_of_close(wire, ended, stood);
            }
            let lived = ended
                .session
                .as_ref()
                .map(|(_, since)| sync::now().saturating_duration_since(*since));
            if lived.is_some_and(|lived| lived >= retrying.lived()) {
                failures = 0;
            }
            failures = failures.saturating_add(1);
            let in_order = ended
                .session
                .as_ref()
                .and_then(|(session, _)| session.end_reason());
            let in_order = in_order.unwrap_or(yamux::Error::ClosedByPeer).into();
            let cause = ended.error.as_ref().unwrap_or(&in_order);
            let wait = retrying.wait(failures, stood, cause);
            let wait = wait.unwrap_or_else(|broken| {
                let session = ended.session.as_ref().map(|(session, _)| session);
                let operation = Operation::Hook("retry_policy");
                wire.report(operation, session, broken.cause);
                broken.wait
            });
            let failure = ended.error.map(|error| {
                Box::new(Failure {
                    operation: ended.operation,
                    context: ended.context,
                    error,
                })
            });
            let Some(wait) = wait else {
                return failure.map_or(Ok(()), Err);
            };
            if let Some(failure) = failure {
                failure.report(wire);
            }
            guard::log(|| log::debug!("trying {} again in {wait:?}", self.addr));
            wire.pause(wait);
            if wire.is_closed() {
                return closed(stood);
            }
        }
    }
}

/// What a close interrupts fails somehow, but for a session, which it ends in order: one
/// that has failed was lost meanwhile, and the close does not tell of that.
fn outcome_of_close(wire: &WireState, ended: Ended, stood: bool) -> Result<(), Box<Failure>> {
    if ended.session.is_some()
        && let Some(error) = ended.error
    {
        wire.report(ended.operation, ended.context, error);
    }
    closed(stood)
}

fn closed(stood: bool) -> Result<(), Box<Failure>> {
    match stood {
        true => Ok(()),
        false => Err(Error::Closed.into()),
    }
}
