//! More sessions than a process can have threads.

use super::{PATIENCE, figures_of, processes};
use crate::{
    answer, ask,
    counts::Counts,
    probe::Probe,
    support::{
        encoding::field,
        peer::Peer,
        process::{self, Other},
        within,
    },
    variable_or,
};
use std::{io, net::TcpStream};
use wirenet::Wire;

/// The number of client processes: each connection takes a descriptor.
const PROCESSES: usize = 2;

/// Runs a server that accepts every session, and sends no pings.
pub fn server() -> io::Result<()> {
    processes::run_server(
        Wire::mount("127.0.0.1:0")
            .max_sessions(usize::MAX)
            .keep_alive(false),
    )
}

/// Opens sessions as a scripted client, all on one thread, and sends the numbers of
/// those that are open and of those that were refused.
pub fn scripted_clients(addr: &str, count: usize) -> io::Result<()> {
    let connections: Vec<_> = (0..count).map(|_| join(addr)).collect();
    let open = connections.iter().flatten().count() as u64;
    process::tell(Counts::from([
        ("open", open),
        ("refused", count as u64 - open),
    ]))?;
    process::wait_for_parent()
}

/// Opens a session; returns `None` if the server closed the connection immediately.
fn join(addr: &str) -> Option<Peer> {
    let mut peer = Peer::over_tcp(TcpStream::connect(addr).ok()?);
    peer.set_read_timeout(PATIENCE);
    peer.begin_ask(&field(1, uuid::Uuid::new_v4().as_bytes()));
    peer.try_receive().ok().flatten().map(|_| peer)
}

/// The standard library aborts a process if a new thread runs out of memory maps. At
/// Linux's default of 65,530 maps, this is reached with 16,400 sessions.
#[test]
#[ignore = "takes 15,000 threads"]
fn sessions_beyond_what_a_process_can_hold_are_closed_and_the_server_continues() {
    let count = variable_or("WIRENET_TOO_MANY", 16_400);
    within(3 * PATIENCE, move || {
        let mut server = super::start("unlimited server");
        let addr = server.told();
        let probe = Probe::start(Wire::join(&addr).retry_max(0));
        let mut clients: Vec<Other> = (0..PROCESSES)
            .map(|_| super::start(&format!("scripted {addr} {}", count / PROCESSES)))
            .collect();
        let mut all = Counts::default();
        for process in &clients {
            all += Counts::parse(&answer(process, PATIENCE));
        }
        println!("of {count} sessions: {all}");
        println!("  the server: {}", ask(&mut server, "look", PATIENCE));
        println!("  round trips meanwhile: {}", probe.take());
        assert!(
            all["refused"] > 0,
            "no session was refused: set a larger number"
        );
        assert!(all["open"] > 15_000, "{all}");
        clients.clear();
        let gone = figures_of(&mut server, 1);
        println!("  when they are closed: {gone}");
        Probe::start(Wire::join(&addr).retry_max(0)).end();
        probe.end();
    });
}
