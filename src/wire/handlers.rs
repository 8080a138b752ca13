//! The handlers by name, and what happens to a stream that the peer opens:
//! its token is checked, its handler looked up and run.

use super::{
    frame::{self, Frame, Kind},
    handshake::at_most,
    hello::CONFIRM_SESSION,
    messages::Messages,
    session::{Session, check_name},
    shared::Shared,
    stream::Stream,
};
use crate::{
    error::{Error, Malformed, Operation, Panicked, Refusal},
    time::deadline,
    yamux::{self, segment::Segment},
};
use parking_lot::RwLock;
use std::{
    collections::BTreeMap,
    io,
    net::Shutdown,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// What serves a named stream.
pub(super) type Handler = Arc<dyn Fn(&mut Stream) -> io::Result<()> + Send + Sync>;

/// Handlers that a wire can have.
pub(super) const MAX_HANDLERS: usize = 1024;

/// Bytes of all their names together: they go over the wire in one frame, which
/// has to fit the first window of its stream.
const MAX_NAMES: usize = 128 * 1024;

/// In the order of their names, so that what is said of them is the same each
/// time.
#[derive(Default)]
pub(super) struct Handlers {
    by_name: RwLock<BTreeMap<String, Handler>>,
}

impl Handlers {
    pub(super) fn insert(&self, name: String, handler: Handler) -> Result<(), Error> {
        let wrong = |reason| Error::Option {
            option: "stream",
            reason,
        };
        check_name(&name).map_err(wrong)?;
        if name == CONFIRM_SESSION {
            return Err(wrong(format!("the name {name:?} belongs to the protocol")));
        }
        let mut by_name = self.by_name.write();
        if !by_name.contains_key(&name) {
            let names: usize = by_name.keys().map(String::len).sum();
            if by_name.len() >= MAX_HANDLERS || names + name.len() > MAX_NAMES {
                let limit = format!(
                    "more than {MAX_HANDLERS} handlers, or {MAX_NAMES} bytes of their names"
                );
                return Err(wrong(limit));
            }
        }
        let replaced = by_name.insert(name, handler);
        drop(by_name);
        // The user's code may do anything when it is dropped.
        drop(replaced);
        Ok(())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.by_name.read().keys().cloned().collect()
    }

    fn get(&self, name: &str) -> Option<Handler> {
        self.by_name.read().get(name).cloned()
    }
}

/// Serves a stream that the peer has opened, from its open frame to its close.
/// Runs on a thread of the pool.
pub(super) fn serve(wire: &Shared, session: &Session, raw: yamux::Stream) {
    raw.acknowledge();
    let (open, rest) = match read_open(wire, &raw) {
        Ok(opened) => opened,
        Err(error) => {
            raw.reset();
            let operation = Operation::OpenStream(String::new());
            return wire.report(operation, Some(session), error);
        }
    };
    let name = open.command;
    match admit(wire, session, &name, &open.payload) {
        Ok(handler) => {
            let accept = answer(Kind::Accept, &name, "");
            if raw.send_all(&accept.encode()).is_ok() {
                let stream = Stream::new(raw, session.clone(), name, Messages::accepted(rest));
                run(wire, session, stream, &handler);
            }
        }
        Err(refusal) => {
            let refused = answer(Kind::Error, &name, refusal.text());
            // Whoever cannot be told has left.
            let _ = raw.send_all(&refused.encode());
            drop(raw);
            let error = Error::Refused {
                name: name.clone(),
                refusal,
            };
            wire.report(Operation::OpenStream(name), Some(session), error);
        }
    }
}

/// Refuses a stream for which there is no thread. Runs on the reader, so it
/// does not wait: neither for the open frame, if that has not come yet, nor
/// for room.
pub(super) fn refuse(wire: &Shared, session: &Session, raw: &yamux::Stream, reason: String) {
    raw.acknowledge();
    let mut decoder = frame::Decoder::default();
    let segment = raw.try_read_segment().unwrap_or_default();
    let open = decoder.next(&mut segment.data());
    let name = open
        .ok()
        .flatten()
        .map_or(String::new(), |open| open.command);
    let refusal = Refusal::Other(format!("wirenet: {reason}"));
    if raw.try_send_all(&answer(Kind::Error, &name, refusal.text()).encode()) {
        raw.shutdown(Shutdown::Both).ok();
    } else {
        raw.reset();
    }
    let error = Error::Refused {
        name: name.clone(),
        refusal,
    };
    wire.report(Operation::OpenStream(name), Some(session), error);
}

/// Reads the open frame; what follows it is left for the handler.
fn read_open(wire: &Shared, raw: &yamux::Stream) -> Result<(Frame, Segment), Error> {
    let malformed = |cause: Malformed| Error::malformed("opening of a stream", cause);
    let timeout = wire.options.handshake_timeout;
    let deadline = deadline(timeout);
    let mut decoder = frame::Decoder::default();
    // Mostly it has come along with the stream; if not, the peer may be waiting
    // to be acknowledged.
    let mut ready = raw.try_read_segment();
    if ready.is_none() {
        raw.flush_queued();
    }
    loop {
        let segment = ready.take().map_or_else(
            || raw.read_segment_by(deadline),
            |segment| Ok(Some(segment)),
        );
        let segment = segment.map_err(|error| match error {
            yamux::Error::TimedOut => Error::TimedOut {
                what: "open frame",
                timeout,
            },
            error => error.into(),
        })?;
        let mut segment = segment.ok_or_else(|| malformed(Malformed::EndedEarly))?;
        let mut input = segment.data();
        let found = decoder
            .next(&mut input)
            .map_err(|error| malformed(error.into()))?;
        let used = segment.len() - input.len();
        segment.consume(used);
        match found {
            Some(frame) if frame.kind == Kind::Open => return Ok((frame, segment)),
            Some(_) => return Err(malformed(Malformed::UnexpectedFrame)),
            None => {}
        }
    }
}

/// The handler, if the opener may have it.
fn admit(wire: &Shared, session: &Session, name: &str, token: &[u8]) -> Result<Handler, Refusal> {
    let validated = wire.options.validate(name, session.identification(), token);
    validated.map_err(|text| Refusal::Other(at_most(text, frame::MAX_PAYLOAD)))?;
    wire.handlers.get(name).ok_or(Refusal::HandlerNotFound)
}

fn answer(kind: Kind, name: &str, text: &str) -> Frame {
    Frame {
        kind,
        command: name.into(),
        payload: text.into(),
    }
}

/// Runs a handler: `Ok` closes the stream properly, anything else resets it.
fn run(wire: &Shared, session: &Session, mut stream: Stream, handler: &Handler) {
    let outcome = catch_unwind(AssertUnwindSafe(|| handler(&mut stream)));
    let cause: Box<dyn std::error::Error + Send + Sync> = match outcome {
        Ok(Ok(())) => match stream.close() {
            Ok(()) => return,
            Err(error) => error.into(),
        },
        Ok(Err(error)) => error.into(),
        Err(payload) => Panicked::from_payload(&*payload).into(),
    };
    stream.reset();
    let operation = Operation::Handler(stream.name().into());
    wire.report(operation, Some(session), cause);
}
