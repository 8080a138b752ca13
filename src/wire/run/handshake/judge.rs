//! How a server decides about a request for a session: it checks the request's form, the
//! token, each offered name, and then whether the id and the names are free.
//!
//! The larger functions are not inlined: a session's thread keeps as much stack as its
//! handshake needed.

use super::{Handshake, malformed, truncated};
use crate::{
    error::{Denied, Error, Malformed, Operation, RefusalCode},
    sync,
    wire::{
        session::{
            frame,
            handshake_messages::{CONFIRM_SESSION, Features, OpenSessionRequest},
            id::SessionId,
            session::{Agreed, Session},
        },
        state::{
            access::{Caller, Rejected, Request},
            registry::Conflict,
            session_opening::{Pending, RoomWait},
        },
    },
    yamux::{self, ReadOutcome},
};
use std::{net::SocketAddr, time::Duration};

/// Why a request is refused, and what its client is told.
pub(super) enum Refused {
    /// Retrying does not help.
    Permanently(Error),
    /// Retrying may help. A client that would give up after any answer gets no
    /// answer.
    ForNow(Error),
    /// The client no longer waits for an answer.
    Silently(Error),
}

impl Refused {
    /// Creates a refusal by the program's code. `code` applies to a permanent one.
    fn denied(code: RefusalCode, denied: &Denied, text: String) -> Self {
        match denied.is_for_now() {
            true => Self::ForNow(refused(RefusalCode::TryLater, text)),
            false => Self::Permanently(refused(code, text)),
        }
    }

    /// Creates the refusal for a connection that failed.
    fn disconnected(error: yamux::Error) -> Self {
        Self::Silently(error.into())
    }
}

impl Handshake<'_> {
    #[inline(never)]
    pub(super) fn judge(
        &mut self,
        request: OpenSessionRequest,
        pending: &Pending,
    ) -> Result<Agreed, Refused> {
        let id = check(&request).map_err(Refused::Permanently)?;
        self.check_token(&request, pending)?;
        if self.wire.options.access.is_some() {
            self.check_names(&request, pending)?;
        }
        self.check_still_wanted(pending)?;
        let identification = &request.identification;
        let names = &request.local_stream_names;
        let replaced = match self.wire.reserve(id, identification, names) {
            Ok(replaced) => replaced,
            Err(conflict) => self.resolve(conflict, id, &request, pending)?,
        };
        for old in &replaced {
            taken_over(old, id, pending);
        }
        Ok(Agreed {
            id,
            identification: request.identification,
            stream_names: request.local_stream_names,
            features: Features::from_bits(request.features),
        })
    }

    /// Asks the validator about the client's token.
    #[inline(never)]
    fn check_token(
        &mut self,
        request: &OpenSessionRequest,
        pending: &Pending,
    ) -> Result<(), Refused> {
        let options = &self.wire.options;
        let validated = options.validate(CONFIRM_SESSION, &request.identification, &request.token);
        validated.map_err(|rejected| {
            let denied = self.denied(pending, "token_validator", rejected);
            Refused::denied(RefusalCode::TokenRefused, &denied, denied.text().into())
        })
    }

    /// Asks the `access` closure about each name that the client offers.
    fn check_names(
        &mut self,
        request: &OpenSessionRequest,
        pending: &Pending,
    ) -> Result<(), Refused> {
        let options = &self.wire.options;
        let who = Caller {
            identification: request.identification.clone(),
            addr: pending.context().peer_addr,
        };
        for name in &request.local_stream_names {
            self.check_still_wanted(pending)?;
            let permitted = options.permit(&Request::Offer { who: &who, name });
            permitted.map_err(|rejected| {
                let denied = self.denied(pending, "access", rejected);
                let text = denied.text();
                let text = format!("wirenet: the stream name {name:?} may not be offered: {text}");
                Refused::denied(RefusalCode::NameNotAllowed, &denied, text)
            })?;
        }
        Ok(())
    }

    /// Checks that the session may still be opened, because the program's code may have run
    /// for any length of time.
    fn check_still_wanted(&self, pending: &Pending) -> Result<(), Refused> {
        if self.wire.is_closing() {
            let text = "wirenet: closing".into();
            return Err(Refused::ForNow(refused(RefusalCode::Closing, text)));
        }
        // The client may have reconnected in the meantime. Its new session must not
        // lose its names to this one, which will not be established.
        if sync::now() >= self.deadline {
            return Err(Refused::Silently(self.timed_out()));
        }
        if pending.was_evicted() {
            return Err(Refused::Silently(Error::Closed));
        }
        Ok(())
    }

    /// Reserves the id and the names once the conflict is gone. A client that retries is
    /// refused immediately; a client that would give up permanently may wait.
    #[cold]
    #[inline(never)]
    fn resolve(
        &mut self,
        mut conflict: Conflict,
        id: SessionId,
        request: &OpenSessionRequest,
        pending: &Pending,
    ) -> Result<Vec<Session>, Refused> {
        let (wire, identification) = (self.wire, &request.identification);
        loop {
            if !conflict.may_pass() {
                return Err(Refused::Permanently(conflicting(conflict)));
            }
            if Features::from_bits(request.features).knows_codes() {
                if !wire.check_owner(&conflict, identification) {
                    return Err(Refused::ForNow(conflicting(conflict)));
                }
            } else if wire.wait_for_room(&RoomWait {
                conflict: &conflict,
                identification,
                pending,
                deadline: self.deadline,
            }) {
                // The client may have left while it waited, and must then not take the
                // names of others.
                while sync::now() < self.deadline
                    && self
                        .reader
                        .turn(Duration::ZERO)
                        .map_err(Refused::disconnected)?
                        == ReadOutcome::More
                {}
            } else {
                if sync::now() < self.deadline {
                    self.check_still_wanted(pending)?;
                }
                return Err(Refused::ForNow(conflicting(conflict)));
            }
            self.check_still_wanted(pending)?;
            match wire.reserve(id, identification, &request.local_stream_names) {
                Ok(replaced) => return Ok(replaced),
                Err(other) => conflict = other,
            }
        }
    }

    /// Returns the refusal of the program's code. If the code panicked, reports that.
    #[cold]
    #[inline(never)]
    fn denied(&mut self, pending: &Pending, hook: &'static str, rejected: Rejected) -> Denied {
        let (mut denied, panicked) = rejected.split();
        if let Some(cause) = panicked {
            let mut context = pending.context();
            context.identification = self.client_identification.clone();
            let operation = Operation::Hook(hook);
            pending.wire().report_later(operation, context, cause);
        }
        self.detail = denied.take_detail();
        denied
    }
}

