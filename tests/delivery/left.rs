//! A peer that leaves before it has read everything.

use crate::support::{
    PATIENCE,
    hand::{Played, confirm_session},
    in_time,
};
use std::{net::Shutdown, thread, time::Duration};
use wirenet::Wire;

/// How long nothing moves before a writer is taken to be blocked.
const STUCK: Duration = Duration::from_millis(300);

/// As go-wirenet, it does not say that it goes away.
#[test]
fn the_end_of_a_peer_that_reads_nothing_is_no_acknowledgement() {
    in_time(|| {
        let server = Played::listen(|client| confirm_session(client));
        let client = Wire::join(server.addr.to_string()).retry_max(0);
        let client = client.build().unwrap();
        client.start().unwrap();
        let session = client.wait_session(PATIENCE).unwrap();
        // Until there is no room anywhere.
        loop {
            let stream = session.open_stream_nowait("inbox").unwrap();
            stream.set_write_timeout(Some(STUCK)).unwrap();
            if stream.write_message(&[0; 200_000]).is_err() {
                break;
            }
            stream.close().unwrap();
        }
        let hand = server.accepted.recv_timeout(PATIENCE).unwrap();
        let close = thread::spawn(move || client.close());
        while !session.is_closing() {
            thread::yield_now();
        }
        hand.shutdown(Shutdown::Write).unwrap();
        let error = close.join().unwrap().unwrap_err();
        assert_eq!(error.sessions.len(), 1, "{error}");
        assert!(error.sessions[0].unacknowledged > 200_000, "{error}");
        drop(hand);
    });
}
