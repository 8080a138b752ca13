//! A stream that the other side opens, from its SYN to its handler: its token
//! is checked, its handler looked up, and the opener told.
//!
//! All of it happens on the handler's thread. Answering on the connection's
//! reader was tried, and was slower: it keeps the reader from reading.

use super::{
    chunk,
    frame::{self, Frame, Kind},
    handlers::{self, Handler},
    handshake::at_most,
    hello::CONFIRM_SESSION,
    messages::Messages,
    session::Session,
    shared::Shared,
    stream::Stream,
    threads::{self, Opening},
};
use crate::{
    error::{Error, Malformed, Operation, Refusal},
    time::deadline,
    yamux::{self, segment::Segment},
};

pub(super) struct Arrival {
    raw: yamux::Stream,
    decoder: frame::Decoder,
    /// The open frame with what came after it, which is the handler's, or what
    /// is wrong with it; `None` while it has not come whole.
    open: Option<Result<(Frame, Segment), Error>>,
}

impl Arrival {
    /// Takes what came along with the SYN. Does not wait.
    pub(super) fn new(raw: yamux::Stream) -> Self {
        raw.acknowledge();
        let mut arrival = Self {
            raw,
            decoder: frame::Decoder::default(),
            open: None,
        };
        if let Some(segment) = arrival.raw.try_read_segment() {
            arrival.take(segment);
        }
        arrival
    }

    fn take(&mut self, mut segment: Segment) {
        let mut input = segment.data();
        let found = self.decoder.next(&mut input);
        let used = segment.len() - input.len();
        segment.consume(used);
        self.open = match found {
            Ok(None) => None,
            Ok(Some(frame)) if frame.kind == Kind::Open => Some(Ok((frame, segment))),
            Ok(Some(_)) => Some(Err(malformed(Malformed::UnexpectedFrame))),
            Err(error) => Some(Err(malformed(error.into()))),
        };
    }

    pub(super) fn raw(&self) -> &yamux::Stream {
        &self.raw
    }

    fn name(&self) -> &str {
        match &self.open {
            Some(Ok((open, _))) => &open.command,
            _ => "",
        }
    }

    /// Refuses a stream for which there is no thread. Does not wait: neither
    /// for the open frame, if that has not come yet, nor for room.
    pub(super) fn refuse(self, wire: &Shared, session: &Session, reason: &str) {
        let refusal = Refusal::Other(format!("wirenet: {reason}"));
        let refused = answer(Kind::Error, self.name(), refusal.text());
        if self.raw.try_queue(&refused.encode()) {
            // Sends the refusal along.
            self.raw.end();
        } else {
            self.raw.reset();
        }
        report_refused(wire, session, self.name().into(), refusal);
    }

    /// Serves the stream from here to its close.
    pub(super) fn serve(mut self, wire: &Shared, session: &Session, opening: Opening) {
        let _serving = threads::serve(&self.raw);
        let (open, rest) = match self.wait_open(wire) {
            Ok(opened) => opened,
            Err(error) => {
                self.raw.reset();
                let operation = Operation::OpenStream(String::new());
                return wire.report(operation, Some(session), error);
            }
        };
        let name = open.command;
        let admitted = self.admit(wire, session, &name, &open.payload);
        if let Err(error) = self.tell_opener(wire, &name, &admitted) {
            self.raw.reset();
            let operation = Operation::OpenStream(name);
            return wire.report(operation, Some(session), error);
        }
        match admitted {
            Ok(Admitted::Relay(leg)) => leg.join((self.raw, rest)),
            Ok(Admitted::Handler(handler)) => {
                opening.answered();
                let recv = Messages::accepted(rest);
                let stream = Stream::new(self.raw, session.clone(), name, recv);
                handlers::run(wire, session, stream, &handler);
            }
            Err(refusal) => {
                // The stream is closed before its opener's peer hears of it.
                self.raw.end();
                report_refused(wire, session, name, refusal);
            }
        }
    }

    /// The open frame, and what came after it.
    fn wait_open(&mut self, wire: &Shared) -> Result<(Frame, Segment), Error> {
        let timeout = wire.options.handshake_timeout;
        let deadline = deadline(timeout);
        if self.open.is_none() {
            // The opener may be waiting to be acknowledged.
            self.raw.flush_queued();
        }
        loop {
            if let Some(open) = self.open.take() {
                return open;
            }
            let segment = self.raw.read_segment_by(deadline);
            let segment = segment.map_err(|error| match error {
                yamux::Error::TimedOut => Error::TimedOut {
                    what: "open frame",
                    timeout,
                },
                error => error.into(),
            })?;
            self.take(segment.ok_or_else(|| malformed(Malformed::EndedEarly))?);
        }
    }

    /// Finds out whether the opener may have the handler.
    fn admit(
        &self,
        wire: &Shared,
        session: &Session,
        name: &str,
        token: &[u8],
    ) -> Result<Admitted, Refusal> {
        let validated = if name == CONFIRM_SESSION {
            // To a validator it would look like a session.
            Err(Refusal::HandlerNotFound.to_string())
        } else {
            let validated = wire.options.validate(name, session.identification(), token);
            validated.map_err(|rejected| {
                let (denied, panicked) = rejected.split();
                if let Some(cause) = panicked {
                    wire.report(Operation::Hook("token_validator"), Some(session), cause);
                }
                denied.into_text()
            })
        };
        validated
            .map_err(|text| Refusal::from_text(&at_most(text, frame::MAX_PAYLOAD)))
            .and_then(|()| (wire.find)(wire, name))
    }

