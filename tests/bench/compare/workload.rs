//! What is measured, between whom, and how much of it.
//!
//! The crate in `../peers` includes this file by its path, so that every peer
//! does the same work: nothing here may name the library or an async runtime.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

pub const MESSAGE: usize = 64;
pub const BLOCK: usize = 64 * 1024;
pub const GIB: u64 = 1 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Workload {
    /// One stream, 64 KiB writes, 64 KiB reads.
    #[value(name = "bulk-64k")]
    Bulk64k,
    /// One stream, `io::copy` on both sides.
    BulkCopy,
    /// As many bytes over 64 streams at once.
    Fan,
    /// 64 bytes there and back.
    Ping,
    /// The same with both processes on one core.
    PingOneCore,
    /// The same with a core for each process.
    PingTwoCores,
    /// Ping-pong while another stream of the connection is busy.
    Beside,
    /// Open, 64 bytes each way, close; one after another.
    Opens,
    /// The same, 32 at once.
    #[value(name = "opens-32")]
    Opens32,
    /// 1,000 idle sessions, before and after a burst.
    Idle,
    /// Idle sessions at two sizes.
    Sessions,
    /// Idle streams of one connection at two sizes.
    Streams,
    /// `bulk-64k` through a hub, or a proxy.
    RelayBulk,
    /// `ping` through a hub, or a proxy.
    RelayPing,
    /// The same with all three processes on one core.
    RelayPingOneCore,
    /// The same with the hub or proxy on a core of its own.
    RelayPingTwoCores,
    /// `bulk-64k` over TLS.
    TlsBulk,
    /// `idle` over TLS, and without.
    TlsIdle,
}

impl Workload {
    /// The service of a stream that does not say which one it wants. Only
    /// opens are so many and so short that a byte more would be work added.
    pub fn implied_service(self) -> Option<Service> {
        matches!(self, Self::Opens | Self::Opens32).then_some(Service::Once)
    }

    /// Whether the client has no session until it is told to grow.
    pub fn dials_later(self) -> bool {
        matches!(self, Self::Idle | Self::TlsIdle | Self::Sessions)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Peer {
    /// std's TCP, a connection for each stream.
    Raw,
    /// Streams opened without waiting for the answer.
    Wirenet,
    /// Streams opened that wait for the answer.
    WirenetWait,
    /// Layer 1 alone: `wirenet::yamux`.
    WirenetYamux,
    Yamux,
    TokioYamux,
    /// std's TCP through a proxy of threads and `io::copy`.
    Proxy,
    /// Streams whose connection goes through that proxy: what a hub's hop costs
    /// is told by this one.
    WirenetProxy,
    /// Streams over TLS.
    WirenetTls,
    /// `rustls::StreamOwned`, a connection for each stream.
    Rustls,
}

/// What a server does with a stream. Named streams ask for it by its name,
/// anonymous ones with their first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Reads 64 KiB at a time to the end, then answers with the count.
    Sink,
    /// The same with `io::copy`.
    Copy,
    /// Sends each message back.
    Echo,
    /// Sends one message back and closes.
    Once,
    /// Sends one message back and stays.
    Hold,
}

impl Service {
    pub const ALL: [Service; 5] = [Self::Sink, Self::Copy, Self::Echo, Self::Once, Self::Hold];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Copy => "copy",
            Self::Echo => "echo",
            Self::Once => "once",
            Self::Hold => "hold",
        }
    }

    pub fn byte(self) -> u8 {
        self.name().as_bytes()[0]
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.byte() == byte)
    }
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub bulk: u64,
    pub fan: usize,
    pub warm_up: usize,
    pings: usize,
    pub beside: Duration,
    pub opens: usize,
    pub at_once: usize,
    pub burst: u64,
    pub levels: [usize; 2],
}

impl Sizes {
    const FULL: Self = Self {
        bulk: GIB,
        fan: 64,
        warm_up: 1_000,
        pings: 20_000,
        beside: Duration::from_secs(2),
        opens: 8_000,
        at_once: 32,
        burst: 1 << 20,
        levels: [1_000, 10_000],
    };

    const QUICK: Self = Self {
        bulk: 64 << 20,
        warm_up: 100,
        pings: 2_000,
        beside: Duration::from_millis(300),
        opens: 640,
        levels: [100, 400],
        ..Self::FULL
    };

    pub fn new(quick: bool) -> Self {
        if quick { Self::QUICK } else { Self::FULL }
    }

    /// Pings among idle streams or sessions are there to show growth, which
    /// fewer of them show as well.
    pub fn pings(&self, workload: Workload) -> usize {
        match workload {
            Workload::Sessions | Workload::Streams => self.pings / 4,
            _ => self.pings,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    Server,
    /// A hub or a proxy.
    Middle,
    Client,
}

/// What a child process is told to be.
#[derive(Clone, Debug, Args)]
pub struct Job {
    #[arg(value_enum)]
    pub role: Role,
    #[arg(long, value_enum)]
    pub peer: Peer,
    #[arg(long, value_enum)]
    pub workload: Workload,
    /// Where the server listens, or the middle: clients need it. So does a
    /// server behind a hub; a proxy is given its server's.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub addr: SocketAddr,
    #[arg(long)]
    pub quick: bool,
}

impl Job {
    pub fn sizes(&self) -> Sizes {
        Sizes::new(self.quick)
    }

    /// Room for the streams of the largest level, and for those beside them.
    pub fn stream_limit(&self) -> Option<usize> {
        let [_, high] = self.sizes().levels;
        (self.workload == Workload::Streams).then_some(high + 64)
    }
}
