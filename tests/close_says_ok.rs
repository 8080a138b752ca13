//! A close that says `Ok` has delivered.

mod support;

use crossbeam_channel::bounded;
use std::{
    io::{self, Write},
    net::{Shutdown, TcpStream},
};
use support::{
    PATIENCE,
    frames::{ACK, FIN, Frame, GO_AWAY},
    hand::{CONFIRM_SESSION, FEATURES, Part, layer_2, play, read_request},
    in_time,
    link::started,
};
use wirenet::Wire;

const GOING_AWAY: Frame = Frame {
    kind: GO_AWAY,
    flags: 0,
    stream: 0,
    length: 0,
    body: Vec::new(),
};

/// Gives a client its session, with these features.
fn confirm(mut client: &TcpStream, features: &[u8]) -> io::Result<()> {
    let request = read_request(client)?;
    let sid = &request.body[12 + "openSession".len()..][..18];
    let payload = [sid, features].concat();
    let answer = [
        Frame::flags(1, ACK),
        Frame::data(1, layer_2(CONFIRM_SESSION, "confirmSession", &payload)),
        Frame::flags(1, FIN),
    ];
    client.write_all(&answer.map(|frame| frame.encode()).concat())
}

/// What a close says to whom has sent a message, where the peer says that it goes
/// away, and is gone when it has seen the client's close begin.
fn close_beside_a_peer_that_goes(last: Vec<Frame>) -> Result<(), wirenet::ShutdownError> {
    let (done, is_done) = bounded::<()>(0);
    let part: Part = Box::new(move |mut client| {
        confirm(&client, &FEATURES)?;
        while Frame::read(&client)?.is_some_and(|frame| frame.stream != 3) {}
        client.write_all(&GOING_AWAY.encode())?;
        // The client's message has not come when its close begins.
        while Frame::read(&client)?.is_some_and(|frame| frame.kind != GO_AWAY) {}
        for frame in last {
            client.write_all(&frame.encode())?;
        }
        client.shutdown(Shutdown::Write)?;
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
    in_time(|| close_beside_a_peer_that_goes(vec![GOING_AWAY]).unwrap());
}
