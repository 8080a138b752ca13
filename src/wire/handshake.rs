//! How a session opens: the dialling side asks on the connection's first
//! stream, the accepting side answers, both close that stream.
//!
//! The thread that does this drives the connection's reader itself, and goes
//! on to be its reader: nobody else reads the connection meanwhile.

use super::{
    access::{Caller, Rejected, Request},
    frame::{self, Frame, Kind},
    hello::{self, CONFIRM_SESSION, Features, OpenSessionRequest, OpenSessionResponse},
    pending::Pending,
    registry::Conflict,
    session::{SessionId, check_name},
    shared::Shared,
};
use crate::{
    error::{Denied, Error, Malformed, Operation, RefusalCode},
    protobuf::PayloadError,
    sync::{self, Mutex},
    transport::Halves,
    yamux::{self, Acceptor, Connection, Incoming, Reader, Role, Turn},
};
use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// Streams that a server may have opened by the time that its client knows of
/// the session: as many as may be unacknowledged.
const EARLY_STREAMS: usize = 256;

/// What the two sides agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) id: SessionId,
    pub(super) identification: Vec<u8>,
    /// What the other side handles.
    pub(super) stream_names: Vec<String>,
    /// What the other side understands.
    pub(super) features: Features,
}

/// A connection on which no session stands yet.
pub(super) struct Handshake<'a> {
    wire: &'a Shared,
    pub(super) connection: Connection,
    pub(super) reader: Box<Reader>,
    early: Arc<Mutex<Early>>,
    deadline: Instant,
    /// What the client that asks calls itself, once that was read.
    pub(super) asker: Vec<u8>,
}

/// Streams that the peer opens before the session stands. A client has one, on
/// which it asks. A server may open others as soon as it has confirmed, which
/// can arrive together with the confirmation.
struct Early {
    waiting: VecDeque<Incoming>,
    /// How many more may come.
    left: usize,
    /// Who gets those that come when the session stands.
    next: Option<Acceptor>,
}

impl Early {
    fn admit(&mut self, stream: Incoming) -> bool {
        let Some(left) = self.left.checked_sub(1) else {
            return false;
        };
        self.left = left;
        self.waiting.push_back(stream);
        true
    }
}

/// Keeps a stream until the session stands.
fn admit(early: &Mutex<Early>, stream: Incoming) -> bool {
    let mut early = early.lock();
    match early.next.clone() {
        None => early.admit(stream),
        // Another thread was about to hand it over meanwhile.
        Some(next) => {
            drop(early);
            next.offer(stream)
        }
    }
}

impl<'a> Handshake<'a> {
    pub(super) fn new(
        wire: &'a Shared,
        halves: Halves,
        role: Role,
        deadline: Instant,
    ) -> io::Result<Self> {
        let early = Arc::new(Mutex::new(Early {
            waiting: VecDeque::new(),
            left: match role {
                Role::Server => 1,
                Role::Client => EARLY_STREAMS,
            },
            next: None,
        }));
        let admitting = Arc::clone(&early);
        let acceptor = Acceptor::new(move |stream| admit(&admitting, stream));
        let config = Arc::clone(&wire.connection);
        let (connection, mut reader) = Connection::driven(halves, role, config, acceptor)?;
        if role == Role::Server {
            reader.expect_stranger();
        }
        Ok(Self {
            wire,
            connection,
            reader,
            early,
            deadline,
            asker: Vec::new(),
        })
    }

    /// The dialling side's part.
    pub(super) fn ask(&mut self) -> Result<Agreed, Error> {
        let options = &self.wire.options;
        let id = SessionId::random();
        let request = OpenSessionRequest {
            sid: id.as_bytes().to_vec(),
            token: options.token.clone(),
            identification: options.identification.clone(),
            local_stream_names: self.wire.handlers.names(),
            features: Features::OURS.bits(),
        };
        let stream = self.connection.open_queued(Some(self.deadline))?;
        self.send(&stream, &request.to_frame())?;
        let answer = self.read_frame(&stream)?;
        stream.end();
        let response = parse(&answer, Kind::ConfirmSession, OpenSessionResponse::decode)?;
        if !response.err.is_empty() {
            return Err(Error::SessionRefused {
                code: RefusalCode::from_number(response.code),
                text: response.err,
            });
        }
        if response.sid != id.as_bytes() {
            return Err(malformed(Malformed::SessionId));
        }
        Ok(Agreed {
            id,
            identification: options.identification.clone(),
            stream_names: response.remote_stream_names,
            features: Features::from_bits(response.features),
        })
    }

