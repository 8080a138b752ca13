//! A test is a play with two parts: libp2p's, which is asynchronous, and ours,
//! which blocks. Both have one deadline.

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wirenet::yamux::{Config, Connection};
use yamux::Mode;

use crate::peer::Peer;

/// Far above what any of the plays takes; it only ends one that hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// Who dials, and thereby who is yamux's client.
#[derive(Clone, Copy, Debug)]
pub enum Dials {
    /// wirenet is the client.
    We,
    /// libp2p is.
    They,
}

/// Plays with each of the sides dialling.
///
/// # Panics
///
/// If a part panics or the deadline passes.
pub fn in_both_roles<F>(
    theirs: impl Fn(Peer) -> F,
    ours: impl Fn(Connection) + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    for dials in [Dials::We, Dials::They] {
        play(dials, &theirs, ours.clone());
    }
}

fn play<F>(dials: Dials, theirs: impl Fn(Peer) -> F, ours: impl FnOnce(Connection) + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (our_socket, their_socket) = sockets(dials);
    let (our_end, ended) = mpsc::channel();
    let our_part = thread::spawn(move || {
        ours(our_side(our_socket, dials));
        _ = our_end.send(());
    });
    their_part(their_socket, dials, theirs);
    // A part that panicked drops its end, which ends the wait too.
    if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(DEADLINE) {
        panic!("{dials:?} dial: wirenet's part did not end in {DEADLINE:?}");
    }
    if let Err(cause) = our_part.join() {
        std::panic::resume_unwind(cause);
    }
}

fn sockets(dials: Dials) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen on loopback");
    let address = listener.local_addr().expect("the address listened on");
    let dialled = TcpStream::connect(address).expect("dial loopback");
    let (accepted, _) = listener.accept().expect("accept on loopback");
    match dials {
        Dials::We => (dialled, accepted),
        Dials::They => (accepted, dialled),
    }
}

fn our_side(socket: TcpStream, dials: Dials) -> Connection {
    let connection = match dials {
        Dials::We => Connection::client(socket, Config::default()),
        Dials::They => Connection::server(socket, Config::default()),
    };
    connection.expect("a yamux connection over TCP")
}

fn their_part<F>(socket: TcpStream, dials: Dials, theirs: impl Fn(Peer) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mode = match dials {
        Dials::We => Mode::Server,
        Dials::They => Mode::Client,
    };
    let result = runtime.block_on(async {
        socket.set_nonblocking(true).expect("a socket for tokio");
        // As libp2p does: its many small frames would wait for our TCP's.
        socket.set_nodelay(true).expect("a socket without delay");
        let socket = tokio::net::TcpStream::from_std(socket).expect("a socket for tokio");
        tokio::time::timeout(DEADLINE, theirs(Peer::new(socket, mode))).await
    });
    if result.is_err() {
        panic!("{dials:?} dial: libp2p's part did not end in {DEADLINE:?}");
    }
}
