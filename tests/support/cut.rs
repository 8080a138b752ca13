//! A connection that breaks after so many bytes.

use std::{
    io::{self, Read},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Takes one connection for `target` and passes bytes on in both directions,
/// but no more than `limit` of those that come from there; then the
/// connection ends. Gives the address to connect to.
pub fn after(limit: u64, target: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    thread::spawn(move || -> io::Result<()> {
        let (near, _) = listener.accept()?;
        let far = TcpStream::connect(target)?;
        let (up_from, up_to) = (near.try_clone()?, far.try_clone()?);
        thread::spawn(move || pass(&up_from, &up_to, Shutdown::Write));
        pass((&far).take(limit), &near, Shutdown::Both);
        // It may have ended by itself.
        let _ = far.shutdown(Shutdown::Both);
        Ok(())
    });
    Ok(addr)
}

/// Passes on what comes, and then the end, however it came.
fn pass(mut from: impl Read, mut to: &TcpStream, end: Shutdown) {
    let _ = to.set_nodelay(true);
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(end);
}
