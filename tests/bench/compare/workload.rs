//! The workloads, the peers, and the sizes.
//!
//! The crate in `../peers` includes this file by its path, so that every peer
//! does the same work. So nothing here may name the library or an async runtime.

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
    /// The same number of bytes over 64 streams at once.
    Fan,
    /// A round trip of 64 bytes.
    Ping,
    /// The same with both processes on one core.
    PingOneCore,
    /// The same with each process on its own core.
    PingTwoCores,
    /// Round trips while another stream of the connection is busy.
    Beside,
    /// Open, 64 bytes each way, close: one stream after another.
    Opens,
    /// The same, 32 streams at once.
    #[value(name = "opens-32")]
    Opens32,
    /// 1,000 idle sessions, before and after a burst.
    Idle,
    /// Idle sessions, in two numbers.
    Sessions,
    /// Idle streams of one connection, in two numbers.
    Streams,
    /// `bulk-64k` through a hub or a proxy.
    RelayBulk,
    /// `ping` through a hub or a proxy.
    RelayPing,
    /// The same with all three processes on one core.
    RelayPingOneCore,
    /// The same with the hub or proxy on its own core.
    RelayPingTwoCores,
    /// `bulk-64k` over TLS.
    TlsBulk,
    /// `idle` with and without TLS.
    TlsIdle,
}

impl Workload {
    /// Returns the service of the workload's streams, if the streams do not request
    /// one. In the workloads that open many short streams, the byte that requests
    /// a service would be a noticeable part of the work.
    pub fn implied_service(self) -> Option<Service> {
        matches!(self, Self::Opens | Self::Opens32).then_some(Service::Once)
    }

    /// Returns whether the client opens no session until it gets the command `grow`.
    pub fn dials_later(self) -> bool {
        matches!(self, Self::Idle | Self::TlsIdle | Self::Sessions)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Peer {
    /// TCP with std, one connection per stream.
    Raw,
    /// The library, opening streams without waiting for the answer.
    Wirenet,
    /// The library, waiting for the answer to each open.
    WirenetWait,
    /// Layer 1 alone: `wirenet::yamux`.
    WirenetYamux,
    Yamux,
    TokioYamux,
    /// TCP through a proxy of threads and `io::copy`.
    Proxy,
    /// The library, with its connection going through that proxy. Compared with
    /// this peer, a hub shows its own cost without that of the extra hop.
    WirenetProxy,
    /// The library over TLS.
    WirenetTls,
    /// `rustls::StreamOwned`, one connection per stream.
    Rustls,
}

/// What a server does with a stream. Named streams request a service by its name,
/// anonymous ones by their first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Reads 64 KiB at a time to the end, then answers with the number of bytes.
    Sink,
    /// The same with `io::copy`.
    Copy,
    /// Sends each message back.
    Echo,
    /// Sends one message back and closes the stream.
    Once,
    /// Sends one message back and keeps the stream open.
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

/// The sizes of the workloads.
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

    /// Returns the number of pings in a workload. Among idle sessions or streams,
    /// fewer pings are enough to show whether latency grows.
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

/// The part that a child process plays in a run.
#[derive(Clone, Debug, Args)]
pub struct Job {
    #[arg(value_enum)]
    pub role: Role,
    #[arg(long, value_enum)]
    pub peer: Peer,
    #[arg(long, value_enum)]
    pub workload: Workload,
    /// The address to listen on or to connect to. A proxy gets the address of its
    /// server.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub addr: SocketAddr,
    #[arg(long)]
    pub quick: bool,
}

impl Job {
    pub fn sizes(&self) -> Sizes {
        Sizes::new(self.quick)
    }

    /// Returns the stream limit for a workload that needs more than the default:
    /// enough for the idle streams and a few others.
    pub fn stream_limit(&self) -> Option<usize> {
        let [_, high] = self.sizes().levels;
        (self.workload == Workload::Streams).then_some(high + 64)
    }
}
