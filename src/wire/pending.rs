//! Connections on which a session is being opened: no more than so many, and
//! all of them known to a close.

use super::{reports::About, shared::Shared};
use std::{net::TcpStream, sync::Arc};

pub(super) struct Handshakes {
    under_way: Vec<(u64, TcpStream)>,
    next: u64,
    limit: usize,
}

/// Why no session can be opened on a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHandshake {
    #[error("connection closed: {0} handshakes are under way")]
    TooMany(usize),
    #[error("connection closed: the wire is")]
    Closed,
    #[error("connection closed: {0}")]
    Io(#[from] std::io::Error),
}

impl Handshakes {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            under_way: Vec::new(),
            next: 0,
            limit,
        }
    }

    /// Notes one more, and gives its number.
    pub(super) fn begin(&mut self, stream: TcpStream) -> Result<u64, NoHandshake> {
        if self.under_way.len() >= self.limit {
            return Err(NoHandshake::TooMany(self.limit));
        }
        let number = self.next;
        self.next += 1;
        self.under_way.push((number, stream));
        Ok(number)
    }

    pub(super) fn end(&mut self, number: u64) -> Option<TcpStream> {
        let mut all = self.under_way.iter();
        let index = all.position(|(other, _)| *other == number)?;
        Some(self.under_way.swap_remove(index).1)
    }

    /// All of them, for a close to cut.
    pub(super) fn take_all(&mut self) -> Vec<TcpStream> {
        let all = self.under_way.drain(..);
        all.map(|(_, stream)| stream).collect()
    }
}

/// A handshake under way, for as long as this lives or its session stands.
pub(super) struct Pending {
    wire: Arc<Shared>,
    number: u64,
    /// Noted at once: a socket whose peer has left does not know it any more.
    /// Boxed, because it is only wanted where something fails.
    about: Box<About>,
}

impl Pending {
    pub(super) fn new(wire: &Arc<Shared>, number: u64, about: Box<About>) -> Self {
        let wire = Arc::clone(wire);
        Self {
            wire,
            number,
            about,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn wire(&self) -> &Shared {
        &self.wire
    }

    /// The connection's addresses.
    pub(super) fn about(&self) -> About {
        (*self.about).clone()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.wire.end_handshake(self.number);
    }
}
