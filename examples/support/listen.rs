//! Listens at an address in the form that `--addr` accepts, with IPv4 and IPv6.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs},
};

/// The limit on connections that the system has accepted and the program has not.
const BACKLOG: i32 = 1024;
/// How many ports to try until one is free at every address of a host.
const TRIES: u32 = 10;

/// Listens at `HOST:PORT`, at every address of the host; or, for `:PORT`, at all
/// interfaces. With port 0, the system chooses a port, the same for all addresses.
///
/// Skips addresses that this machine does not have, such as `::1` without IPv6. Fails
/// if it has none of them.
pub fn listen(addr: &str) -> io::Result<Vec<TcpListener>> {
    let addrs = resolve(addr)?;
    let mut tries = 1;
    loop {
        let chooses_port = addrs.len() > 1 && addrs[0].port() == 0;
        match listen_at(&addrs) {
            Err(error)
                if chooses_port && error.kind() == io::ErrorKind::AddrInUse && tries < TRIES =>
            {
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

fn resolve(addr: &str) -> io::Result<Vec<SocketAddr>> {
    let mut addrs = Vec::new();
    match addr.strip_prefix(':').map(str::parse) {
        Some(Ok(port)) => addrs.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        _ => {
            for found in addr.to_socket_addrs()? {
                if !addrs.contains(&found) {
                    addrs.push(found);
                }
            }
        }
    }
    Ok(addrs)
}

fn listen_at(addrs: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut missing = io::Error::other("the name resolves to no address");
    for mut addr in addrs.iter().copied() {
        if let Some(first) = listeners.first() {
            addr.set_port(first.local_addr()?.port());
        }
        match bind(addr) {
            Ok(listener) => listeners.push(listener),
            // Listening at some of the addresses would serve only some of the clients.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => missing = error,
        }
    }
    match listeners.is_empty() {
        true => Err(missing),
        false => Ok(listeners),
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let all = addr.is_ipv6() && addr.ip().is_unspecified();
    let listener = match Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP)) {
        Err(_) if all => return bind((Ipv4Addr::UNSPECIFIED, addr.port()).into()),
        socket => socket?,
    };
    // As in std: a program can restart while its old connections linger.
    #[cfg(not(windows))]
    listener.set_reuse_address(true)?;
    if all {
        // Listen for IPv4, too.
        listener.set_only_v6(false)?;
    }
    listener.bind(&addr.into())?;
    listener.listen(BACKLOG)?;
    Ok(listener.into())
}
