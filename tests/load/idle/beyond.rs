//! More sessions than the process can have threads.

use super::{PATIENCE, ask, figures_of, hear, processes};
use crate::{
    counts::Counts,
    probe::Probe,
    set_or,
    support::{
        encoding::field,
        peer::Peer,
        process::{self, Other},
        within,
    },
};
use std::{io, net::TcpStream};
use wirenet::Wire;

/// Client processes: each connection takes a descriptor.
const PROCESSES: usize = 2;

/// A server that lets all in, and pings nobody.
pub fn server() -> io::Result<()> {
    processes::obey(
        Wire::mount("127.0.0.1:0")
            .max_sessions(usize::MAX)
            .keep_alive(false),
    )
}

/// So many sessions, played by hand on one thread; tells how many stand.
pub fn strangers(addr: &str, count: usize) -> io::Result<()> {
    let connections: Vec<_> = (0..count).map(|_| join(addr)).collect();
    let stand = connections.iter().flatten().count() as u64;
    process::tell(Counts::from([
        ("stand", stand),
        ("refused", count as u64 - stand),
    ]))?;
    process::wait_for_parent()
}

/// `None` where it was closed at once.
fn join(addr: &str) -> Option<Peer> {
    let mut peer = Peer::over_tcp(TcpStream::connect(addr).ok()?);
    peer.set_read_timeout(PATIENCE);
    peer.begin_ask(&field(1, uuid::Uuid::new_v4().as_bytes()));
    peer.try_receive().ok().flatten().map(|_| peer)
}

/// The standard library aborts a process that has no memory maps left for a thread
/// that has begun. 16,400 sessions at Linux's default of 65,530.
#[test]
#[ignore = "takes 15,000 threads"]
fn sessions_beyond_what_the_process_can_bear_are_closed_and_it_goes_on() {
    let count = set_or("WIRENET_TOO_MANY", 16_400);
    within(3 * PATIENCE, move || {
        let mut server = super::start("beyond");
        let addr = server.told();
        let probe = Probe::start(Wire::join(&addr).retry_max(0));
        let mut strangers: Vec<Other> = (0..PROCESSES)
            .map(|_| super::start(&format!("strangers {addr} {}", count / PROCESSES)))
            .collect();
        let mut all = Counts::default();
        for process in &strangers {
            all += Counts::parse(&hear(process));
        }
        println!("of {count} sessions: {all}");
        println!("  the server: {}", ask(&mut server, "look"));
        println!("  round trips meanwhile: {}", probe.look());
        assert!(all["refused"] > 0, "more are wanted");
        assert!(all["stand"] > 15_000, "{all}");
        strangers.clear();
        let gone = figures_of(&mut server, 1);
        println!("  when they have left: {gone}");
        Probe::start(Wire::join(&addr).retry_max(0)).end();
        probe.end();
    });
}
