//! A peer that leaves before it has read everything.

use crate::support::{PATIENCE, in_time, peer::Peer};
use socket2::{Domain, Socket, Type};
use std::{
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener},
    thread,
    time::Duration,
};
use wirenet::Wire;

/// How long nothing moves before a writer is taken to be blocked.
const STUCK: Duration = Duration::from_millis(300);

/// Of what the kernel holds of a connection, each way. Of a size that does not grow.
const BUFFER: usize = 64 * 1024;

/// More than the kernel and the library hold, and within a stream's first window.
const MESSAGE: usize = 250_000;
const MESSAGES: usize = 8;

/// Listens, for connections that hold little.
fn listener() -> TcpListener {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.set_recv_buffer_size(BUFFER).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(1).unwrap();
    listener.into()
}

/// As go-wirenet, it does not say that it goes away.
#[test]
fn the_end_of_a_peer_that_reads_nothing_is_no_acknowledgement() {
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
        // Until there is no room anywhere.
        let is_sent = |_: &usize| {
            let stream = session.open_stream_nowait("inbox").unwrap();
            stream.set_write_timeout(Some(STUCK)).unwrap();
            let sent = stream.write_message(&[0; MESSAGE]);
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
