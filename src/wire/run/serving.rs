//! An established session: its reader, its hooks, and the handlers of the streams
//! that the peer opens.

use super::{handshake::Handshake, inbound::InboundStream};
use crate::{
    error::{Error, Operation},
    wire::{
        session::session::{Agreed, Session},
        state::{
            pool::HandlerPermit,
            session_opening::{Pending, SessionSlot},
            wire_state::WireState,
        },
    },
    yamux::{Acceptor, ConnectionReader, WeakConnection},
};
use std::sync::Arc;

/// A session that is established and not yet served.
pub(crate) struct Established {
    pub(crate) session: Session,
    pub(crate) reader: Box<ConnectionReader>,
}

impl WireState {
    /// Creates a session for a connection on which both sides have agreed, and
    /// registers it. [`serve`](Self::serve) then serves it.
    pub(crate) fn establish(
        self: &Arc<Self>,
        handshake: Handshake<'_>,
        agreed: Agreed,
        pending: &Pending,
    ) -> Result<Established, Error> {
        let weak = handshake.connection.downgrade();
        let connection = handshake.connection.clone();
        let host = Arc::downgrade(self);
        let settings = self.options.session();
        let session = Session::new(host, self.threads.clone(), settings, connection, agreed);
        self.enter(&session, pending)?;
        let acceptor = self.acceptor(&session, weak);
        for early in handshake.forward_early(&acceptor) {
            acceptor.offer(early);
        }
        let mut reader = handshake.reader;
        reader.set_acceptor(acceptor);
        Ok(Established { session, reader })
    }

    /// Returns the acceptor, which passes the streams that the peer opens to the
    /// pool.
    fn acceptor(self: &Arc<Self>, session: &Session, weak: WeakConnection) -> Acceptor {
        let (wire, session) = (Arc::clone(self), session.clone());
        let share = self.pool.share();
        Acceptor::new(move |incoming| {
            let Some(raw) = weak.stream(incoming) else {
                return false;
            };
            let inbound = InboundStream::new(raw);
            match share.admit() {
                Ok(permit) => wire.submit_inbound(&session, inbound, permit),
                Err(full) => inbound.refuse(&wire, &session, &full.to_string()),
            }
            true
        })
    }

    fn submit_inbound(
        self: &Arc<Self>,
        session: &Session,
        inbound: InboundStream,
        permit: HandlerPermit,
    ) {
        let raw = inbound.raw().clone();
        let (wire, serving) = (Arc::clone(self), session.clone());
        let opening = self.threads.begin_opening();
        let job = self.threads.track(move || {
            inbound.serve(&wire, &serving, opening);
            drop(permit);
        });
        if let Err(error) = self.pool.submit(job) {
            // The job was dropped together with its stream. Without a reset, the peer
            // would treat that as a graceful end.
            raw.reset();
            let operation = Operation::OpenStream(String::new());
            self.report_and_go_on(operation, Some(session), error);
        }
    }

    /// Serves a session on the current thread until it ends. The session counts
    /// towards the limit until the returned slot is dropped and its hooks have
    /// returned.
    pub(crate) fn serve(
        self: &Arc<Self>,
        established: Established,
    ) -> (Arc<SessionSlot>, Result<(), Error>) {
        let Established {
            session,
            mut reader,
        } = established;
        let (id, peer) = (session.id(), session.peer_addr());
        let established = || format!("session {id} with {peer:?} established");
        self.log_later(log::Level::Debug, module_path!(), established);
        let hooks = self.hooks.map(|hooks| hooks(self, &session));
        if let Some(hooks) = &hooks {
            Arc::clone(hooks).opened();
        }
        let ended = reader.run();
        // First: dropping the reader ends the wait of a close, which must then find the
        // session gone.
        let slot = Arc::new(self.leave(&session));
        drop(reader);
        let log_ended = || format!("session {id} ended: {ended:?}");
        self.log_later(log::Level::Debug, module_path!(), log_ended);
        if let Some(hooks) = hooks {
            hooks.closed(slot.clone());
        }
        (slot, ended.map_err(Error::from))
    }
}
