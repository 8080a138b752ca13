//! What the reader, the streams and the handles of one connection share.
//!
//! One file for each job: [`sending`] and [`pinging`], the [`streams`] and those
//! that are [`held`], how the connection [ends](ending), and how long it
//! [lingers](lingering) afterwards.

mod ending;
pub(super) mod held;
mod lingering;
mod pinging;
pub(super) mod sending;
pub(super) mod streams;

use super::{
    acceptor::{Acceptor, HandingOver},
    budget::Budget,
    config::Config,
    core::Incoming,
    outbox::Outbox,
    ping::Pings,
    role::Role,
    table::Table,
};
use crate::{
    sync::{self, Condvar, Mutex, OnceLock, atomic::AtomicBool, thread::ThreadId},
    transport::Closer,
};
use std::{net::SocketAddr, sync::Arc, time::Instant};

#[derive(Debug)]
pub(super) struct Shared {
    /// Shared by all connections of a wire.
    pub(super) config: Arc<Config>,
    pub(super) table: Mutex<Table>,
    /// Signalled when one more stream may be opened, or none can be opened any
    /// longer.
    pub(super) freed: Condvar,
    pub(super) outbox: Outbox,
    pub(super) pings: Pings,
    pub(super) local_addr: Option<SocketAddr>,
    pub(super) peer_addr: Option<SocketAddr>,
    pub(super) budget: Budget,
    pub(super) orphaned: Mutex<Orphaned>,
    /// `None` when the transport is cut, which closes its descriptor.
    closer: Mutex<Option<Arc<dyn Closer>>>,
    /// Set when this side has closed the connection, or can send no more, or the peer has
    /// closed it. The reader then waits for the peer's end until this time.
    linger_until: OnceLock<Instant>,
    /// Whether the peer does not treat a reset as an error.
    pub(super) avoids_resets: AtomicBool,
    /// Whether the peer sends a go-away when it goes away, and another when it
    /// closes.
    pub(super) sends_go_away: AtomicBool,
    /// Whether the transport can end our direction alone. If it cannot, the last ping
    /// and the go-aways replace the ends of both directions.
    pub(super) can_finish: bool,
    /// The ping after everything that was sent, once this side has closed.
    last_ping: OnceLock<u32>,
    /// Whether the peer has closed the connection gracefully, and so has received
    /// everything that the transport accepted.
    peer_took_all: AtomicBool,
    since: Instant,
    reader: Mutex<ReaderState>,
    reader_changed: Condvar,
    /// The acceptor may keep the connection alive, so it is dropped at the
    /// connection's end.
    pub(super) acceptor: Mutex<Option<Acceptor>>,
    pub(super) handing_over: HandingOver,
}

/// Data that waits on a hub for this peer, from streams that are gone at the other
/// end of their relay. No other connection accounts for it.
#[derive(Debug, Default)]
pub(super) struct Orphaned {
    /// How many streams.
    streams: usize,
    /// The bytes of these streams that the budget accounts for.
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
        can_finish: bool,
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
            orphaned: Mutex::default(),
            closer: Mutex::new(Some(closer)),
            linger_until: OnceLock::new(),
            avoids_resets: AtomicBool::new(false),
            sends_go_away: AtomicBool::new(false),
            can_finish,
            last_ping: OnceLock::new(),
            peer_took_all: AtomicBool::new(false),
            since: sync::now(),
            reader: Mutex::default(),
            reader_changed: Condvar::new(),
            acceptor: Mutex::default(),
            handing_over: HandingOver::default(),
            config,
        }
    }
}

/// Keeps the connection open. The reader holds no handle.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    /// Waits for the next stream that the peer opens. Returns `None` when the connection has
    /// ended. `None` if an acceptor gets the streams instead; a closure, so that such a
    /// connection does not link a channel.
    pub(super) incoming: Option<Box<dyn Fn() -> Option<Incoming> + Send + Sync>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}
