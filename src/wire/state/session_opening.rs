//! Sessions that are being opened: connections with a handshake in progress, and
//! the ids and names that are reserved for them.

use super::{
    error_context::ErrorContext,
    handshakes::{Handshakes, NoHandshake, Origin},
    last_failure::LastFailure,
    registry::{Conflict, Names, Obstacle},
    wire_state::WireState,
};
use crate::{
    error::Error,
    sync,
    wire::session::{id::SessionId, session::Session},
};
use std::{
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::Arc,
    time::Instant,
};

impl WireState {
    /// Registers a connection on which a session is being opened, until the returned
    /// guard is dropped.
    ///
    /// # Errors
    ///
    /// When the wire is closed, or too many handshakes are in progress.
    pub(crate) fn begin_handshake(
        self: &Arc<Self>,
        stream: &TcpStream,
        context: &ErrorContext,
    ) -> Result<Pending, NoHandshake> {
        let mut evicted = None;
        let pending = self.register_handshake(stream, context, |handshakes, origin, stream| {
            let (number, other) = handshakes.begin(origin, stream)?;
            evicted = other;
            Ok(number)
        })?;
        self.shut_down_evicted(evicted);
        Ok(pending)
    }

    /// Like [`begin_handshake`](Self::begin_handshake), for a client, which runs one handshake
    /// at a time. It does not link how places are shared.
    pub(crate) fn begin_only_handshake(
        self: &Arc<Self>,
        stream: &TcpStream,
        context: &ErrorContext,
    ) -> Result<Pending, NoHandshake> {
        self.register_handshake(stream, context, |handshakes, origin, stream| {
            Ok(handshakes.begin_only(origin, stream))
        })
    }

    fn register_handshake(
        self: &Arc<Self>,
        stream: &TcpStream,
        context: &ErrorContext,
        begin: impl FnOnce(&mut Handshakes, Origin, TcpStream) -> Result<u64, NoHandshake>,
    ) -> Result<Pending, NoHandshake> {
        let context = Box::new(context.clone());
        let origin = context
            .peer_addr
            .map_or(Ipv4Addr::UNSPECIFIED.into(), |addr| addr.ip());
        let stream = stream.try_clone()?;
        let mut data = self.data.lock();
        if data.life.is_closing() {
            return Err(NoHandshake::Closed);
        }
        let number = begin(&mut data.handshakes, origin.into(), stream)?;
        drop(data);
        Ok(Pending {
            wire: Arc::clone(self),
            number,
            context,
        })
    }

    /// Reserves an id, and on a hub the names, for a session that is being opened.
    /// Cuts the sessions that the new one replaces, and returns them.
    pub(crate) fn reserve(
        &self,
        id: SessionId,
        identification: &[u8],
        names: &[String],
    ) -> Result<Vec<Session>, Conflict> {
        if self.names == Names::Owned
            && let Some(own) = names.iter().find(|name| self.handlers.get(name).is_some())
        {
            return Err(Conflict::Own(own.clone()));
        }
        let mut data = self.data.lock();
        let replaced = data.registry.reserve(id, identification, names)?;
        drop(data);
        for session in &replaced {
            session.connection().cut();
        }
        Ok(replaced)
    }

    /// Releases the id and the names reserved for a session that could not be
    /// opened.
    pub(crate) fn release(&self, id: SessionId) {
        let mut data = self.data.lock();
        if data.registry.get(id).is_none() {
            data.registry.remove(id);
        }
        drop(data);
        self.changed.notify_all();
    }

    /// Returns whether the conflict is gone. Pings the owner of the name, if there is one;
    /// an owner that was silent for too long loses its session.
    pub(crate) fn check_owner(&self, conflict: &Conflict, identification: &[u8]) -> bool {
        let data = self.data.lock();
        let obstacle = data.registry.obstacle(conflict, identification);
        drop(data);
        match obstacle {
            Some(Obstacle::Owner(owner)) => self.check_liveness(&owner).is_none(),
            Some(Obstacle::Other) => false,
            None => true,
        }
    }

    /// Pings the owner of a name. Returns when to check again, or `None` if the owner's
    /// session has ended. The owner has a third of the handshake timeout to answer, so
    /// that a client that waits for the name can get it within one handshake timeout.
    fn check_liveness(&self, owner: &Session) -> Option<Instant> {
        let options = &self.options;
        let patience = options.write_timeout.min(options.handshake_timeout / 3);
        owner.connection().look_for_life(patience)
    }

