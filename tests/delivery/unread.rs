//! Messages that the peer has not read when it closes its connection.

use crate::support::{PATIENCE, in_time, peer::Peer};
use socket2::{Domain, Socket, Type};
use std::{
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener},
    thread,
    time::Duration,
};
use wirenet::Wire;

/// After this time without progress, a writer is taken to be blocked.
const STUCK: Duration = Duration::from_millis(300);

/// The kernel's buffers of a connection, in each direction; their size is fixed.
const BUFFER: usize = 64 * 1024;

/// All messages exceed the buffers of the kernel and the library; one fits into a
/// stream's initial window.
const MESSAGE: usize = 250_000;
const MESSAGES: usize = 8;

/// Listens for connections with small buffers.
fn listener() -> TcpListener {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.set_recv_buffer_size(BUFFER).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(1).unwrap();
    listener.into()
}

/// Like go-wirenet, the peer sends no go-away.
#[test]
fn a_peer_that_closes_without_reading_has_not_acknowledged_anything() {
    in_time(|| {
        let listener = listener();
        let addr = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let mut peer = Peer::over_tcp(socket);
            peer.confirm_session().unwrap();
            peer
        });
        let client = Wire::join(addr).retry_max(0).send_buffer(BUFFER);
        let client = client.session_close_timeout(STUCK);
        let client = client.build().unwrap();
        client.start().unwrap();
        let session = client.wait_session(PATIENCE).unwrap();
        let peer = server.join().unwrap();
        // Until all buffers are full.
        let is_sent = |_: &usize| {
            let stream = session.open_stream_nowait("inbox").unwrap();
            stream.set_write_timeout(Some(STUCK)).unwrap();
            let sent = stream.write_message(vec![0; MESSAGE]);
            sent.and_then(|()| stream.close()).is_ok()
        };
        let sent = (0..MESSAGES).take_while(is_sent).count();
        assert!((1..MESSAGES).contains(&sent), "{sent}");
        let close = thread::spawn(move || client.close());
        while !session.is_closing() {
            thread::yield_now();
        }
        peer.socket().shutdown(Shutdown::Write).unwrap();
        let error = close.join().unwrap().unwrap_err();
        assert_eq!(error.sessions.len(), 1, "{error}");
        assert!(
            error.sessions[0].unacknowledged >= MESSAGE as u64,
            "{error}"
        );
        drop(peer);
    });
}