/// Sessions with one identification replace each other again and again.
#[derive(Debug, thiserror::Error)]
#[error(
    "took over the session of the client at {}; sessions with this identification are taken over \
     again and again: do two clients use it? Give each its own",
    loser.map_or("an unknown address".into(), |addr| addr.to_string())
)]
struct Contested {
    loser: Option<SocketAddr>,
}

/// Reports that the session `old` has lost its names to the session `new`. Both present the
/// same identification.
#[cold]
#[inline(never)]
fn taken_over(old: &Session, new: SessionId, pending: &Pending) {
    let wire = pending.wire();
    let id = old.id();
    let text = || format!("session {id} is replaced by {new}, which has its identification");
    wire.log_later(log::Level::Debug, module_path!(), text);
    let mut context = pending.context();
    let (loser, winner) = (old.peer_addr(), context.peer_addr);
    let [loser_ip, winner_ip] = [loser, winner].map(|addr| addr.map(|addr| addr.ip()));
    let identification = old.identification();
    let mut takeovers = wire.takeovers.lock();
    let is_contested = takeovers.note(identification, loser_ip, winner_ip, sync::now());
    drop(takeovers);
    if is_contested {
        context.identification = identification.into();
        wire.report_later(Operation::Handshake, context, Contested { loser });
    }
}

/// Checks the form of a request, and returns the id of the session.
#[inline(never)]
fn check(request: &OpenSessionRequest) -> Result<SessionId, Error> {
    let id = SessionId::from_bytes(&request.sid);
    let id = id.ok_or_else(|| malformed(Malformed::SessionId))?;
    for (what, bytes) in [
        ("a token", &request.token),
        ("an identification", &request.identification),
    ] {
        if bytes.len() > frame::MAX_PAYLOAD {
            let len = bytes.len();
            return Err(malformed(Malformed::TooLong { what, len }));
        }
    }
    let names = &request.local_stream_names;
    if names.iter().any(|name| name == CONFIRM_SESSION) {
        return Err(malformed(Malformed::ReservedName));
    }
    if let Some(name) = names.iter().find(|name| frame::check_name(name).is_err()) {
        let len = name.len();
        let what = "a stream's name";
        return Err(malformed(Malformed::TooLong { what, len }));
    }
    Ok(id)
}

/// Returns the error for a refused session, with the text that the client gets. The
/// text must not be empty: an empty text would mean that the session is accepted.
fn refused(code: RefusalCode, text: String) -> Error {
    let text = match text.is_empty() {
        true => "wirenet: session refused".into(),
        false => truncated(text, frame::MAX_PAYLOAD),
    };
    Error::SessionRefused {
        code: Some(code),
        text,
        addr: None,
    }
}

/// Returns the error for a session that conflicts with another one.
fn conflicting(conflict: Conflict) -> Error {
    let (code, text) = match conflict {
        Conflict::Id => return malformed(Malformed::SessionId),
        Conflict::Name(name) => (
            RefusalCode::NameTaken,
            format!(
                "wirenet: the stream name {name:?} belongs to another session; offer another \
                 name, or, if this is the same client, present that session's identification"
            ),
        ),
        Conflict::Own(name) => (
            RefusalCode::NameTaken,
            format!("wirenet: the stream name {name:?} is the hub's own; offer another name"),
        ),
        Conflict::Full => (
            RefusalCode::TooManySessions,
            "wirenet: too many sessions".into(),
        ),
    };
    refused(code, text)
}