    /// Answers the opener.
    ///
    /// # Errors
    ///
    /// When there was no room for the answer in time: the stream has to be reset,
    /// because the opener would take what follows for the answer. Where nothing can
    /// follow, because the opener has left, the answer is not missed, and what it
    /// sent before may be complete.
    fn tell_opener(
        &self,
        wire: &Shared,
        name: &str,
        admitted: &Result<Admitted, Refusal>,
    ) -> Result<(), Error> {
        let answer = match admitted {
            Ok(_) => answer(Kind::Accept, name, ""),
            Err(refusal) => answer(Kind::Error, name, refusal.text()),
        };
        let timeout = wire.options.handshake_timeout;
        let sent = self.raw.send_all_by(&answer.encode(), deadline(timeout));
        match sent {
            Err(yamux::Error::TimedOut) => Err(Error::TimedOut {
                what: "room to answer the opening of a stream",
                timeout,
            }),
            // Any other error means that the stream has ended: nothing can follow.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// How the names of streams are looked up.
pub(super) type Find = fn(&Shared, &str) -> Result<Admitted, Refusal>;

/// What serves a stream that is let in.
pub(super) enum Admitted {
    Handler(Handler),
    /// On a hub: a stream of the session that owns the name.
    Relay(Box<dyn Leg>),
}

/// The far leg of a relay that is to be. A trait, so that only a hub links how
/// legs are joined. Dropped instead of joined, it breaks its stream off: an end in
/// order would tell the owner that the call had said all.
pub(super) trait Leg {
    /// Relays between the leg and the opener's stream, with what was read of that.
    fn join(self: Box<Self>, opener: (yamux::Stream, Segment));
}

/// A leg that the owner has accepted, with what has come along with its answer;
/// `None` once it is joined.
struct Accepted(Option<(yamux::Stream, Segment)>);

impl Leg for Accepted {
    fn join(mut self: Box<Self>, opener: (yamux::Stream, Segment)) {
        if let Some(leg) = self.0.take() {
            yamux::relay(opener, leg, chunk::FRAMING);
        }
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if let Some((raw, _)) = &self.0 {
            raw.abort(&chunk::CUT_SHORT);
        }
    }
}

/// Among the wire's own handlers.
pub(super) fn find_handler(wire: &Shared, name: &str) -> Result<Admitted, Refusal> {
    let handler = wire.handlers.get(name);
    handler
        .map(Admitted::Handler)
        .ok_or(Refusal::HandlerNotFound)
}

/// On a hub: among its own handlers first, so that no client can intercept calls to
/// the hub, and then among the clients.
pub(super) fn find_owner(wire: &Shared, name: &str) -> Result<Admitted, Refusal> {
    find_handler(wire, name).or_else(|not_found| {
        let owner = wire.owner_of(name).ok_or(not_found)?;
        let leg = open_leg(wire, owner, name)?;
        Ok(Admitted::Relay(Box::new(Accepted(Some(leg)))))
    })
}

/// Opens the stream at the session that owns the name, and waits for its
/// answer.
fn open_leg(
    wire: &Shared,
    owner: Option<Session>,
    name: &str,
) -> Result<(yamux::Stream, Segment), Refusal> {
    let owner = owner.ok_or(Refusal::SessionNotFound)?;
    let other = |text: &str| Refusal::Other(text.into());
    let may_wait = wire.pool.others_that_may_wait();
    let Some(_call) = may_wait.and_then(|others| owner.begin_call(others)) else {
        return Err(other("wirenet: too many calls wait for the stream's owner"));
    };
    match owner.open_leg(name) {
        Ok((raw, answer)) => Ok((raw, answer.into_rest())),
        Err(Error::Refused { refusal, .. }) => Err(refusal),
        Err(Error::TimedOut { .. }) => Err(other("wirenet: the stream's owner does not answer")),
        Err(Error::Connection(yamux::Error::ResetByPeer)) => {
            Err(other("wirenet: the stream's owner takes no more streams"))
        }
        Err(Error::Malformed { .. }) => {
            Err(other("wirenet: the stream's owner gave no valid answer"))
        }
        // Its session has ended, or is about to.
        Err(_) => Err(Refusal::SessionNotFound),
    }
}

fn malformed(cause: Malformed) -> Error {
    Error::malformed("opening of a stream", cause)
}

fn answer(kind: Kind, name: &str, text: &str) -> Frame {
    Frame {
        kind,
        command: name.into(),
        payload: text.into(),
    }
}

fn report_refused(wire: &Shared, session: &Session, name: String, refusal: Refusal) {
    session.connection().count_refused();
    let operation = Operation::OpenStream(name.clone());
    wire.report(operation, Some(session), Error::Refused { name, refusal });
}