    /// The accepting side's part. An error that the peer can be told of, it
    /// has been told.
    pub(super) fn answer(&mut self, pending: &Pending) -> Result<Agreed, Error> {
        let stream = self.accept()?;
        let (sid, request) = match self.read_frame(&stream) {
            Ok(frame) => (
                hello::sid(&frame.payload),
                parse_request(&frame, self.wire.options.max_names),
            ),
            // Of this it can be told.
            Err(error @ Error::Malformed { .. }) => (Vec::new(), Err(error)),
            Err(error) => return Err(error),
        };
        // An error is the verdict, below.
        if let Ok(request) = &request {
            self.asker = request.identification.clone();
            self.asker.truncate(frame::MAX_PAYLOAD);
        }
        let features = request.as_ref().map(|request| request.features);
        let features = features.map_or(Features::default(), Features::from_bits);
        let verdict = match request {
            Ok(request) => self.judge(request, pending),
            Err(error) => Err(No::ForGood(error)),
        };
        let verdict = match verdict {
            Ok(agreed) => Ok(agreed),
            Err(No::ForGood(error)) => Err(error),
            Err(No::ForNow(error)) if features.knows_codes() => Err(error),
            Err(No::ForNow(error)) => {
                // It would take any answer for the last word.
                self.connection.cut();
                return Err(error);
            }
            // Nobody waits for the answer any more.
            Err(No::Unsaid(error)) => return Err(error),
        };
        let response = self.response(sid, &verdict);
        let sent = self.send(&stream, &response);
        stream.end();
        // The error is this function's own.
        if let (Ok(agreed), Err(_)) = (&verdict, &sent) {
            self.wire.release(agreed.id);
        }
        sent.and(verdict)
    }

    #[inline(never)]
    fn response(&self, sid: Vec<u8>, verdict: &Result<Agreed, Error>) -> Frame {
        let mut response = OpenSessionResponse {
            sid,
            features: Features::OURS.bits(),
            ..OpenSessionResponse::default()
        };
        match verdict {
            Ok(_) => response.remote_stream_names = self.wire.handlers.names(),
            Err(Error::SessionRefused { code, text }) => {
                response.err = text.clone();
                response.code = code.map_or(0, |code| code as u32);
            }
            Err(error) => {
                response.err = error.to_string();
                response.code = RefusalCode::Malformed as u32;
            }
        }
        response.to_frame()
    }

    /// By itself, as are its parts, for the sake of the stack of a session that
    /// stands: it is as deep as its handshake was.
    #[inline(never)]
    fn judge(&mut self, request: OpenSessionRequest, pending: &Pending) -> Result<Agreed, No> {
        let id = check(&request).map_err(No::ForGood)?;
        self.check_token(&request, pending)?;
        if self.wire.options.access.is_some() {
            self.offer(&request, pending)?;
        }
        self.may_go_on(pending)?;
        let identification = &request.identification;
        let names = &request.local_stream_names;
        if let Err(conflict) = self.wire.reserve(id, identification, names) {
            self.make_room(conflict, id, &request, pending)?;
        }
        Ok(Agreed {
            id,
            identification: request.identification,
            stream_names: request.local_stream_names,
            features: Features::from_bits(request.features),
        })
    }

    #[inline(never)]
    fn check_token(&self, request: &OpenSessionRequest, pending: &Pending) -> Result<(), No> {
        let options = &self.wire.options;
        let validated = options.validate(CONFIRM_SESSION, &request.identification, &request.token);
        validated.map_err(|rejected| {
            let denied = self.denied(pending, "token_validator", rejected);
            No::denied(RefusalCode::TokenRefused, &denied, denied.text().into())
        })
    }

