//! The path of a stream that the peer opens, from its SYN to its handler: check the
//! token, look up the handler, answer the caller.
//!
//! The connection's reader only takes the bytes that came with the SYN, and refuses a
//! stream for which there is no permit. All else happens on the handler's thread:
//! answering on the reader's was tried and was slower, because it cannot read meanwhile.

use crate::{
    error::{Error, Malformed, Operation, Printable, Refusal},
    time::deadline,
    user_code::caught,
    wire::{
        run::handshake::truncated,
        session::{
            chunk, forwarding,
            frame::{self, Frame, FrameKind},
            handshake_messages::CONFIRM_SESSION,
            receiving::IncomingMessages,
            session::Session,
            stream::Stream,
            wire_threads::{self, UnansweredOpening},
        },
        state::{
            admitted::{Admitted, OwnerLeg},
            any_error::cause_of,
            handlers::Handler,
            registry::NameOwner,
            wire_state::WireState,
        },
    },
    yamux::{self, segment::Segment},
};
use std::{mem, sync::Arc};

/// A stream that the peer has opened, before the caller is answered.
pub(crate) struct InboundStream {
    raw: yamux::Stream,
    decoder: frame::FrameDecoder,
    open: OpenFrame,
    /// What this side reports about a refusal, if that is more than the caller gets.
    detail: Option<Box<str>>,
}

/// The part of a stream's open frame that has been received.
enum OpenFrame {
    Incomplete,
    /// The whole frame, with the bytes after it, which are for the handler.
    Complete(Frame, Segment),
    Malformed(Error),
}

impl InboundStream {
    /// Takes the bytes that arrived together with the SYN. Does not wait.
    pub(crate) fn new(raw: yamux::Stream) -> Self {
        raw.acknowledge();
        let mut inbound = Self {
            raw,
            decoder: frame::FrameDecoder::default(),
            open: OpenFrame::Incomplete,
            detail: None,
        };
        if let Some(segment) = inbound.raw.try_read_segment() {
            inbound.take(segment);
        }
        inbound
    }

    /// Takes the next bytes of the open frame.
    fn take(&mut self, mut segment: Segment) {
        let mut input = segment.data();
        let found = self.decoder.next(&mut input);
        let used = segment.len() - input.len();
        segment.consume(used);
        self.open = match found {
            Ok(None) => OpenFrame::Incomplete,
            Ok(Some(frame)) if frame.kind == FrameKind::Open => OpenFrame::Complete(frame, segment),
            Ok(Some(_)) => OpenFrame::Malformed(malformed(Malformed::UnexpectedFrame)),
            Err(error) => OpenFrame::Malformed(malformed(error.into())),
        };
    }

    pub(crate) fn raw(&self) -> &yamux::Stream {
        &self.raw
    }

    /// Returns the stream's name; empty while the name is not known.
    fn name(&self) -> &str {
        match &self.open {
            OpenFrame::Complete(open, _) => &open.command,
            OpenFrame::Incomplete | OpenFrame::Malformed(_) => "",
        }
    }

    /// Refuses a stream for which there is no thread. Waits neither for the open frame,
    /// if it has not been received yet, nor for room to answer.
    pub(crate) fn refuse(self, wire: &Arc<WireState>, session: &Session, reason: &str) {
        let refusal = Refusal::Other(format!("wirenet: {reason}"));
        let refused = answer(FrameKind::Error, self.name(), refusal.text());
        if self.raw.try_queue(&refused.encode()) {
            // This sends the queued refusal, too.
            self.raw.end();
        } else {
            self.raw.reset();
        }
        let detail = format!("{reason}; see `Builder::handler_limit`");
        report_refused(wire, session, self.name().into(), refusal, Some(&detail));
    }

