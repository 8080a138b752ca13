//! A close that says `Ok` has delivered: not to a peer that went before it had
//! all, and not what the peer never let in.

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

/// What a close says to whom has sent a message, where the peer says that it goes
/// away, and is gone when it has seen the client's close begin.
fn close_beside_a_peer_that_goes(last: Vec<Frame>) -> Result<(), wirenet::ShutdownError> {
    let (done, is_done) = bounded::<()>(0);
    let part: Script = Box::new(move |mut client| {
        client.answer_request(&FEATURES)?;
        while client.try_receive()?.is_some_and(|frame| frame.stream != 3) {}
        client.try_send(Frame::go_away(0))?;
        // The client's message has not come when its close begins.
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
fn a_peer_that_is_gone_while_it_was_going_away_has_not_taken_what_was_sent() {
    in_time(|| {
        let closed = close_beside_a_peer_that_goes(Vec::new());
        closed.expect_err("nobody has acknowledged the message");
    });
}

/// Both closed at the same time, and neither answers a ping any more.
#[test]
fn a_peer_that_closed_too_has_taken_what_it_wanted() {
    in_time(|| close_beside_a_peer_that_goes(vec![Frame::go_away(0)]).unwrap());
}

/// What it has ahead of the answer takes the link more than a second.
#[test]
fn a_close_behind_a_download_that_was_given_up_is_acknowledged() {
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
                // The kernel is not to take in all that is sent.
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
fn streams_that_wait_for_a_place_are_let_in_before_a_close_says_that_all_was_delivered() {
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
            stream.write_message(&[number]).unwrap();
            stream.close().unwrap();
        }
        let session = link.near.clone();
        let closing = thread::spawn(move || session.close());
        // The server knows that the close has begun, when it gets no refusal any more.
        while matches!(link.far.open_stream("nobody"), Err(Error::Refused { .. })) {}
        drop(release);
        closing.join().unwrap().unwrap();
        for number in 0..3u8 {
            assert_eq!(coming.recv_timeout(PATIENCE).unwrap(), [number]);
        }
    });
}

#[test]
fn a_close_tells_of_streams_that_were_never_let_in() {
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
        closed.expect_err("two messages have reached nobody");
    });
}