    /// Keeps id and names for the session when what is in the way has gone. A
    /// client that would give up for good is let wait for that; one that comes
    /// again is refused at once.
    #[cold]
    #[inline(never)]
    fn make_room(
        &mut self,
        mut conflict: Conflict,
        id: SessionId,
        request: &OpenSessionRequest,
        pending: &Pending,
    ) -> Result<(), No> {
        let (wire, identification) = (self.wire, &request.identification);
        loop {
            if !conflict.may_pass() {
                return Err(No::ForGood(refuse(conflict)));
            }
            if Features::from_bits(request.features).knows_codes() {
                if !wire.look_at_owner(&conflict, identification) {
                    return Err(No::ForNow(refuse(conflict)));
                }
            } else if wire.wait_for_room(&conflict, identification, pending, self.deadline) {
                // It may have left meanwhile, and is not to take over from others.
                while sync::now() < self.deadline
                    && self.reader.turn(Duration::ZERO).map_err(gone)? == Turn::More
                {
                }
            } else {
                if sync::now() < self.deadline {
                    self.may_go_on(pending)?;
                }
                return Err(No::ForNow(refuse(conflict)));
            }
            self.may_go_on(pending)?;
            match wire.reserve(id, identification, &request.local_stream_names) {
                Ok(()) => return Ok(()),
                Err(other) => conflict = other,
            }
        }
    }

    /// Asks for each name whether the client may offer it.
    fn offer(&self, request: &OpenSessionRequest, pending: &Pending) -> Result<(), No> {
        let options = &self.wire.options;
        let who = Caller {
            identification: request.identification.clone(),
            addr: pending.about().peer_addr,
        };
        for name in &request.local_stream_names {
            self.may_go_on(pending)?;
            let permitted = options.permit(&Request::Offer { who: &who, name });
            permitted.map_err(|rejected| {
                let denied = self.denied(pending, "access", rejected);
                let text = denied.text();
                let text = format!("wirenet: the stream name {name:?} may not be offered: {text}");
                No::denied(RefusalCode::NameNotAllowed, &denied, text)
            })?;
        }
        Ok(())
    }

    /// The user's code may have taken any time.
    fn may_go_on(&self, pending: &Pending) -> Result<(), No> {
        if self.wire.is_closed() {
            let text = "wirenet: closing".into();
            return Err(No::ForNow(refused(RefusalCode::Closing, text)));
        }
        // Meanwhile the client may have come back: its session is not to give way
        // to one that is not going to stand.
        if sync::now() >= self.deadline {
            return Err(No::Unsaid(self.timed_out()));
        }
        if self.wire.gave_way(pending) {
            return Err(No::Unsaid(Error::Closed));
        }
        Ok(())
    }

    /// What the peer is told of an answer of the user's code. If that has
    /// panicked, the error handler is told here.
    #[cold]
    #[inline(never)]
    fn denied(&self, pending: &Pending, hook: &'static str, rejected: Rejected) -> Denied {
        let (denied, panicked) = rejected.split();
        if let Some(cause) = panicked {
            let mut about = pending.about();
            about.identification = self.asker.clone();
            let operation = Operation::Hook(hook);
            pending.wire().report_aside(operation, about, cause);
        }
        denied
    }

    /// A stream that the peer opened meanwhile.
    fn next_early(&self) -> Option<Incoming> {
        self.early.lock().waiting.pop_front()
    }

    /// The session stands: gives the streams that the peer opened meanwhile; what
    /// comes from now on `next` gets.
    pub(super) fn forward_early(&self, next: &Acceptor) -> VecDeque<Incoming> {
        let mut early = self.early.lock();
        early.next = Some(next.clone());
        std::mem::take(&mut early.waiting)
    }

    /// The peer was refused: waits for it to leave, so that it reads why, but no
    /// longer than a handshake may take, and then closes the connection.
    pub(super) fn dismiss(mut self) {
        while self.turn().is_ok() {}
        self.connection.start_close();
    }

    /// Waits for the stream on which the peer asks.
    fn accept(&mut self) -> Result<yamux::Stream, Error> {
        loop {
            if let Some(incoming) = self.next_early() {
                let weak = self.connection.downgrade();
                let stream = weak.stream(incoming).ok_or(yamux::Error::Closed)?;
                stream.acknowledge();
                return Ok(stream);
            }
            self.turn()?;
        }
    }

    /// Sends a frame, within what is left of the time.
    fn send(&self, stream: &yamux::Stream, frame: &Frame) -> Result<(), Error> {
        let sent = stream.send_all_by(&frame.encode(), self.deadline);
        sent.map_err(|error| match error {
            yamux::Error::TimedOut => self.timed_out(),
            error => error.into(),
        })
    }

