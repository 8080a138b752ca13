//! A TCP proxy as std makes it easy: two threads for each connection, and
//! `io::copy` each way.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::blocking::report;

/// Passes on every connection to the server at `to`, until the process ends.
pub fn listen(to: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((to.ip(), 0))?;
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            thread::spawn(move || report("proxy", pass_on(&near, to)));
        }
    });
    Ok(addr)
}

fn pass_on(near: &TcpStream, to: SocketAddr) -> io::Result<()> {
    let far = TcpStream::connect(to)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    thread::scope(|scope| {
        let back = scope.spawn(|| copy(&far, near));
        let there = copy(near, &far);
        there.and(back.join().expect("copying does not panic"))
    })
}

/// One direction, with its end.
fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Write)
}
