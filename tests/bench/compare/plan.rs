//! Which peers run which workload, which metrics a workload has, and the bars
//! that the library must meet.

use clap::ValueEnum;

use crate::workload::{Peer, Role, Workload};

/// The asynchronous crates that the library must outperform.
pub const CRATES: [Peer; 2] = [Peer::Yamux, Peer::TokioYamux];

/// The highest growth ratio that counts as flat. It allows for noise.
const FLAT: f64 = 1.2;

pub fn name_of(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value().expect("no value is skipped");
    value.get_name().to_owned()
}

pub fn peers(workload: Workload, layer_1: bool) -> Vec<Peer> {
    let mut peers = match workload {
        _ if is_relayed(workload) => return vec![Peer::Proxy, Peer::WirenetProxy, Peer::Wirenet],
        Workload::TlsBulk => return vec![Peer::Rustls, Peer::WirenetTls],
        Workload::TlsIdle => return vec![Peer::Rustls, Peer::Wirenet, Peer::WirenetTls],
        _ => vec![Peer::Raw, Peer::Wirenet],
    };
    match workload {
        Workload::Opens | Workload::Opens32 => peers.push(Peer::WirenetWait),
        Workload::Streams => peers.push(Peer::WirenetYamux),
        _ if layer_1 => peers.push(Peer::WirenetYamux),
        _ => {}
    }
    peers.extend(CRATES);
    peers
}

/// Returns whether there is a process between the client and the server.
pub fn is_relayed(workload: Workload) -> bool {
    matches!(
        workload,
        Workload::RelayBulk
            | Workload::RelayPing
            | Workload::RelayPingOneCore
            | Workload::RelayPingTwoCores
    )
}

pub fn describe(workload: Workload) -> &'static str {
    match workload {
        Workload::Bulk64k => "one stream, 64 KiB writes",
        Workload::BulkCopy => "one stream, io::copy on both sides",
        Workload::Fan => "64 streams at once, 64 KiB writes",
        Workload::Ping => "round trip of 64 bytes",
        Workload::PingOneCore => "round trip of 64 bytes, both processes on one core",
        Workload::PingTwoCores => "round trip of 64 bytes, each process on its own core",
        Workload::Beside => "round trip of 64 bytes, next to a busy stream",
        Workload::Opens => "open, 64 bytes each way, close: one after another",
        Workload::Opens32 => "open, 64 bytes each way, close: 32 at once",
        Workload::Idle => "the server with idle sessions, then a burst of 1 MiB each",
        Workload::Sessions => "the server with 1,000 and 10,000 idle sessions, on one core",
        Workload::Streams => "the server with 1,000 and 10,000 idle streams, on one core",
        Workload::RelayBulk => "through a hub or a proxy: one stream, 64 KiB writes",
        Workload::RelayPing => "through a hub or a proxy: round trip of 64 bytes",
        Workload::RelayPingOneCore => {
            "through a hub or a proxy: round trip of 64 bytes, all processes on one core"
        }
        Workload::RelayPingTwoCores => {
            "through a hub or a proxy on its own core: round trip of 64 bytes"
        }
        Workload::TlsBulk => "TLS: one stream, 64 KiB writes",
        Workload::TlsIdle => "TLS: the server with idle sessions, then a burst of 1 MiB each",
    }
}

/// Returns the core that a process is pinned to, if any. Without pinning, the
/// scheduler sometimes runs server and client on one core and sometimes on two,
/// and on two a round trip takes three times as long.
pub fn core(workload: Workload, role: Role) -> Option<&'static str> {
    match (workload, role) {
        (Workload::PingTwoCores, Role::Server) => Some("1"),
        (Workload::PingTwoCores, Role::Client) => Some("0"),
        (Workload::RelayPingTwoCores, Role::Middle) => Some("1"),
        (Workload::RelayPingTwoCores, _) => Some("0"),
        (Workload::PingOneCore | Workload::RelayPingOneCore, _) => Some("0"),
        (Workload::Sessions | Workload::Streams, _) => Some("0"),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub key: &'static str,
    pub unit: &'static str,
    pub better: Better,
}

const fn higher(key: &'static str, unit: &'static str) -> Metric {
    let better = Better::Higher;
    Metric { key, unit, better }
}

const fn lower(key: &'static str, unit: &'static str) -> Metric {
    let better = Better::Lower;
    Metric { key, unit, better }
}