    /// Answers the caller, and serves the stream until it is closed.
    pub(crate) fn serve(
        mut self,
        wire: &Arc<WireState>,
        session: &Session,
        opening: UnansweredOpening,
    ) {
        let _current = wire_threads::set_current_stream(&self.raw);
        let (open, rest) = match self.wait_open(wire) {
            Ok(opened) => opened,
            Err(error) => {
                self.raw.reset();
                let operation = Operation::OpenStream(String::new());
                return wire.report_and_go_on(operation, Some(session), error);
            }
        };
        let name = open.command;
        let admitted = self.admit(wire, session, &name, &open.payload);
        if let Err(error) = self.answer_caller(wire, &name, &admitted) {
            self.raw.reset();
            let operation = Operation::OpenStream(name);
            return wire.report_and_go_on(operation, Some(session), error);
        }
        match admitted {
            Ok(Admitted::Relay(leg)) => {
                self.raw.set_name(name.into());
                leg.join((self.raw, rest));
            }
            Ok(Admitted::Handler(handler)) => {
                opening.answered(&name);
                let recv = IncomingMessages::accepted(rest);
                let stream = Stream::new(self.raw, session.clone(), name, recv);
                run_handler(wire, session, stream, &handler);
            }
            Err(refusal) => {
                // The stream is closed before the error handler is called.
                self.raw.end();
                report_refused(wire, session, name, refusal, self.detail.as_deref());
            }
        }
    }

    /// Waits for the open frame. Returns it with the bytes after it.
    fn wait_open(&mut self, wire: &WireState) -> Result<(Frame, Segment), Error> {
        let timeout = wire.options.handshake_timeout;
        let deadline = deadline(timeout);
        if let OpenFrame::Incomplete = self.open {
            // The caller may be waiting for the stream to be acknowledged.
            self.raw.flush_queued();
        }
        loop {
            match mem::replace(&mut self.open, OpenFrame::Incomplete) {
                OpenFrame::Complete(frame, rest) => return Ok((frame, rest)),
                OpenFrame::Malformed(error) => return Err(error),
                OpenFrame::Incomplete => {}
            }
            let segment = self.raw.read_segment_by(deadline);
            let segment = segment.map_err(|error| match error {
                yamux::Error::TimedOut(_) => Error::timed_out("open frame", timeout),
                error => error.into(),
            })?;
            self.take(segment.ok_or_else(|| malformed(Malformed::EndedEarly))?);
        }
    }

    /// Checks the caller's token, and looks up the handler or owner that serves the
    /// stream.
    fn admit(
        &mut self,
        wire: &Arc<WireState>,
        session: &Session,
        name: &str,
        token: &[u8],
    ) -> Result<Admitted, Refusal> {
        let validated = if name == CONFIRM_SESSION {
            // A validator would mistake this name for the opening of a session.
            Err(Refusal::HandlerNotFound.text().into())
        } else {
            let validated = wire.options.validate(name, session.identification(), token);
            validated.map_err(|rejected| {
                let (mut denied, panicked) = rejected.split();
                self.detail = denied.take_detail();
                if let Some(cause) = panicked {
                    wire.report_and_go_on(Operation::Hook("token_validator"), Some(session), cause);
                }
                denied.into_text()
            })
        };
        validated
            .map_err(|text| Refusal::from_text(&truncated(text, frame::MAX_PAYLOAD)))
            .and_then(|()| (wire.find)(wire, name))
    }

