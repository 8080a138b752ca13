//! The dialling side: connects, opens its session, reads it on the thread that
//! asked for it, and begins again when it has ended.

use super::{
    Failure, Run,
    addr::Addr,
    dial::dial,
    handshake::Handshake,
    pending::NoHandshake,
    reports::About,
    secure,
    session::Session,
    shared::{Established, Shared},
};
use crate::{
    error::{Error, Operation},
    guard, sync,
    time::deadline,
    yamux::{self, Role},
};
use std::{net::TcpStream, sync::Arc, time::Instant};

#[derive(Clone, Debug)]
pub(super) struct Client {
    addr: Addr,
}

/// How a try, or the session that it led to, ended.
struct Ended {
    operation: Operation,
    /// The session, and since when it stood.
    session: Option<(Session, Instant)>,
    about: About,
    error: Option<Error>,
}

impl Ended {
    fn failed(operation: Operation, about: About, error: Error) -> Self {
        Self {
            operation,
            session: None,
            about,
            error: Some(error),
        }
    }
}

impl Client {
    pub(super) fn new(addr: Addr) -> Self {
        Self { addr }
    }

    /// Connects, opens a session and serves it until it ends.
    fn try_once(&self, wire: &Arc<Shared>, up: &mut dyn FnMut()) -> Ended {
        let dialled = dial(wire, &self.addr).map_err(|cause| Error::Dial {
            addr: self.addr.to_string(),
            cause: Arc::new(cause),
        });
        let stream = match dialled {
            Ok(stream) => stream,
            Err(error) => return Ended::failed(Operation::Dial, About::default(), error),
        };
        let mut about = About::connection(&stream);
        about.identification = wire.options.identification.clone();
        let established = match self.open_session(wire, stream, &about) {
            Ok(established) => established,
            Err(error) => return Ended::failed(Operation::Handshake, about, error),
        };
        let (session, since) = (established.session.clone(), sync::now());
        wire.forget_nudge();
        wire.tell_up(Some(&session));
        up();
        let (_, served) = wire.serve(established);
        Ended {
            operation: Operation::Session,
            about: About::from(&session),
            session: Some((session, since)),
            error: served.err(),
        }
    }

    pub(super) fn open_session(
        &self,
        wire: &Arc<Shared>,
        stream: TcpStream,
        about: &About,
    ) -> Result<Established, Error> {
        let deadline = deadline(wire.options.handshake_timeout);
        // One client has one handshake: there is a place for it.
        let pending = wire.begin_handshake(&stream, about);
        let pending = pending.map_err(|cause| match cause {
            NoHandshake::Io(cause) => secure::broken(cause),
            _ => Error::Closed,
        })?;
        wire.set_local_addr(about.local_addr);
        let halves = secure::dialled(stream, &self.addr, &wire.options, deadline)?;
        let handshake = Handshake::new(wire, halves, Role::Client, deadline);
        let mut handshake = handshake.map_err(secure::broken)?;
        let agreed = handshake.ask().map_err(secure::cause)?;
        wire.establish(handshake, agreed, &pending)
    }
}

impl Run for Client {
    fn thread_name(&self) -> &'static str {
        "session"
    }

    fn run(&self, wire: &Arc<Shared>, up: &mut dyn FnMut()) -> Result<(), Box<Failure>> {
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
                    about: ended.about,
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
fn outcome_of_close(wire: &Shared, ended: Ended, stood: bool) -> Result<(), Box<Failure>> {
    if ended.session.is_some()
        && let Some(error) = ended.error
    {
        wire.report(ended.operation, ended.about, error);
    }
    closed(stood)
}

fn closed(stood: bool) -> Result<(), Box<Failure>> {
    match stood {
        true => Ok(()),
        false => Err(Error::Closed.into()),
    }
}
