//! A TCP proxy in its simplest form: two threads per connection, with `io::copy`
//! in each direction.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::blocking::report;

/// Forwards every connection to the server at `to`, until the process ends.
pub fn listen(to: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((to.ip(), 0))?;
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || report("proxy", forward(&client, to)));
        }
    });
    Ok(addr)
}

fn forward(client: &TcpStream, to: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(to)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    thread::scope(|scope| {
        let to_client = scope.spawn(|| copy(&server, client));
        let to_server = copy(client, &server);
        to_server.and(to_client.join().expect("copying does not panic"))
    })
}

/// Copies one direction and its end.
fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Write)
}
