//! Links on which nothing moves.

use crate::{
    assert_end, assert_reads,
    support::{
        PATIENCE,
        fault_proxy::{Direction, FaultProxy, Profile},
        wires::{addr_of, mounting, started},
    },
};
use crossbeam_channel::unbounded;
use std::{
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};
use wirenet::Wire;

#[test]
fn a_drop_does_not_wait_for_a_link_that_stalls() {
    let (sender, streams) = unbounded();
    let (running, ended) = unbounded::<()>();
    let server = mounting().stream("bytes", move |stream| {
        // The streams that are never read are not received by the test.
        let _ = sender.send(stream.clone());
        let _ = ended.recv();
        Ok(())
    });
    let server = started(server);
    let link = FaultProxy::to(addr_of(&server), Profile::default()).unwrap();
    let client = Wire::join(link.addr.to_string()).send_buffer(16 << 10);
    let client = started(client.read_write_timeouts(Some(PATIENCE), PATIENCE));
    let session = client.wait_session(PATIENCE).unwrap();
    let mut bytes = session.open_stream("bytes").unwrap().into_byte_stream();
    let peer = streams.recv_timeout(PATIENCE).unwrap();
    bytes.write_all(b"all of it").unwrap();
    assert_reads(&peer, "all of it");

    let others: Vec<_> = (0..4)
        .map(|_| session.open_stream("bytes").unwrap())
        .collect();
    link.hold(Direction::Up);
    // One of them writes to the socket, which takes nothing, and the others wait for room.
    let floods = others.clone().into_iter().map(|stream| {
        thread::spawn(move || io::copy(&mut io::repeat(7), &mut &stream).unwrap_err())
    });
    let floods: Vec<_> = floods.collect();
    let waiting = session.open_stream_nowait("bytes").unwrap();
    waiting
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    while waiting.write_message(vec![7; 30_000]).is_ok() {}

    let began = Instant::now();
    drop(bytes);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    link.release(Direction::Up);
    assert_end(&peer);
    assert!(peer.was_finished());
    for other in &others {
        other.reset();
    }
    for flood in floods {
        flood.join().unwrap();
    }
    drop((running, waiting));
}