pub fn metrics(workload: Workload) -> Vec<Metric> {
    let transfer = [higher("rate", "MB/s"), lower("cpu", "CPU s/GiB")];
    let latency = [lower("p50", "p50 µs"), lower("p99", "p99 µs")];
    let grown = [
        lower("kb_few", "kB each, few"),
        lower("kb_many", "kB each, many"),
        lower("kb_growth", "kB each, many / few"),
        lower("us_few", "µs to open, few"),
        lower("us_many", "µs to open, many"),
        lower("us_growth", "µs to open, many / few"),
        lower("p50_few", "p50 µs, few"),
        lower("p50_many", "p50 µs, many"),
        lower("p50_growth", "p50 µs, many / few"),
    ];
    match workload {
        Workload::Bulk64k | Workload::BulkCopy | Workload::Fan => transfer.to_vec(),
        Workload::RelayBulk | Workload::TlsBulk => transfer.to_vec(),
        Workload::Ping | Workload::PingOneCore | Workload::PingTwoCores => latency.to_vec(),
        Workload::RelayPing | Workload::RelayPingOneCore => latency.to_vec(),
        Workload::RelayPingTwoCores => latency.to_vec(),
        Workload::Beside => [&latency[..], &[higher("rate", "bulk MB/s")]].concat(),
        Workload::Opens | Workload::Opens32 => vec![higher("rate", "opens/s")],
        Workload::Idle | Workload::TlsIdle => vec![
            lower("kb", "kB each"),
            lower("threads", "threads each"),
            lower("kb_burst", "kB each after the burst"),
            higher("rate", "sessions/s"),
        ],
        Workload::Sessions | Workload::Streams => grown.to_vec(),
    }
}

/// What the library's figure is divided by before it is compared with a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// A peer's figure in the same round.
    Peer(Peer),
    /// The better figure of the two crates in the same round.
    BetterCrate,
    /// Nothing: the figure itself is compared.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
pub enum Limit {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Limit {
    pub fn admits(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
            Self::Below(limit) => value < limit,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Bar {
    pub workload: Workload,
    pub key: &'static str,
    pub peer: Peer,
    pub against: Against,
    pub limit: Limit,
}

const RAW: Against = Against::Peer(Peer::Raw);
const YAMUX: Against = Against::Peer(Peer::Yamux);
const PROXY: Against = Against::Peer(Peer::Proxy);

pub fn bars() -> Vec<Bar> {
    use Limit::{AtLeast, AtMost, Below};
    use Workload as W;

    let ours = |workload, key, against, limit| Bar {
        workload,
        key,
        peer: Peer::Wirenet,
        against,
        limit,
    };
    vec![
        ours(W::Bulk64k, "rate", RAW, AtLeast(0.85)),
        ours(W::Bulk64k, "rate", Against::BetterCrate, AtLeast(1.5)),
        ours(W::BulkCopy, "rate", RAW, AtLeast(0.85)),
        ours(W::BulkCopy, "rate", Against::BetterCrate, AtLeast(1.5)),
        ours(W::Fan, "rate", Against::BetterCrate, AtLeast(1.3)),
        ours(W::Bulk64k, "cpu", RAW, AtMost(1.4)),
        ours(W::BulkCopy, "cpu", RAW, AtMost(1.4)),
        ours(W::Ping, "p50", RAW, AtMost(1.15)),
        ours(W::Ping, "p50", Against::BetterCrate, Below(1.0)),
        ours(W::PingOneCore, "p50", YAMUX, Below(1.0)),
        ours(W::Beside, "p99", YAMUX, AtMost(0.25)),
        ours(W::Beside, "rate", YAMUX, AtLeast(1.0)),
        ours(W::Opens32, "rate", Against::BetterCrate, AtLeast(1.1)),
        ours(W::Opens, "rate", Against::BetterCrate, AtLeast(0.85)),
        Bar {
            peer: Peer::WirenetWait,
            ..ours(W::Opens32, "rate", Against::BetterCrate, AtLeast(0.75))
        },
        ours(W::Idle, "threads", Against::Nothing, AtMost(1.0)),
        ours(W::Idle, "kb", Against::Nothing, AtMost(14.0)),
        ours(W::Idle, "kb_burst", Against::Nothing, AtMost(80.0)),
        ours(W::Sessions, "kb_growth", Against::Nothing, AtMost(FLAT)),
        ours(W::Sessions, "us_growth", Against::Nothing, AtMost(FLAT)),
        ours(W::Sessions, "p50_growth", Against::Nothing, AtMost(FLAT)),
        ours(W::Streams, "kb_growth", Against::Nothing, AtMost(FLAT)),
        ours(W::Streams, "us_growth", Against::Nothing, AtMost(FLAT)),
        ours(W::Streams, "p50_growth", Against::Nothing, AtMost(FLAT)),
        ours(W::RelayBulk, "rate", PROXY, AtLeast(0.9)),
        ours(W::RelayPing, "p50", PROXY, AtMost(1.3)),
        Bar {
            peer: Peer::WirenetTls,
            ..ours(
                W::TlsBulk,
                "rate",
                Against::Peer(Peer::Rustls),
                AtLeast(0.8),
            )
        },
    ]
}
