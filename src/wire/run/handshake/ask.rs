//! The client's part of a handshake.

use super::{Handshake, malformed, parse};
use crate::{
    error::{Error, Malformed, RefusalCode},
    wire::session::{
        frame::FrameKind,
        handshake_messages::{Features, OpenSessionRequest, OpenSessionResponse},
        id::SessionId,
        session::Agreed,
    },
};

impl Handshake<'_> {
    /// Requests a session, and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`Error::SessionRefused`] with the server's reason; other errors when the
    /// connection fails, the answer is malformed, or the deadline passes.
    pub(crate) fn ask(&mut self) -> Result<Agreed, Error> {
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
        let response = parse(
            &answer,
            FrameKind::ConfirmSession,
            OpenSessionResponse::decode,
        )?;
        if !response.err.is_empty() {
            return Err(Error::SessionRefused {
                code: RefusalCode::from_number(response.code),
                text: response.err,
                addr: None,
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
}