    /// Waits until the session that `wait` describes may be opened, and meanwhile
    /// checks that the owner of the name is alive. Returns `false` if the wire was
    /// closed, the handshake was evicted, the deadline has passed, or too many sessions
    /// wait already.
    pub(crate) fn wait_for_room(&self, wait: &RoomWait<'_>) -> bool {
        let number = wait.pending.number;
        let begun = self.data.lock().handshakes.begin_wait(number);
        match begun {
            Ok(evicted) => self.shut_down_evicted(evicted),
            // The caller refuses the session.
            Err(_) => return false,
        }
        let has_room = self.wait_until_gone(wait);
        self.data.lock().handshakes.end_wait(number);
        has_room
    }

    fn wait_until_gone(&self, wait: &RoomWait<'_>) -> bool {
        let deadline = wait.deadline;
        // The owner that was checked last, and when to check it again.
        let mut checked: Option<(SessionId, Instant)> = None;
        let mut data = self.data.lock();
        loop {
            if data.life.is_closing() || data.handshakes.was_evicted(wait.pending.number) {
                return false;
            }
            let now = sync::now();
            let owner = match data.registry.obstacle(wait.conflict, wait.identification) {
                None => return true,
                Some(_) if now >= deadline => return false,
                Some(Obstacle::Owner(owner)) => Some(owner),
                Some(Obstacle::Other) => None,
            };
            let until = match owner {
                None => deadline,
                Some(owner) => match checked {
                    Some((id, due)) if id == owner.id() && now < due => due.min(deadline),
                    _ => {
                        // The check may write to a socket, and may end the session.
                        drop(data);
                        let due = self.check_liveness(&owner);
                        checked = due.map(|due| (owner.id(), due));
                        data = self.data.lock();
                        continue;
                    }
                },
            };
            self.changed.wait_until(&mut data, until);
        }
    }

    /// Registers an established session. From here on a close ends it gracefully.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the wire is closed, or the handshake was evicted.
    pub(crate) fn enter(&self, session: &Session, pending: &Pending) -> Result<(), Error> {
        let mut data = self.data.lock();
        if data.life.is_closing() {
            return Err(Error::Closed);
        }
        let Some(stream) = data.handshakes.complete(pending.number) else {
            return Err(Error::Closed);
        };
        data.registry.enter(session);
        data.totals.sessions += 1;
        data.last_failure = LastFailure::Nothing;
        drop(data);
        // Closes a descriptor, so not under the lock.
        drop(stream);
        self.changed.notify_all();
        Ok(())
    }

    /// Unregisters a session that has ended. It counts towards the limit on sessions
    /// until the returned slot is dropped.
    pub(crate) fn leave(self: &Arc<Self>, session: &Session) -> SessionSlot {
        let traffic = session.connection().stats();
        let mut data = self.data.lock();
        data.registry.leave(session.id());
        data.totals.traffic += traffic;
        let round_trip_time = session.round_trip_time();
        data.totals.round_trip_time = round_trip_time.or(data.totals.round_trip_time);
        drop(data);
        self.changed.notify_all();
        SessionSlot {
            wire: Arc::clone(self),
        }
    }

    /// Ends an evicted handshake.
    fn shut_down_evicted(&self, evicted: Option<TcpStream>) {
        if let Some(stream) = evicted {
            // Wakes the handshake's thread, which reports the reason, unless the thread
            // waits for room.
            let _ = stream.shutdown(Shutdown::Both);
            self.changed.notify_all();
        }
    }
}

/// A session that must wait for another one to leave.
#[derive(Clone, Copy)]
pub(crate) struct RoomWait<'a> {
    pub(crate) conflict: &'a Conflict,
    pub(crate) identification: &'a [u8],
    pub(crate) pending: &'a Pending,
    pub(crate) deadline: Instant,
}

/// A handshake in progress, until this is dropped or its session is established.
pub(crate) struct Pending {
    wire: Arc<WireState>,
    number: u64,
    /// Taken when the connection was accepted: the socket no longer knows its addresses
    /// once the peer has closed. Boxed because only failures need it.
    context: Box<ErrorContext>,
}

impl Pending {
    pub(crate) fn wire(&self) -> &Arc<WireState> {
        &self.wire
    }

    /// Returns the connection's addresses.
    pub(crate) fn context(&self) -> ErrorContext {
        (*self.context).clone()
    }

    /// Returns whether the handshake was evicted in favor of another address.
    pub(crate) fn was_evicted(&self) -> bool {
        self.wire.data.lock().handshakes.was_evicted(self.number)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let stream = self.wire.data.lock().handshakes.end(self.number);
        // Closes a descriptor, so not under the lock.
        drop(stream);
    }
}

/// The place of a session that has ended, while its hooks run.
#[must_use]
pub(crate) struct SessionSlot {
    wire: Arc<WireState>,
}

impl Drop for SessionSlot {
    fn drop(&mut self) {
        self.wire.data.lock().registry.end_departure();
        self.wire.changed.notify_all();
    }
}