    /// Answers the caller.
    ///
    /// # Errors
    ///
    /// If there was no room for the answer in time. The stream must then be reset,
    /// because the caller would mistake the bytes that follow for the answer. A stream
    /// that has ended is not an error: nothing can follow, and what the caller sent
    /// before may be complete.
    fn answer_caller(
        &self,
        wire: &WireState,
        name: &str,
        admitted: &Result<Admitted, Refusal>,
    ) -> Result<(), Error> {
        let answer = match admitted {
            Ok(_) => answer(FrameKind::Accept, name, ""),
            Err(refusal) => answer(FrameKind::Error, name, refusal.text()),
        };
        let timeout = wire.options.handshake_timeout;
        let sent = self.raw.send_all_by(&answer.encode(), deadline(timeout));
        match sent {
            Err(yamux::Error::TimedOut(_)) => Err(Error::timed_out(
                "room to answer the opening of a stream",
                timeout,
            )),
            // Any other error means that the stream has ended: nothing can follow.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// A leg that the owner has accepted, with the bytes after its answer; `None` once it
/// is joined.
struct AcceptedLeg(Option<(yamux::Stream, Segment)>);

impl OwnerLeg for AcceptedLeg {
    fn join(mut self: Box<Self>, caller: (yamux::Stream, Segment)) {
        if let Some(leg) = self.0.take() {
            yamux::join_relay(caller, leg, forwarding::FRAMING);
        }
    }
}

impl Drop for AcceptedLeg {
    fn drop(&mut self) {
        if let Some((raw, _)) = &self.0 {
            raw.abort(&chunk::CUT_SHORT);
        }
    }
}

/// Looks up a name among the wire's own handlers.
pub(crate) fn find_handler(wire: &WireState, name: &str) -> Result<Admitted, Refusal> {
    let handler = wire.handlers.get(name);
    handler
        .map(Admitted::Handler)
        .ok_or(Refusal::HandlerNotFound)
}

/// Looks up a name on a hub: first among the hub's own handlers, so that no client
/// can intercept calls to the hub, then among the clients' names.
pub(crate) fn find_owner(wire: &WireState, name: &str) -> Result<Admitted, Refusal> {
    find_handler(wire, name).or_else(|not_found| {
        let owner = match wire.owner_of(name) {
            NameOwner::Session(owner) => owner,
            NameOwner::Opening => return Err(Refusal::SessionNotFound),
            NameOwner::Nobody => return Err(not_found),
        };
        let leg = open_leg(wire, &owner, name)?;
        Ok(Admitted::Relay(Box::new(AcceptedLeg(Some(leg)))))
    })
}

/// Opens a stream on the session that owns the name, and waits for the owner's answer.
/// Returns the stream, with the bytes after the answer.
fn open_leg(
    wire: &WireState,
    owner: &Session,
    name: &str,
) -> Result<(yamux::Stream, Segment), Refusal> {
    let other = |text: &str| Refusal::Other(text.into());
    let may_wait = wire.pool.others_that_may_wait();
    let Some(_call) = may_wait.and_then(|others| owner.begin_call(others)) else {
        return Err(other("wirenet: too many calls wait for the stream's owner"));
    };
    match owner.open_leg(name) {
        Ok((raw, answer)) => Ok((raw, answer.into_rest())),
        Err(Error::Refused { refusal, .. }) => Err(refusal),
        Err(Error::TimedOut { .. }) => Err(other("wirenet: the stream's owner does not answer")),
        Err(Error::Connection(yamux::Error::ResetByPeer(_))) => {
            Err(other("wirenet: the stream's owner takes no more streams"))
        }
        Err(Error::Malformed { .. }) => {
            Err(other("wirenet: the stream's owner gave no valid answer"))
        }
        // The session has ended, or is about to.
        Err(_) => Err(Refusal::SessionNotFound),
    }
}

fn malformed(cause: Malformed) -> Error {
    Error::malformed("opening of a stream", cause)
}

fn answer(kind: FrameKind, name: &str, text: &str) -> Frame {
    Frame {
        kind,
        command: name.into(),
        payload: text.into(),
    }
}

/// Reports that this side has refused a stream. `detail` replaces what the caller gets.
fn report_refused(
    wire: &Arc<WireState>,
    session: &Session,
    name: String,
    refusal: Refusal,
    detail: Option<&str>,
) {
    session.connection().count_refused();
    let operation = Operation::OpenStream(name.clone());
    let mut error = Error::Refused { name, refusal };
    if let Some(detail) = detail {
        error = error.explained(format!("refused: {}", Printable(detail)));
    }
    wire.report_and_go_on(operation, Some(session), error);
}

/// Runs a handler. `Ok` closes the stream gracefully; an error or a panic resets it.
fn run_handler(wire: &Arc<WireState>, session: &Session, mut stream: Stream, handler: &Handler) {
    stream.begin_handler();
    let outcome = caught(|| handler(&mut stream));
    let cause: Box<dyn std::error::Error + Send + Sync> = match outcome {
        Ok(Ok(())) => match stream.end_handler() {
            Ok(()) => return,
            Err(error) => error.into(),
        },
        Ok(Err(error)) => cause_of(error),
        Err(panicked) => panicked.into(),
    };
    stream.reset();
    let operation = Operation::Handler(stream.name().into());
    wire.report_and_go_on(operation, Some(session), cause);
}
