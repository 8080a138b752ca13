//! What a scripted server does with a client.

use crate::support::{
    encoding::FEATURES,
    frames::{FIN, Frame, PING},
    peer::{Peer, Script},
};
use socket2::SockRef;
use std::{io, net::Shutdown, time::Duration};
use wirenet::Error;

pub fn keep(mut client: Peer) -> io::Result<()> {
    // Until the client ends the connection.
    io::copy(&mut client, &mut io::sink())?;
    Ok(())
}

/// Confirms the session, and keeps it.
pub fn stay(mut client: Peer) -> io::Result<()> {
    client.confirm_session()?;
    keep(client)
}

/// Confirms the session, and ends the connection.
pub fn hang_up(mut client: Peer) -> io::Result<()> {
    client.confirm_session()?;
    client.socket().shutdown(Shutdown::Write)?;
    keep(client)
}

/// Confirms the session as wirenet does, sends this many go-aways, and ends the connection.
pub fn leave_after(go_aways: usize) -> Script {
    Box::new(move |mut client| {
        client.answer_request(&FEATURES)?;
        client.try_send(vec![Frame::go_away(0); go_aways])?;
        client.socket().shutdown(Shutdown::Write)?;
        keep(client)
    })
}

/// The connection breaks while the session is being opened.
pub fn break_handshake(mut client: Peer) -> io::Result<()> {
    client.read_request()?;
    SockRef::from(client.socket()).set_linger(Some(Duration::ZERO))
}

/// Returns whether the connection broke while the session was being opened.
pub fn is_broken(error: &Error) -> bool {
    match error {
        Error::Explained { cause, .. } => matches!(**cause, Error::Connection(_)),
        _ => false,
    }
}

/// Confirms the session, and resets the connection when the client has nothing more to
/// send.
pub fn break_session(mut client: Peer) -> io::Result<()> {
    client.confirm_session()?;
    client.skip_to(|frame| frame.stream == 1 && frame.has(FIN));
    client.try_send(Frame::ping(0))?;
    client.skip_to(|frame| frame.kind == PING);
    SockRef::from(client.socket()).set_linger(Some(Duration::ZERO))
}

/// Refuses the session with this code, or none.
pub fn refuse(code: u8) -> Script {
    Box::new(move |mut client| {
        client.refuse_session(code, "no")?;
        keep(client)
    })
}
