//! A close returns `Ok` only if everything was delivered: not if the peer left before
//! it had received everything, and not if the peer never accepted a stream.

mod support;

use crossbeam_channel::{bounded, unbounded};
use std::{io::Write, net::Shutdown, thread, time::Duration};
use support::{
    PATIENCE,
    call_path::{Path, Sides, Slow, Way},
    encoding::FEATURES,
    frames::{Frame, GO_AWAY},
    in_time,
    peer::{Script, play},
    wires::{Link, message, started},
};
use wirenet::{Builder, Error, Stream, Wire};

/// The result of a close after a message was sent. The peer sends a go-away, waits for
/// the client's close to begin, sends the `last` frames, and ends the connection.
fn close_beside_a_peer_that_goes(last: Vec<Frame>) -> Result<(), wirenet::ShutdownError> {
    let (done, is_done) = bounded::<()>(0);
    let part: Script = Box::new(move |mut client| {
        client.answer_request(&FEATURES)?;
        while client.try_receive()?.is_some_and(|frame| frame.stream != 3) {}
        client.try_send(Frame::go_away(0))?;
        // The client's message arrives after its close has begun.
        while client
            .try_receive()?
            .is_some_and(|frame| frame.kind != GO_AWAY)
        {}
        client.try_send(last)?;
        client.socket().shutdown(Shutdown::Write)?;
        let _ = is_done.recv();
        Ok(())
    });
    let client = Wire::join(play(vec![part]).to_string()).retry_max(0);
    let client = started(client.session_close_timeout(PATIENCE));
    let session = client.wait_session(PATIENCE).unwrap();
    let stream = session.open_stream_nowait("any").unwrap();
    stream.write_message(b"for whom").unwrap();
    stream.close().unwrap();
    let closed = session.close();
    drop(done);
    closed
}

#[test]
fn a_peer_that_ends_while_it_goes_away_has_not_acknowledged_what_was_sent() {
    in_time(|| {
        let closed = close_beside_a_peer_that_goes(Vec::new());
        closed.expect_err("the message is not acknowledged");
    });
}

/// Both close at the same time, and neither answers pings any longer.
#[test]
fn a_peer_that_closed_too_has_received_what_it_wanted() {
    in_time(|| close_beside_a_peer_that_goes(vec![Frame::go_away(0)]).unwrap());
}

/// The link takes more than a second for the data ahead of the acknowledgement.
#[test]
fn a_close_after_an_abandoned_download_is_acknowledged() {
    const RATE: u32 = 128_000;
    const PIECE: [u8; 16 * 1024] = [7; 16 * 1024];

    in_time(|| {
        let (full, is_full) = unbounded();
        let download = move |stream: &mut Stream| {
            stream.set_write_timeout(Some(Duration::from_millis(200)))?;
            while stream.write_all(&PIECE).is_ok() {}
            full.send(()).expect("the test waits for it");
            stream.set_write_timeout(None)?;
            loop {
                stream.write_all(&PIECE)?;
            }
        };
        let way = Way {
            slow: Slow::Direct,
            tls: false,
        };
        let sides = Sides {
            owner: |wire: Builder| {
                // So that the kernel does not buffer everything.
                wire.send_buffer(16 * 1024)
                    .session_close_timeout(Duration::ZERO)
                    .stream("take", |stream| message(stream).map(drop))
                    .stream("download", download)
            },
            caller: |wire: Builder| wire.session_close_timeout(PATIENCE),
            hub: |wire| wire,
        };
        let path = Path::new(way, 4096, sides);
        let taken = path.session.open_stream("take").unwrap();
        path.link.set_rate(Some(RATE));
        let download = path.session.open_stream("download").unwrap();
        is_full.recv_timeout(PATIENCE).unwrap();
        taken.write_message(b"taken").unwrap();
        taken.close().unwrap();
        drop(download);
        path.session.close().unwrap();
    });
}

#[test]
fn held_streams_are_served_before_a_close_returns_ok() {
    in_time(|| {
        let (came, coming) = unbounded();
        let (release, released) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                server.max_streams(1).stream("take", move |stream| {
                    let said = message(stream)?;
                    let _ = released.recv();
                    came.send(said).unwrap();
                    Ok(())
                })
            },
            |client| client.session_close_timeout(PATIENCE),
        );
        for number in 0..3u8 {
            let stream = link.near.open_stream_nowait("take").unwrap();
            stream.write_message([number]).unwrap();
            stream.close().unwrap();
        }
        let session = link.near.clone();
        let closing = thread::spawn(move || session.close());
        // When the error is no longer a refusal, the server knows of the close.
        while matches!(link.far.open_stream("nobody"), Err(Error::Refused { .. })) {}
        drop(release);
        closing.join().unwrap().unwrap();
        for number in 0..3u8 {
            assert_eq!(coming.recv_timeout(PATIENCE).unwrap(), [number]);
        }
    });
}

#[test]
fn a_close_reports_streams_that_were_never_served() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                server.max_streams(1).stream("take", move |_| {
                    let _ = released.recv();
                    Ok(())
                })
            },
            |client| client.session_close_timeout(Duration::from_millis(300)),
        );
        for _ in 0..3u8 {
            let stream = link.near.open_stream_nowait("take").unwrap();
            stream.write_message(b"said").unwrap();
            stream.close().unwrap();
        }
        let closed = link.near.close();
        drop(release);
        closed.expect_err("two messages were not delivered");
    });
}
