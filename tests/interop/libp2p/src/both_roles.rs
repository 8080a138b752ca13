//! Runs a test that consists of two parts with one deadline: libp2p's part, which is
//! asynchronous, and ours, which blocks.

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wirenet::yamux::{Config, Connection};
use yamux::Mode;

use crate::peer::Peer;

/// The time limit of each part. It only ends tests that hang: all of them take much
/// less.
const DEADLINE: Duration = Duration::from_secs(60);

/// The peer that dials, which is also the yamux client.
#[derive(Clone, Copy, Debug)]
pub enum Dials {
    /// wirenet dials.
    We,
    /// libp2p dials.
    They,
}

/// Runs a test twice: once we dial, once they do.
///
/// # Panics
///
/// If a part panics or exceeds the deadline.
pub fn in_both_roles<F>(
    theirs: impl Fn(Peer) -> F,
    ours: impl Fn(Connection) + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    for dials in [Dials::We, Dials::They] {
        run(dials, &theirs, ours.clone());
    }
}

fn run<F>(dials: Dials, theirs: impl Fn(Peer) -> F, ours: impl FnOnce(Connection) + Send + 'static)
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
    // A part that panics drops the sender, which ends this wait too.
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
        // libp2p does the same. Otherwise its many small frames would wait for
        // acknowledgements from our TCP.
        socket.set_nodelay(true).expect("a socket without delay");
        let socket = tokio::net::TcpStream::from_std(socket).expect("a socket for tokio");
        tokio::time::timeout(DEADLINE, theirs(Peer::new(socket, mode))).await
    });
    if result.is_err() {
        panic!("{dials:?} dial: libp2p's part did not end in {DEADLINE:?}");
    }
}
