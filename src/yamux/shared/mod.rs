//! What the reader, the streams and the handles of one connection share: the
//! table, the outbox, and the connection's end.

mod ending;
mod held;
mod lingering;
mod pinging;
pub(super) mod sending;
pub(super) mod streams;

use super::{
    acceptor::{Acceptor, HandingOver},
    config::Config,
    core::Incoming,
    outbox::Outbox,
    ping::Pings,
    role::Role,
    table::Table,
    window::Budget,
};
use crate::{
    sync::{self, Condvar, Mutex, OnceLock, Receiver, atomic::AtomicBool, thread::ThreadId},
    transport::Closer,
};
use std::{net::SocketAddr, sync::Arc, time::Instant};

#[derive(Debug)]
pub(super) struct Shared {
    /// That of all of a wire's connections.
    pub(super) config: Arc<Config>,
    pub(super) table: Mutex<Table>,
    /// One more stream may be opened, or none can be any more.
    pub(super) freed: Condvar,
    pub(super) outbox: Outbox,
    pub(super) pings: Pings,
    pub(super) local_addr: Option<SocketAddr>,
    pub(super) peer_addr: Option<SocketAddr>,
    pub(super) budget: Budget,
    pub(super) kept: Mutex<Kept>,
    /// Gone when the connection has ended, and its descriptor with it.
    closer: Mutex<Option<Arc<dyn Closer>>>,
    /// When this side closed the connection, or could send no more; the reader
    /// waits for the peer to do so too, but not for ever.
    closed: OnceLock<Instant>,
    /// The peer does not take a reset for an error.
    pub(super) avoids_resets: AtomicBool,
    /// The peer says that it goes away, and once more when it closes.
    pub(super) says_go_away: AtomicBool,
    /// The peer has closed the connection in order, and taken what was written to it.
    peer_closed: AtomicBool,
    since: Instant,
    reader: Mutex<ReaderState>,
    reader_changed: Condvar,
    /// Who gets the streams that the peer opens. It may keep the connection up,
    /// and is dropped at its end.
    pub(super) acceptor: Mutex<Option<Acceptor>>,
    pub(super) handing_over: HandingOver,
}

/// What waits on a hub for this peer to take it, of streams that are gone at the
/// other end of their relay: nobody else's connection accounts for it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// How many.
    streams: usize,
    /// Bytes of them that the budget accounts for.
    pub(super) bytes: usize,
}

#[derive(Debug, Default)]
struct ReaderState {
    thread: Option<ThreadId>,
    done: bool,
}

impl Shared {
    pub(super) fn new(
        role: Role,
        config: Arc<Config>,
        outbox: Outbox,
        closer: Arc<dyn Closer>,
        addrs: [Option<SocketAddr>; 2],
    ) -> Self {
        let [local_addr, peer_addr] = addrs;
        Self {
            table: Mutex::new(Table::new(role)),
            freed: Condvar::new(),
            outbox,
            pings: Pings::default(),
            local_addr,
            peer_addr,
            budget: Budget::new(config.window_budget),
            kept: Mutex::default(),
            closer: Mutex::new(Some(closer)),
            closed: OnceLock::new(),
            avoids_resets: AtomicBool::new(false),
            says_go_away: AtomicBool::new(false),
            peer_closed: AtomicBool::new(false),
            since: sync::now(),
            reader: Mutex::default(),
            reader_changed: Condvar::new(),
            acceptor: Mutex::default(),
            handing_over: HandingOver::default(),
            config,
        }
    }
}

/// Keeps the connection up. The reader has no part in it.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    /// Disconnected when the connection has ended.
    pub(super) incoming: Receiver<Incoming>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}