    fn timed_out(&self) -> Error {
        Error::TimedOut {
            what: "session handshake",
            timeout: self.wire.options.handshake_timeout,
        }
    }

    fn read_frame(&mut self, stream: &yamux::Stream) -> Result<Frame, Error> {
        let mut decoder = frame::Decoder::default();
        loop {
            while let Some(segment) = stream.try_read_segment() {
                let found = decoder.next(&mut segment.data()).map_err(malformed)?;
                if let Some(frame) = found {
                    return Ok(frame);
                }
            }
            if stream.has_ended() {
                return Err(malformed(Malformed::EndedEarly));
            }
            self.turn()?;
        }
    }

    /// Reads once, within what is left of the time.
    fn turn(&mut self) -> Result<(), Error> {
        let left = self.deadline.saturating_duration_since(sync::now());
        if left.is_zero() {
            return Err(self.timed_out());
        }
        // What it was idle for, the next turn knows by the clock.
        self.reader.turn(left).map(drop).map_err(Error::from)
    }
}

/// Why there is to be no session.
enum No {
    /// It will not pass.
    ForGood(Error),
    /// It may pass: a client that gives up after any answer gets none.
    ForNow(Error),
    /// Nobody waits for an answer any more.
    Unsaid(Error),
}

impl No {
    /// What the user's code has denied; for good with this code.
    fn denied(code: RefusalCode, denied: &Denied, text: String) -> Self {
        match denied.is_for_now() {
            true => Self::ForNow(refused(RefusalCode::TryLater, text)),
            false => Self::ForGood(refused(code, text)),
        }
    }
}

/// The id that is asked for, if the request can be.
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
    if let Some(name) = names.iter().find(|name| check_name(name).is_err()) {
        let len = name.len();
        let what = "a stream's name";
        return Err(malformed(Malformed::TooLong { what, len }));
    }
    Ok(id)
}

/// The peer has left.
fn gone(error: yamux::Error) -> No {
    No::Unsaid(error.into())
}

fn parse<M>(
    frame: &Frame,
    kind: Kind,
    decode: fn(&[u8]) -> Result<M, PayloadError>,
) -> Result<M, Error> {
    if frame.kind != kind {
        return Err(malformed(Malformed::UnexpectedFrame));
    }
    decode(&frame.payload).map_err(malformed)
}

/// The names are counted before they are taken apart: each takes a multiple of
/// its bytes then.
fn parse_request(frame: &Frame, max_names: usize) -> Result<OpenSessionRequest, Error> {
    if frame.kind == Kind::OpenSession {
        let len = hello::count_names(&frame.payload).map_err(malformed)?;
        if len > max_names {
            let what = "a list of stream names";
            return Err(malformed(Malformed::TooLong { what, len }));
        }
    }
    parse(frame, Kind::OpenSession, OpenSessionRequest::decode)
}

/// A session that is refused, with the text that the peer gets: an empty one
/// would mean that it is not.
fn refused(code: RefusalCode, text: String) -> Error {
    let text = match text.is_empty() {
        true => "wirenet: session refused".into(),
        false => at_most(text, frame::MAX_PAYLOAD),
    };
    let code = Some(code);
    Error::SessionRefused { code, text }
}

/// A session that others are in the way of.
fn refuse(conflict: Conflict) -> Error {
    let (code, text) = match conflict {
        Conflict::Id => return malformed(Malformed::SessionId),
        Conflict::Name(name) => (
            RefusalCode::NameTaken,
            format!("wirenet: the stream name {name:?} belongs to another session"),
        ),
        Conflict::Own(name) => (
            RefusalCode::NameTaken,
            format!("wirenet: the stream name {name:?} is the hub's own"),
        ),
        Conflict::Full => (
            RefusalCode::TooManySessions,
            "wirenet: too many sessions".into(),
        ),
    };
    refused(code, text)
}

fn malformed(cause: impl Into<Malformed>) -> Error {
    Error::malformed("session handshake", cause)
}

/// Cuts a text that goes over the wire to its limit, between characters.
pub(super) fn at_most(mut text: String, limit: usize) -> String {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
