//! The server's part of a handshake.

use super::{Handshake, judge::Refused, malformed, parse};
use crate::{
    error::{Error, Malformed, Printable, RefusalCode},
    wire::{
        session::{
            frame::{self, Frame, FrameKind},
            handshake_messages::{self, Features, OpenSessionRequest, OpenSessionResponse},
            session::Agreed,
        },
        state::session_opening::Pending,
    },
    yamux,
};

impl Handshake<'_> {
    /// Waits for the client's request, and answers it.
    ///
    /// # Errors
    ///
    /// The reason why there is no session. The client has been told the reason, if
    /// possible.
    pub(crate) fn answer(&mut self, pending: &Pending) -> Result<Agreed, Error> {
        let stream = self.accept()?;
        let (sid, request) = match self.read_frame(&stream) {
            Ok(frame) => (
                handshake_messages::sid(&frame.payload),
                parse_request(&frame, self.wire.options.max_names),
            ),
            // The client gets this error as the answer.
            Err(error @ Error::Malformed { .. }) => (Vec::new(), Err(error)),
            Err(error) => return Err(error),
        };
        // An error is handled below, as the verdict.
        if let Ok(request) = &request {
            self.client_identification = request.identification.clone();
            self.client_identification.truncate(frame::MAX_PAYLOAD);
        }
        let features = request.as_ref().map(|request| request.features);
        let features = features.map_or(Features::default(), Features::from_bits);
        let verdict = match request {
            Ok(request) => self.judge(request, pending),
            Err(error) => Err(Refused::Permanently(error)),
        };
        let verdict = match verdict {
            Ok(agreed) => Ok(agreed),
            Err(Refused::Permanently(error)) => Err(error),
            Err(Refused::ForNow(error)) if features.knows_codes() => Err(error),
            Err(Refused::ForNow(error)) => {
                // After any answer this client would give up permanently.
                self.connection.cut();
                return Err(self.as_reported(error));
            }
            Err(Refused::Silently(error)) => return Err(error),
        };
        let response = self.response(sid, &verdict);
        let sent = self.send(&stream, &response);
        stream.end();
        // The error itself is returned below.
        if let (Ok(agreed), Err(_)) = (&verdict, &sent) {
            self.wire.release(agreed.id);
        }
        sent.and(verdict.map_err(|error| self.as_reported(error)))
    }

    /// Adds to a refusal what only this side reports: the causes of a validator's error, or
    /// the option that sets a limit.
    #[cold]
    #[inline(never)]
    fn as_reported(&mut self, error: Error) -> Error {
        let Error::SessionRefused { code, .. } = &error else {
            return error;
        };
        let text = match (self.detail.take(), code) {
            (Some(detail), _) => format!("session refused: {}", Printable(&detail)),
            (None, Some(RefusalCode::TooManySessions)) => format!(
                "session refused: too many sessions: {} are open, the limit of \
                 `Builder::max_sessions`",
                self.wire.options.max_sessions
            ),
            _ => return error,
        };
        error.explained(text)
    }

    /// Waits for the stream on which the client sends its request.
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

    #[inline(never)]
    fn response(&self, sid: Vec<u8>, verdict: &Result<Agreed, Error>) -> Frame {
        let mut response = OpenSessionResponse {
            sid,
            features: Features::OURS.bits(),
            ..OpenSessionResponse::default()
        };
        match verdict {
            Ok(_) => response.remote_stream_names = self.wire.handlers.names(),
            Err(Error::SessionRefused { code, text, .. }) => {
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

    /// Closes the connection of a client that was refused. First waits for the client
    /// to close it, so that the client can read the answer, but no longer than the
    /// deadline of the handshake.
    pub(crate) fn dismiss(mut self) {
        while self.turn().is_ok() {}
        self.connection.start_close();
    }
}

/// Parses a request. Counts the stream names first, because parsing takes a multiple of
/// their bytes.
fn parse_request(frame: &Frame, max_names: usize) -> Result<OpenSessionRequest, Error> {
    if frame.kind == FrameKind::OpenSession {
        let len = handshake_messages::count_names(&frame.payload).map_err(malformed)?;
        if len > max_names {
            let what = "a list of stream names";
            return Err(malformed(Malformed::TooLong { what, len }));
        }
    }
    parse(frame, FrameKind::OpenSession, OpenSessionRequest::decode)
}
